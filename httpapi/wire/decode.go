package wire

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/chancery-dev/chancery/domain"
)

const (
	// maxDepth is how deep arrays and objects may nest. No request needs
	// more than 4.
	maxDepth = 16
	// maxFaults is how many members a refusal names.
	maxFaults = 16
)

// Decode reads a request body. It accepts one JSON text whose members are
// exactly T's: each name in exactly its case and at most once, none unknown,
// none null but an [OrNull], and none missing but those that are tagged
// omitempty. The text
// is UTF-8 without unpaired surrogates, and nothing but blanks follows it.
//
// A text that is no such JSON (or repeats a name) is invalid_json; one that
// is not a T is invalid_request, or invalid_envelope where the fault lies in
// an [Envelope]. The error is a [domain.Error]; its Fields name the members
// at fault by JSON pointer. It holds no value.
func Decode[T any](data []byte) (T, error) {
	var v, zero T
	if !utf8.Valid(data) {
		return zero, domain.Errorf(domain.CodeInvalidJSON, "the body is not UTF-8")
	}
	d := decoder{scanner: scanner{data: data}}
	if err := d.value(reflect.ValueOf(&v).Elem(), "", domain.CodeInvalidRequest); err != nil {
		return zero, err
	}
	if d.blanks(); d.pos < len(d.data) {
		return zero, d.syntax("nothing follows the JSON text")
	}
	if d.fault != nil {
		return zero, d.fault
	}
	return v, nil
}

// decoder reads one text into one value. A returned error ends it; a fault is
// noted and the rest is still read, so that syntax errors come first and a
// client sees all that is wrong at once.
type decoder struct {
	scanner
	fault *domain.Error
}

func (d *decoder) note(code domain.Code, at, detail string) {
	if d.fault == nil {
		d.fault = domain.Errorf(code, "%s", detail)
	}
	if len(d.fault.Fields) < maxFaults {
		d.fault.Fields = append(d.fault.Fields, domain.FieldError{Field: at, Code: code})
	}
}

// value reads the next value into v. An invalid v is none: the value is read
// past. at is its pointer, code what a fault in it is.
func (d *decoder) value(v reflect.Value, at string, code domain.Code) error {
	d.blanks()
	if v.IsValid() {
		if v.Kind() == reflect.Pointer {
			v.Set(reflect.New(v.Type().Elem()))
			v = v.Elem()
		}
		if o, ok := nullable(v); ok {
			if d.peek() == 'n' {
				_, err := d.word()
				return err
			}
			return d.value(o.inner(), at, code)
		}
		if f, ok := v.Interface().(interface{ faultCode() domain.Code }); ok {
			code = f.faultCode()
		}
	}
	c := d.peek()
	want, known := wants(v)
	if !known {
		return fmt.Errorf("wire: requests hold no %s", v.Type())
	}
	if v.IsValid() && !want.starts(c) && startsValue(c) {
		d.note(code, at, string(want)+" belongs here")
		v = reflect.Value{}
	}
	switch {
	case c == '{':
		return d.object(v, at, code)
	case c == '[':
		return d.array(v, at, code)
	case c == '"':
		s, err := d.text()
		if err == nil && v.IsValid() {
			d.setText(v, s, at, code)
		}
		return err
	case c == '-' || '0' <= c && c <= '9':
		s, err := d.number()
		if err == nil && v.IsValid() {
			d.setNumber(v, s, at, code)
		}
		return err
	default:
		s, err := d.word()
		if err == nil && v.IsValid() {
			v.SetBool(s == "true")
		}
		return err
	}
}

// nullable gives v as an [OrNull], if it is one.
func nullable(v reflect.Value) (o interface{ inner() reflect.Value }, ok bool) {
	if v.CanAddr() {
		o, ok = v.Addr().Interface().(interface{ inner() reflect.Value })
	}
	return o, ok
}

func (d *decoder) setText(v reflect.Value, s, at string, code domain.Code) {
	u, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	if !ok {
		v.SetString(s)
		return
	}
	if err := u.UnmarshalText([]byte(s)); err != nil {
		detail := "the member is malformed"
		if e, ok := errors.AsType[*domain.Error](err); ok {
			code, detail = e.Code, e.Detail
		}
		d.note(code, at, detail)
	}
}

func (d *decoder) setNumber(v reflect.Value, s, at string, code domain.Code) {
	n, err := strconv.ParseInt(s, 10, v.Type().Bits())
	if err != nil {
		d.note(code, at, string(wantInteger)+" belongs here")
		return
	}
	v.SetInt(n)
}

func (d *decoder) array(v reflect.Value, at string, code domain.Code) error {
	if v.IsValid() {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	}
	return d.list('[', ']', func(i int) error {
		// Once faults are full the rest is only read past: a hostile array
		// then takes no memory.
		if !v.IsValid() || d.fault != nil && len(d.fault.Fields) >= maxFaults {
			return d.value(reflect.Value{}, at, code)
		}
		item := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(item, at+"/"+strconv.Itoa(i), code); err != nil {
			return err
		}
		v.Set(reflect.Append(v, item))
		return nil
	})
}

func (d *decoder) object(v reflect.Value, at string, code domain.Code) error {
	members := membersOf(v)
	seen := map[string]bool{}
	err := d.list('{', '}', func(int) error {
		d.blanks()
		if d.peek() != '"' {
			return d.syntax("a name in quotes belongs here")
		}
		name, err := d.text()
		if err != nil {
			return err
		}
		pointer := at
		m, ok := members[name]
		if ok || plain(name) {
			pointer += "/" + name
		}
		if seen[name] {
			return domain.Errorf(domain.CodeInvalidJSON, "a member is given twice").At(pointer)
		}
		seen[name] = true
		if d.blanks(); !d.take(':') {
			return d.syntax("a colon belongs here")
		}
		if v.IsValid() && !ok {
			d.note(code, pointer, "the member is not known")
		}
		return d.value(m.value, pointer, code)
	})
	if err != nil || !v.IsValid() {
		return err
	}
	for i := range v.NumField() {
		name, optional := tagOf(v.Type().Field(i))
		if !optional && !seen[name] {
			d.note(code, at+"/"+name, "the member is missing")
		}
	}
	return nil
}

type member struct{ value reflect.Value }

// membersOf gives a struct's members by name; none for no value.
func membersOf(v reflect.Value) map[string]member {
	if !v.IsValid() {
		return nil
	}
	members := make(map[string]member, v.NumField())
	for i := range v.NumField() {
		name, _ := tagOf(v.Type().Field(i))
		members[name] = member{v.Field(i)}
	}
	return members
}

func tagOf(f reflect.StructField) (name string, optional bool) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name, options == "omitempty"
}

// plain says whether a name that a client made up may stand in a pointer: it
// is no longer than a name and needs no escaping.
func plain(name string) bool {
	if name == "" || len(name) > 32 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !('A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// want is what a type's JSON form is, in words.
type want string

const (
	wantObject  want = "an object"
	wantArray   want = "an array"
	wantString  want = "a string"
	wantInteger want = "an integer"
	wantBool    want = "true or false"
)

// wants gives the JSON form of v's type; false for a type that no request
// holds. An invalid v wants nothing.
func wants(v reflect.Value) (w want, known bool) {
	if !v.IsValid() {
		return "", true
	}
	if v.CanAddr() {
		if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
			return wantString, true
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		return wantObject, true
	case reflect.Slice:
		return wantArray, true
	case reflect.String:
		return wantString, true
	case reflect.Int, reflect.Int64, reflect.Int32:
		return wantInteger, true
	case reflect.Bool:
		return wantBool, true
	default:
		return "", false
	}
}

// starts says whether a value that begins with c can have the form.
func (w want) starts(c byte) bool {
	switch w {
	case wantObject:
		return c == '{'
	case wantArray:
		return c == '['
	case wantString:
		return c == '"'
	case wantInteger:
		return c == '-' || '0' <= c && c <= '9'
	case wantBool:
		return c == 't' || c == 'f'
	}
	return true
}

func startsValue(c byte) bool { return strings.IndexByte(`{["-0123456789tfn`, c) >= 0 }
