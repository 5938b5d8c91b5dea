package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/chancery-dev/chancery/domain"
)

type vectorEnvelope struct {
	Version           int    `json:"version"`
	IV                []byte `json:"iv"`
	Ciphertext        []byte `json:"ciphertext"`
	AuthTag           []byte `json:"authTag"`
	DataKeyCiphertext string `json:"dataKeyCiphertext"`
}

func (v vectorEnvelope) domain(t *testing.T) domain.Envelope {
	t.Helper()
	if v.Version != 1 || len(v.IV) != domain.EnvelopeIVLen || len(v.AuthTag) != domain.EnvelopeTagLen {
		t.Fatal("the vector has not the shape of an EncryptedEnvelopeV1")
	}
	return domain.Envelope{
		IV: [domain.EnvelopeIVLen]byte(v.IV), Ciphertext: v.Ciphertext,
		AuthTag: [domain.EnvelopeTagLen]byte(v.AuthTag), DataKey: v.DataKeyCiphertext,
	}
}

type vectors struct {
	Format string `json:"format"`
	About  string `json:"about"`
	Valid  []struct {
		Name  string `json:"name"`
		Key   []byte `json:"key"`
		Value struct {
			Base64 *[]byte `json:"base64"`
			Repeat *struct {
				Base64 []byte `json:"base64"`
				Count  int    `json:"count"`
			} `json:"repeat"`
		} `json:"value"`
		Envelope vectorEnvelope `json:"envelope"`
	} `json:"valid"`
	Invalid []struct {
		Name     string         `json:"name"`
		Class    string         `json:"class"`
		Key      []byte         `json:"key"`
		Envelope vectorEnvelope `json:"envelope"`
	} `json:"invalid"`
}

// Invariant 4.
func TestSharedVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/envelope_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var v vectors
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	if v.Format != "chancery-envelope-vectors/v1" {
		t.Fatalf("format %q", v.Format)
	}
	for _, c := range v.Valid {
		t.Run("valid/"+c.Name, func(t *testing.T) {
			var want []byte
			switch {
			case c.Value.Base64 != nil && c.Value.Repeat == nil:
				want = *c.Value.Base64
			case c.Value.Repeat != nil && c.Value.Base64 == nil:
				want = bytes.Repeat(c.Value.Repeat.Base64, c.Value.Repeat.Count)
			default:
				t.Fatal("a value is given in exactly one way")
			}
			got, err := Open(c.Key, c.Envelope.domain(t))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("opened to %d bytes for %d, error %v", len(got), len(want), err)
			}
		})
	}
	classes := map[string]bool{}
	for _, c := range v.Invalid {
		classes[c.Class] = true
		t.Run("invalid/"+c.Name, func(t *testing.T) {
			if got, err := Open(c.Key, c.Envelope.domain(t)); !errors.Is(err, ErrOpen) || got != nil {
				t.Fatalf("opened with error %v", err)
			}
		})
	}
	for _, class := range []string{"tag_flipped", "iv_flipped", "ciphertext_flipped", "wrong_key", "truncated"} {
		if !classes[class] {
			t.Errorf("no vector of class %s", class)
		}
	}
	if len(v.Valid) < 6 {
		t.Errorf("only %d valid vectors", len(v.Valid))
	}
}
