package client_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
	"github.com/chancery-dev/chancery/kms/seal"
)

// keyServer mints and releases keys and keeps one field.
type keyServer struct {
	keys     map[string][]byte // by ciphertext
	field    wire.SetField
	replaced []wire.SetField // what GET answers before field, in turn
}

func (k *keyServer) mint(w http.ResponseWriter, _ *http.Request) {
	key := make([]byte, seal.KeyLen)
	if _, err := rand.Read(key); err != nil {
		panic(err)
	}
	name := fmt.Sprintf("key-%d", len(k.keys))
	k.keys[name] = key
	data(200, fmt.Sprintf(`{"data":{"plaintextKey":%q,"dataKeyCiphertext":%q,"keyId":"k"}}`,
		base64.StdEncoding.EncodeToString(key), name))(w, nil)
}

func (k *keyServer) release(w http.ResponseWriter, ciphertext string) {
	if k.field.Envelope == nil || k.field.Envelope.DataKeyCiphertext != ciphertext {
		problem(422, domain.CodeDataKeyMismatch)(w, nil)
		return
	}
	data(200, fmt.Sprintf(`{"data":{"plaintextKey":%q}}`, base64.StdEncoding.EncodeToString(k.keys[ciphertext])))(w, nil)
}

func (k *keyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/generate-data-key"):
		k.mint(w, r)
	case strings.HasSuffix(r.URL.Path, "/decrypt-data-key"):
		var body wire.DecryptDataKey
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			panic(err)
		}
		k.release(w, body.DataKeyCiphertext)
	case r.Method == http.MethodPut:
		var body wire.SetField
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			panic(err)
		}
		k.field = body
		k.answer(w, k.field)
	default:
		f := k.field
		if len(k.replaced) > 0 {
			f, k.replaced = k.replaced[0], k.replaced[1:]
		}
		k.answer(w, f)
	}
}

func (k *keyServer) answer(w http.ResponseWriter, f wire.SetField) {
	body, err := json.Marshal(wire.Response[wire.Field]{Data: wire.Field{
		Key: "api_key", Sensitivity: f.Sensitivity, Value: f.Value, Envelope: f.Envelope, Version: 3,
	}})
	if err != nil {
		panic(err)
	}
	data(200, string(body))(w, nil)
}

func withKeys(t *testing.T, n int) (*script, *keyServer) {
	k := &keyServer{keys: map[string][]byte{}}
	steps := make([]http.HandlerFunc, n)
	for i := range steps {
		steps[i] = k.ServeHTTP
	}
	return serve(t, steps...), k
}

const value = "canary value \x00\xff that is sealed here"

func TestAFieldIsSealedAndOpenedHere(t *testing.T) {
	s, _ := withKeys(t, 4)
	c, ctx := s.client(), t.Context()
	f, err := c.SealField(ctx, testField, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetField(ctx, testSecret, f); err != nil {
		t.Fatal(err)
	}
	got, err := c.Reveal(ctx, testField)
	if err != nil || string(got.Value) != value || got.Sensitivity != domain.SensitivityEncrypted || got.Version != 3 {
		t.Fatalf("revealed %d bytes, %v", len(got.Value), err)
	}
	for _, r := range s.requests() {
		if strings.Contains(r.Body, "canary") || strings.Contains(r.Body, base64.StdEncoding.EncodeToString([]byte(value))) {
			t.Errorf("the value went out with %s", r.URI)
		}
	}
	if p := fmt.Sprintf("%v %+v %#v %v", got, got, got, f); strings.Contains(p, "canary") {
		t.Error("a value printed")
	}
}

func TestRevealOfAPlaintextField(t *testing.T) {
	s, _ := withKeys(t, 2)
	c, ctx := s.client(), t.Context()
	if _, err := c.SetField(ctx, testSecret, client.PlaintextField("api_key", "open")); err != nil {
		t.Fatal(err)
	}
	got, err := c.Reveal(ctx, testField)
	if err != nil || string(got.Value) != "open" || got.Sensitivity != domain.SensitivityPlaintext {
		t.Fatalf("revealed %q, %v", got.Value, err)
	}
	s.requests()
}

func TestRevealReadsAgainWhatAWriterReplaced(t *testing.T) {
	s, k := withKeys(t, 8)
	c, ctx := s.client(), t.Context()
	var old wire.SetField
	for _, v := range []string{"old", "new"} {
		old = k.field
		f, err := c.SealField(ctx, testField, []byte(v))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.SetField(ctx, testSecret, f); err != nil {
			t.Fatal(err)
		}
	}
	k.replaced = []wire.SetField{old}
	got, err := c.Reveal(ctx, testField)
	if err != nil || string(got.Value) != "new" {
		t.Fatalf("revealed %q, %v", got.Value, err)
	}
	s.requests()
}

func TestAKeyThatIsRefusedTwiceIsRefused(t *testing.T) {
	s, k := withKeys(t, 6)
	c, ctx := s.client(), t.Context()
	f, err := c.SealField(ctx, testField, []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetField(ctx, testSecret, f); err != nil {
		t.Fatal(err)
	}
	old := k.field
	k.field.Envelope = nil
	k.replaced = []wire.SetField{old, old}
	if _, err := c.Reveal(ctx, testField); !isCode(err, domain.CodeDataKeyMismatch) {
		t.Errorf("got %v", err)
	}
	s.requests()
}

func TestAnotherKeyDoesNotOpen(t *testing.T) {
	s, k := withKeys(t, 4)
	c, ctx := s.client(), t.Context()
	f, err := c.SealField(ctx, testField, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetField(ctx, testSecret, f); err != nil {
		t.Fatal(err)
	}
	k.keys["key-0"][0] ^= 1
	if _, err := c.Reveal(ctx, testField); !errors.Is(err, seal.ErrOpen) || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
	s.requests()
}

func TestValuesThatCanNotBeStoredAreNotSent(t *testing.T) {
	s := serve(t)
	c, ctx := s.client(), t.Context()
	long := strings.Repeat("x", domain.MaxValueLen+1)
	_, err := c.SealField(ctx, testField, []byte(long))
	_, err2 := c.SetField(ctx, testSecret, client.PlaintextField("k", long))
	if !isCode(err, domain.CodeTooLong) || !isCode(err2, domain.CodeTooLong) {
		t.Errorf("too long: %v, %v", err, err2)
	}
	_, err = c.SetField(ctx, testSecret, client.PlaintextField("k", "\xff"))
	if !isCode(err, domain.CodeInvalidRequest) {
		t.Errorf("not UTF-8: %v", err)
	}
	if _, err := c.SetField(ctx, testSecret, domain.Field{Key: "k", Value: domain.Sealed{}}); err == nil {
		t.Error("a sealed value of the log went out")
	}
	s.requests()
}
