package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

const envelopeJSON = `{"version":1,"iv":"AAAAAAAAAAAAAAAA","ciphertext":"AAA=","authTag":"AAAAAAAAAAAAAAAAAAAAAA==","dataKeyCiphertext":"x"}`

// TestDecodeAccepts verifies what a well-formed body becomes.
func TestDecodeAccepts(t *testing.T) {
	body := ` {"secretName":"a\u00e9\ud83d\ude00\/","category":"c","tags":["x",""],` +
		`"fields":[{"key":"k","sensitivity":"plaintext","value":""},{"key":"e","sensitivity":"encrypted","envelope":` + envelopeJSON + `}]}` + "\r\n\t "
	got, err := wire.Decode[wire.CreateSecret]([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	empty := wire.Value("")
	want := wire.CreateSecret{
		SecretName: "aé😀/", Category: "c", Tags: []string{"x", ""},
		Fields: []wire.NewField{
			{Key: "k", Sensitivity: "plaintext", Value: &empty},
			{Key: "e", Sensitivity: "encrypted", Envelope: &wire.Envelope{
				Version: 1, IV: "AAAAAAAAAAAAAAAA", Ciphertext: "AAA=", AuthTag: "AAAAAAAAAAAAAAAAAAAAAA==", DataKeyCiphertext: "x",
			}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestDecodeRefuses verifies invariants 2 and 3: the code and the pointers of
// every class of fault.
func TestDecodeRefuses(t *testing.T) {
	const valid = `"secretName":"n","category":"c"`
	field := func(inner string) string { return `{` + valid + `,"fields":[` + inner + `]}` }
	for name, test := range map[string]struct {
		body     string
		code     domain.Code
		pointers []string
	}{
		"empty":                    {"", domain.CodeInvalidJSON, nil},
		"blanks":                   {" \n", domain.CodeInvalidJSON, nil},
		"byte order mark":          {"\ufeff{" + valid + "}", domain.CodeInvalidJSON, nil},
		"trailing bytes":           {"{" + valid + "} x", domain.CodeInvalidJSON, nil},
		"two texts":                {"{" + valid + "}{}", domain.CodeInvalidJSON, nil},
		"trailing NUL":             {"{" + valid + "}\x00", domain.CodeInvalidJSON, nil},
		"not UTF-8":                {"{\"secretName\":\"\xff\",\"category\":\"c\"}", domain.CodeInvalidJSON, nil},
		"CESU surrogate":           {"{\"secretName\":\"\xed\xa0\x80\",\"category\":\"c\"}", domain.CodeInvalidJSON, nil},
		"high surrogate alone":     {`{"secretName":"\ud800","category":"c"}`, domain.CodeInvalidJSON, nil},
		"low surrogate alone":      {`{"secretName":"\udc00","category":"c"}`, domain.CodeInvalidJSON, nil},
		"two high surrogates":      {`{"secretName":"\ud800\ud800","category":"c"}`, domain.CodeInvalidJSON, nil},
		"surrogate before text":    {`{"secretName":"\ud800x","category":"c"}`, domain.CodeInvalidJSON, nil},
		"short escape":             {`{"secretName":"\u00","category":"c"}`, domain.CodeInvalidJSON, nil},
		"signed escape":            {`{"secretName":"\u+0a1","category":"c"}`, domain.CodeInvalidJSON, nil},
		"unknown escape":           {`{"secretName":"\x41","category":"c"}`, domain.CodeInvalidJSON, nil},
		"raw control character":    {"{\"secretName\":\"a\nb\",\"category\":\"c\"}", domain.CodeInvalidJSON, nil},
		"raw control after escape": {"{\"secretName\":\"\\na\nb\",\"category\":\"c\"}", domain.CodeInvalidJSON, nil},
		"unclosed string":          {`{"secretName":"a`, domain.CodeInvalidJSON, nil},
		"unclosed escape":          {`{"secretName":"a\n`, domain.CodeInvalidJSON, nil},
		"unclosed object":          {`{"secretName":"a"`, domain.CodeInvalidJSON, nil},
		"trailing comma":           {"{" + valid + ",}", domain.CodeInvalidJSON, nil},
		"single quotes":            {`{'secretName':'a'}`, domain.CodeInvalidJSON, nil},
		"leading zero":             {`{"secretName":01}`, domain.CodeInvalidJSON, nil},
		"lone minus":               {`{"secretName":-}`, domain.CodeInvalidJSON, nil},
		"no fraction":              {`{"secretName":1.}`, domain.CodeInvalidJSON, nil},
		"no exponent":              {`{"secretName":1e+}`, domain.CodeInvalidJSON, nil},
		"NaN":                      {`{"secretName":NaN}`, domain.CodeInvalidJSON, nil},
		"too deep":                 {strings.Repeat("[", 100000), domain.CodeInvalidJSON, nil},
		"syntax after a fault":     {`{"secretName":1,"category":}`, domain.CodeInvalidJSON, nil},
		"duplicate":                {"{" + valid + `,"category":"c"}`, domain.CodeInvalidJSON, []string{"/category"}},
		"duplicate by escape":      {"{" + valid + `,"c\u0061tegory":"c"}`, domain.CodeInvalidJSON, []string{"/category"}},
		"duplicate within unknown": {"{" + valid + `,"x":{"y":1,"y":2}}`, domain.CodeInvalidJSON, []string{"/x/y"}},
		"unknown":                  {"{" + valid + `,"categoryy":"c"}`, domain.CodeInvalidRequest, []string{"/categoryy"}},
		"unknown, not plain":       {"{" + valid + `,"a secret!":"c"}`, domain.CodeInvalidRequest, []string{""}},
		"wrong case":               {`{"secretname":"n","category":"c"}`, domain.CodeInvalidRequest, []string{"/secretname", "/secretName"}},
		"missing":                  {`{}`, domain.CodeInvalidRequest, []string{"/secretName", "/category"}},
		"wrong types":              {`{"secretName":1,"category":[],"tags":{"a":1},"fields":"x"}`, domain.CodeInvalidRequest, []string{"/secretName", "/category", "/tags", "/fields"}},
		"wrong item":               {"{" + valid + `,"tags":["a",true]}`, domain.CodeInvalidRequest, []string{"/tags/1"}},
		"null":                     {"{" + valid + `,"tags":null}`, domain.CodeInvalidRequest, []string{"/tags"}},
		"not an object":            {`[]`, domain.CodeInvalidRequest, []string{""}},
		"null body":                {`null`, domain.CodeInvalidRequest, []string{""}},
		"field without key":        {field(`{"sensitivity":"plaintext","value":"v"}`), domain.CodeInvalidRequest, []string{"/fields/0/key"}},
		"value is no string":       {field(`{"key":"k","sensitivity":"plaintext","value":1}`), domain.CodeInvalidRequest, []string{"/fields/0/value"}},
		"envelope is no object":    {field(`{"key":"k","sensitivity":"encrypted","envelope":"x"}`), domain.CodeInvalidEnvelope, []string{"/fields/0/envelope"}},
		"envelope member missing":  {field(`{"key":"k","sensitivity":"encrypted","envelope":{"version":1}}`), domain.CodeInvalidEnvelope, []string{"/fields/0/envelope/iv", "/fields/0/envelope/ciphertext", "/fields/0/envelope/authTag", "/fields/0/envelope/dataKeyCiphertext"}},
		"envelope version a text":  {field(`{"key":"k","sensitivity":"encrypted","envelope":` + strings.Replace(envelopeJSON, `1,`, `"1",`, 1) + `}`), domain.CodeInvalidEnvelope, []string{"/fields/0/envelope/version"}},
		"envelope version 1.0":     {field(`{"key":"k","sensitivity":"encrypted","envelope":` + strings.Replace(envelopeJSON, `1,`, `1.0,`, 1) + `}`), domain.CodeInvalidEnvelope, []string{"/fields/0/envelope/version"}},
		"envelope version huge":    {field(`{"key":"k","sensitivity":"encrypted","envelope":` + strings.Replace(envelopeJSON, `1,`, `99999999999999999999,`, 1) + `}`), domain.CodeInvalidEnvelope, []string{"/fields/0/envelope/version"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := wire.Decode[wire.CreateSecret]([]byte(test.body))
			e, ok := errors.AsType[*domain.Error](err)
			if !ok {
				t.Fatalf("got %v, want a domain.Error", err)
			}
			if e.Code != test.code {
				t.Errorf("code %s, want %s (%s)", e.Code, test.code, e.Detail)
			}
			var pointers []string
			for _, f := range e.Fields {
				pointers = append(pointers, f.Field)
			}
			if test.code != domain.CodeInvalidJSON || test.pointers != nil {
				if diff := cmp.Diff(test.pointers, pointers); diff != "" {
					t.Error(diff)
				}
			}
			if !reflect.ValueOf(got).IsZero() {
				t.Error("a refused body gave a value")
			}
		})
	}
}

// TestDecodeTimes verifies that a time in a body is refused as one.
func TestDecodeTimes(t *testing.T) {
	got, err := wire.Decode[wire.IssueKey]([]byte(`{"expiresAt":"2027-01-02T03:04:05.678912Z"}`))
	if err != nil {
		t.Fatal(err)
	}
	if s := got.ExpiresAt.String(); s != "2027-01-02T03:04:05.678Z" {
		t.Errorf("got %s", s)
	}
	for _, body := range []string{`{"expiresAt":"tomorrow"}`, `{"expiresAt":5}`, `{"expiresAt":{}}`} {
		_, err := wire.Decode[wire.IssueKey]([]byte(body))
		e, ok := errors.AsType[*domain.Error](err)
		if !ok || e.Code != domain.CodeInvalidRequest || len(e.Fields) != 1 || e.Fields[0].Field != "/expiresAt" {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

// TestDecodeBounds verifies that a hostile array names a bounded number of
// faults and keeps none of its items.
func TestDecodeBounds(t *testing.T) {
	body := `{"secretName":"n","category":"c","fields":[` + strings.Repeat("{},", 200000) + `{}]}`
	_, err := wire.Decode[wire.CreateSecret]([]byte(body))
	e, ok := errors.AsType[*domain.Error](err)
	if !ok || len(e.Fields) != 16 {
		t.Fatalf("got %v", err)
	}
}

// request is one type that the server decodes.
type request struct {
	name   string
	decode func([]byte) (any, error)
	strict func([]byte) (any, error) // by encoding/json
}

func requestOf[T any]() request {
	var zero T
	return request{
		name:   reflect.TypeOf(zero).Name(),
		decode: func(b []byte) (any, error) { return wire.Decode[T](b) },
		strict: func(b []byte) (any, error) {
			var v T
			d := json.NewDecoder(bytes.NewReader(b))
			d.DisallowUnknownFields()
			err := d.Decode(&v)
			return v, err
		},
	}
}

func requests() []request {
	return []request{
		requestOf[wire.CreateSecret](), requestOf[wire.UpdateSecret](), requestOf[wire.SetField](),
		requestOf[wire.GenerateDataKey](), requestOf[wire.DecryptDataKey](),
		requestOf[wire.CreateItem](), requestOf[wire.CreateProject](), requestOf[wire.UpdateItem](),
		requestOf[wire.GrantMembership](), requestOf[wire.RevokeMembership](), requestOf[wire.IssueKey](),
	}
}

// FuzzDecode verifies invariants 2 and 3 on any bytes: what is refused is
// refused with a domain.Error, and what is accepted is read as the same by
// encoding/json and comes back from its own encoding.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"secretName":"n","category":"c","tags":["t"],"fields":[{"key":"k","sensitivity":"encrypted","envelope":` + envelopeJSON + `}]}`,
		`{"secretName":"\ud83d\ude00\u0000","category":"c"}`, `{"sensitivity":"plaintext","value":"v"}`,
		`{"scope":"org","scopeId":"x","secretId":"s","fieldKey":"f","dataKeyCiphertext":"y"}`,
		`{"name":"n","teamId":"t"}`, `{"archived":true}`, `{"role":"admin"}`, `{}`,
		`{"expiresAt":"2027-01-02T03:04:05Z","note":"x"}`, `{"a":{"b":[1,-0.5e+7,null,false]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, r := range requests() {
			got, err := r.decode(body)
			if err != nil {
				if _, ok := errors.AsType[*domain.Error](err); !ok {
					t.Fatalf("%s: %v is not a domain.Error", r.name, err)
				}
				continue
			}
			want, err := r.strict(body)
			if err != nil {
				t.Fatalf("%s: accepted what encoding/json refuses: %v", r.name, err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: read otherwise than encoding/json reads it", r.name)
			}
			again, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			back, err := r.decode(again)
			if err != nil {
				t.Fatalf("%s: refused its own encoding: %v", r.name, err)
			}
			more, err := json.Marshal(back)
			if err != nil || !bytes.Equal(again, more) {
				t.Fatalf("%s: another encoding after a round trip (%v)", r.name, err)
			}
		}
	})
}

// TestDecodeOrNull verifies that absent, null and given are told apart, and
// that nothing else is.
func TestDecodeOrNull(t *testing.T) {
	at := wire.NewTime(time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC))
	for body, want := range map[string]wire.UpdateSecret{
		`{}`:                     {},
		`{"rotateEvery":null}`:   {RotateEvery: wire.Null[string]()},
		`{"rotateEvery": "90d"}`: {RotateEvery: wire.NotNull("90d")},
		`{"expiresAt": null }`:   {ExpiresAt: wire.Null[wire.Time]()},
		`{"expiresAt":"2027-01-31T12:00:00Z","rotateEvery":""}`: {ExpiresAt: wire.NotNull(at), RotateEvery: wire.NotNull("")},
	} {
		got, err := wire.Decode[wire.UpdateSecret]([]byte(body))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", body, err, diff)
		}
		sent, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		again, err := wire.Decode[wire.UpdateSecret](sent)
		if diff := cmp.Diff(want, again); err != nil || diff != "" {
			t.Errorf("%s, sent as %s: %v %s", body, sent, err, diff)
		}
	}
	for body, pointer := range map[string]string{
		`{"rotateEvery":90}`: "/rotateEvery", `{"rotateEvery":{}}`: "/rotateEvery", `{"rotateEvery":["90d"]}`: "/rotateEvery",
		`{"rotateEvery":{"Value":"90d"}}`: "/rotateEvery", `{"expiresAt":false}`: "/expiresAt", `{"expiresAt":""}`: "/expiresAt",
		`{"expiresAt":"2027-01-31"}`: "/expiresAt", `{"tags":null}`: "/tags", `{"secretName":null}`: "/secretName",
	} {
		_, err := wire.Decode[wire.UpdateSecret]([]byte(body))
		e, ok := errors.AsType[*domain.Error](err)
		if !ok || e.Code != domain.CodeInvalidRequest || len(e.Fields) != 1 || e.Fields[0].Field != pointer {
			t.Errorf("%s: got %v", body, err)
		}
	}
	for _, body := range []string{`{"rotateEvery":nul}`, `{"rotateEvery":nil}`, `{"rotateEvery":}`, `{"rotateEvery":null,"rotateEvery":null}`} {
		if _, err := wire.Decode[wire.UpdateSecret]([]byte(body)); domain.CodeOf(err) != domain.CodeInvalidJSON {
			t.Errorf("%s: got %v", body, err)
		}
	}
}
