package kms

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRecordsAreReadStrictly(t *testing.T) {
	r := secretKeyRecord{
		V: 1, KekID: strings.Repeat("0a", 16), Generation: 1, Org: testOrg, OrgKeyID: "k1", Box: []byte{1, 2, 3},
		CreatedAt: testTime, EventsCreated: testTime.Add(time.Nanosecond), EventsHead: 7,
	}
	raw, err := encodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	good := string(raw)
	back, kek, err := decodeSecretKeyRecord(raw)
	if err != nil || kek.String() != r.KekID || !back.EventsCreated.Equal(r.EventsCreated) || back.EventsHead != 7 {
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
		"another case":        strings.Replace(good, `"kekId"`, `"kekID"`, 1),
		"a missing member":    strings.Replace(good, `,"eventsHead":7`, ``, 1),
		"version 2":           strings.Replace(good, `"v":1`, `"v":2`, 1),
		"upper-case kekId":    strings.Replace(good, `0a0a`, `0A0a`, 1),
		"short kekId":         strings.Replace(good, `0a0a`, `0a`, 1),
		"base64 line break":   strings.Replace(good, `AQID`, `AQ\nID`, 1),
		"another time offset": strings.Replace(good, `00Z`, `00+00:00`, 1),
		"a negative head":     strings.Replace(good, `:7}`, `:-7}`, 1),
	} {
		if text == good {
			t.Errorf("%s: the case changes nothing", name)
		}
		if _, _, err := decodeSecretKeyRecord([]byte(text)); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
