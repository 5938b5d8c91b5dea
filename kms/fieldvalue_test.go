package kms

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

func TestFieldValueRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, value := testSecretKey(rapid.Byte().Draw(t, "key")), rapid.String().Draw(t, "value")
		event := testULID(rapid.Byte().Draw(t, "event"))
		s, err := sealField(k, testRef(), "f", event, domain.NewPlaintext(value))
		if err != nil {
			t.Fatal(err)
		}
		if s.KekID != k.kek || s.EventID != event || len(s.Box) != len(value)+boxOverhead {
			t.Fatal("sealed in another form")
		}
		if len(value) > 3 && bytes.Contains(s.Box, []byte(value)) {
			t.Fatal("the value stands in its box")
		}
		got, err := openField(k, testRef(), "f", s)
		if err != nil || got.Reveal() != value {
			t.Fatalf("opened to another value, error %v", err)
		}
	})
}

func TestFieldValueRefusesEveryChange(t *testing.T) {
	k, event := testSecretKey(1), testULID(7)
	s, err := sealField(k, testRef(), "password", event, domain.NewPlaintext("a value"))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, k secretKey, ref domain.SecretRef, f domain.FieldKey, s domain.Sealed) {
		t.Helper()
		if _, err := openField(k, ref, f, s); !errors.Is(err, ErrAuth) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for bit := range len(s.Box) * 8 {
		f := s
		f.Box = slices.Clone(s.Box)
		f.Box[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("box bit %d", bit), k, testRef(), "password", f)
	}
	for n := range s.Box {
		f := s
		f.Box = s.Box[:n]
		refused(fmt.Sprintf("box of %d bytes", n), k, testRef(), "password", f)
	}
	for bit := range 128 {
		f := s
		f.EventID[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("event id bit %d", bit), k, testRef(), "password", f)
		f = s
		f.KekID[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("kekId bit %d", bit), k, testRef(), "password", f)
	}
	for name, rebind := range rebindings() {
		ref, field := testRef(), domain.FieldKey("password")
		rebind(&ref, &field)
		refused("another "+name, k, ref, field, s)
	}
	refused("another key", testSecretKey(2), testRef(), "password", s)
}

func TestAFieldIsSealedForAnEvent(t *testing.T) {
	field := domain.Field{Key: "f", Value: domain.NewPlaintext("x")}
	w := write{fields: []domain.Field{field}, plaintexts: 1}
	k := testSecretKey(1)
	if _, err := sealWrite(SealRequest{Ref: testRef()}, &k, w); err == nil {
		t.Fatal("sealed for no event")
	}
}

// TestAnEventKeyGoesWithItsKey: the derived key of an event's values is
// remembered beside the key that it comes from, and nowhere after that is gone
// (invariant 6).
func TestAnEventKeyGoesWithItsKey(t *testing.T) {
	s := secretKeys{cache: newCache[domain.KekID](2, (*secretKey).wipe)}
	k, event := testSecretKey(1), testULID(7)
	s.cache.put(k.kek, k)
	if _, err := newFieldCipher(&k, event); err != nil || k.values.event != event || k.values.key == (key{}) {
		t.Fatalf("derived for %s: %v", k.values.event, err)
	}
	s.remember(k)
	cached, _ := s.cache.find(k.kek)
	if cached.values != k.values || cached.key != k.key {
		t.Error("the derived key is not remembered")
	}
	place := s.cache.turns.at(s.cache.entries[k.kek])
	s.cache.evict(k.kek)
	if place.value != (secretKey{}) {
		t.Error("keys are left where the key was")
	}
	s.remember(k)
	if s.cache.len() != 0 {
		t.Error("an evicted key is back")
	}
	if k.wipe(); k.key != (key{}) || k.values != (eventKey{}) {
		t.Error("a wiped key is left")
	}
}

func BenchmarkSealField(b *testing.B) {
	k, event, value := testSecretKey(1), testULID(1), domain.NewPlaintext("a value of the usual length")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sealField(k, testRef(), "f", event, value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenField(b *testing.B) {
	k := testSecretKey(1)
	s, err := sealField(k, testRef(), "f", testULID(1), domain.NewPlaintext("a value of the usual length"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := openField(k, testRef(), "f", s); err != nil {
			b.Fatal(err)
		}
	}
}
