package domain_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// Invariant 4: the result type of Metadata has no member, however deep, that
// could hold a value: no Value, no bytes, no key hash, nothing of any type.
func TestMetadataHasNoRoomForValues(t *testing.T) {
	value := reflect.TypeFor[domain.Value]()
	ids := []reflect.Type{reflect.TypeFor[domain.KekID](), reflect.TypeFor[domain.DekID]()}
	seen := map[reflect.Type]bool{}
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		if typ.Implements(value) || reflect.PointerTo(typ).Implements(value) {
			t.Errorf("%s is a value: %s", path, typ)
		}
		switch typ.Kind() {
		case reflect.Struct:
			if typ.PkgPath() == "time" {
				return
			}
			for f := range typ.Fields() {
				walk(path+"."+f.Name, f.Type)
			}
		case reflect.Pointer, reflect.Slice:
			if typ.Elem().Kind() == reflect.Uint8 {
				t.Errorf("%s holds bytes", path)
			}
			walk(path+"[]", typ.Elem())
		case reflect.Array:
			// A data key's id and an event's are ULIDs, a kekId is as public.
			if typ.Len() != 16 && typ != ids[0] && typ != ids[1] {
				t.Errorf("%s holds %d bytes", path, typ.Len())
			}
		case reflect.Interface:
			if typ != reflect.TypeFor[domain.Stream]() {
				t.Errorf("%s can hold anything that is a %s", path, typ)
			}
		case reflect.Map, reflect.Func, reflect.Chan, reflect.UnsafePointer:
			t.Errorf("%s is a %s", path, typ.Kind())
		default:
		}
	}
	walk("HistoryEntry", reflect.TypeFor[domain.HistoryEntry]())
	for _, s := range []domain.Stream{domain.SecretStream{}, domain.DirectoryStream{}, domain.KeysStream{}} {
		walk("Stream", reflect.TypeOf(s))
	}
	if !seen[reflect.TypeFor[domain.FieldMetadata]()] {
		t.Error("the walk did not reach the fields")
	}
}

// Metadata says where, when, who and what, and is the same whatever the
// values are.
func TestMetadataIgnoresValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var log chronicle
		event := drawEvent(t, domain.TypeSecretCreated).(domain.SecretCreated) //nolint:errcheck // drawn by its type.
		r := log.record(domain.SecretStream{Ref: secretRef()}, 1, event)
		got := domain.Metadata(r)
		if got.ID != r.ID || got.Position != r.Position || got.Version != r.Version || !got.At.Equal(r.At) || !got.Time.Equal(r.Time) ||
			got.Actor != r.Actor || got.Origin != r.Origin || got.Type != domain.TypeSecretCreated || got.Stream != r.Stream {
			t.Fatalf("Metadata(%+v) = %+v", r, got)
		}
		other := event
		other.Fields = deepFields(event.Fields)
		for i := range other.Fields {
			if other.Fields[i].Value.Sensitivity() == domain.SensitivityEncrypted {
				other.Fields[i].Value = domain.Envelope{DataKey: "another", Ciphertext: []byte("another")}
			} else {
				other.Fields[i].Value = domain.NewPlaintext("another")
			}
		}
		r.Event, r.BodyHash = other, [32]byte{1}
		if diff := cmp.Diff(got, domain.Metadata(r)); diff != "" {
			t.Fatalf("metadata depends on values:\n%s", diff)
		}
	})
}
