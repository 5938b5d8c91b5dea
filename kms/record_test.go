package kms

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

func testRecord() secretKeyRecord {
	return secretKeyRecord{
		kek: domain.KekID{1: 0x0a}, org: testOrg, orgKey: 1, generation: 1, box: [secretKeyBox]byte{1, 2, 3},
		created: testTime, first: testULID(3), head: logPosition{position: 7, event: testULID(4)},
	}
}

func TestSecretKeyRecordsAreReadStrictly(t *testing.T) {
	r := testRecord()
	good, err := r.encode()
	if err != nil || len(good) != secretKeyRecordLen {
		t.Fatalf("%d bytes, %v", len(good), err)
	}
	if back, err := decodeSecretKeyRecord(good); err != nil || back != r || RecordGeneration(good) != 1 {
		t.Fatalf("came back as another record, error %v", err)
	}
	foreign := r
	foreign.head.event = ulid.ULID{} // a foreign message
	if raw, err := foreign.encode(); err != nil || RecordGeneration(raw) != 1 {
		t.Errorf("a head that is a foreign message: %v", err)
	}
	put := func(at int, v uint64, size int) []byte {
		b := slices.Clone(good)
		copy(b[at:at+size], binary.BigEndian.AppendUint64(nil, v)[8-size:])
		return b
	}
	for name, raw := range map[string][]byte{
		"empty":               {},
		"JSON":                []byte(`{"v":1}`),
		"cut":                 good[:len(good)-1],
		"a trailing byte":     append(slices.Clone(good), 0),
		"version 0":           put(0, 0, 1),
		"version 2":           put(0, 2, 1),
		"no org key":          put(33, 0, 4),
		"no generation":       put(37, 0, 4),
		"a time out of range": put(101, 1<<48, 8),
		"a negative time":     put(101, 1<<63, 8),
		"no head":             put(125, 0, 8),
		"no first event":      append(append(slices.Clone(good[:109]), make([]byte, 16)...), good[125:]...),
	} {
		if bytes.Equal(raw, good) {
			t.Errorf("%s: the case changes nothing", name)
		}
		if _, err := decodeSecretKeyRecord(raw); !errors.Is(err, ErrRecord) || RecordGeneration(raw) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.org = "acme"
	if _, err := r.encode(); err == nil {
		t.Error("an organization that is no ULID was encoded")
	}
}

// What is encoded comes back, and every record that is read is written so.
func TestSecretKeyRecordLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), secretKeyRecordLen, secretKeyRecordLen).Draw(t, "bytes")
		raw[0], raw[101], raw[102] = 1, 0, 0
		r, err := decodeSecretKeyRecord(raw)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil || !bytes.Equal(raw, again) {
			t.Fatalf("%x became %x, %v", raw, again, err)
		}
		if back, err := decodeSecretKeyRecord(again); err != nil || back != r {
			t.Fatalf("another record, %v", err)
		}
	})
}

func FuzzSecretKeyRecord(f *testing.F) {
	r := testRecord()
	good, err := r.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := decodeSecretKeyRecord(raw)
		if err != nil {
			return
		}
		if again, err := r.encode(); err != nil || !bytes.Equal(raw, again) {
			t.Errorf("%x became %x, %v", raw, again, err)
		}
	})
}

func TestOrgKeyRecordsAreReadStrictly(t *testing.T) {
	raw, err := encodeRecord(orgKeyRecord{
		V: 1, Org: testOrg, ID: "k1", Generation: 1, CreatedAt: testTime.Add(time.Millisecond),
		Wrapped: Wrapped{Provider: "local", KeyRef: "0a", KeyVersion: "1", Blob: []byte{1, 2, 3}},
	})
	if err != nil {
		t.Fatal(err)
	}
	good := string(raw)
	if back, err := decodeOrgKeyRecord(raw); err != nil || back.ID != "k1" {
		t.Fatalf("came back as another record, error %v", err)
	}
	for name, text := range map[string]string{
		"empty":               "",
		"null":                "null",
		"an array":            "[]",
		"cut":                 good[:len(good)-1],
		"trailing bytes":      good + "\n",
		"a blank":             strings.Replace(good, ":", ": ", 1),
		"an unknown member":   strings.Replace(good, `{`, `{"x":1,`, 1),
		"a member twice":      strings.Replace(good, `{"v":1`, `{"v":1,"v":1`, 1),
		"another case":        strings.Replace(good, `"keyRef"`, `"KeyRef"`, 1),
		"a missing member":    strings.Replace(good, `"generation":1,`, ``, 1),
		"version 2":           strings.Replace(good, `"v":1`, `"v":2`, 1),
		"base64 line break":   strings.Replace(good, `AQID`, `AQ\nID`, 1),
		"another time offset": strings.Replace(good, `001Z`, `001+00:00`, 1),
		"a negative number":   strings.Replace(good, `"generation":1`, `"generation":-1`, 1),
	} {
		if text == good {
			t.Errorf("%s: the case changes nothing", name)
		}
		if _, err := decodeOrgKeyRecord([]byte(text)); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
