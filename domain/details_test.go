package domain

import (
	"reflect"
	"testing"
	"time"
)

// Each member of the details counts, also one that will be added.
func TestDetailsAreEqualOnlyInEveryMember(t *testing.T) {
	full := func() Details {
		var d Details
		fill(t, reflect.ValueOf(&d).Elem(), 1)
		return d
	}
	if !full().equal(full()) {
		t.Fatal("equal details differ")
	}
	var count int
	eachLeaf(full, func(d Details, name string) {
		count++
		if d.equal(full()) || full().equal(d) {
			t.Errorf("%s does not count", name)
		}
	})
	if count < 20 {
		t.Fatalf("only %d members were changed", count)
	}
}

// fill gives every member below v a value that is not zero.
func fill(t *testing.T, v reflect.Value, seed byte) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(int64(seed), 0).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(t, v.Field(i), seed)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), seed)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), seed)
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), seed)
		}
	case reflect.String:
		v.SetString(string('a' + rune(seed)))
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(uint64(seed))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(seed))
	default:
		t.Fatalf("fill a %s", v.Kind())
	}
}

// eachLeaf shows full details of which one member is another: each member, and
// each pointer and slice as nil.
func eachLeaf(full func() Details, show func(d Details, name string)) {
	var walk func(path []int, v reflect.Value, name string)
	at := func(d *Details, path []int) reflect.Value {
		v := reflect.ValueOf(d).Elem()
		for _, step := range path {
			switch v.Kind() {
			case reflect.Pointer:
				v = v.Elem()
			case reflect.Slice:
				v = v.Index(step)
			default:
				v = v.Field(step)
			}
		}
		return v
	}
	changed := func(path []int, name string, change func(reflect.Value)) {
		d := full()
		change(at(&d, path))
		show(d, name)
	}
	walk = func(path []int, v reflect.Value, name string) {
		step := func(i int) []int { return append(path[:len(path):len(path)], i) }
		switch {
		case v.Kind() == reflect.Pointer:
			changed(path, name+" (nil)", reflect.Value.SetZero)
			walk(step(0), v.Elem(), name)
		case v.Kind() == reflect.Slice:
			changed(path, name+" (nil)", reflect.Value.SetZero)
			walk(step(0), v.Index(0), name+"[0]")
		case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
			for i := range v.NumField() {
				walk(step(i), v.Field(i), name+"."+v.Type().Field(i).Name)
			}
		default:
			changed(path, name, reflect.Value.SetZero)
		}
	}
	d := full()
	walk(nil, reflect.ValueOf(&d).Elem(), "Details")
}
