package seal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chancery-dev/chancery/domain"
)

// wycheproofModule is the version that golang.org/x/crypto pins.
const wycheproofModule = "github.com/google/wycheproof@v0.0.0-20191219022705-2196000605e4"

// wycheproofFile fetches the vectors through the module proxy, as
// golang.org/x/crypto does: they are no part of this module.
func wycheproofFile(t *testing.T, name string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", wycheproofModule).Output()
	if err != nil {
		t.Fatalf("fetching %s: %v", wycheproofModule, err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(module.Dir, "testvectors", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Every Wycheproof vector of the shape that an envelope has (256-bit key,
// 96-bit nonce, 128-bit tag) goes through the AEAD; those without additional
// data go through Open as well.
func TestWycheproof(t *testing.T) {
	var suite struct {
		TestGroups []struct {
			KeySize, IVSize, TagSize int
			Tests                    []struct {
				TCID                                        int `json:"tcId"`
				Comment, Key, IV, AAD, Msg, CT, Tag, Result string
			}
		}
	}
	if err := json.Unmarshal(wycheproofFile(t, "aes_gcm_test.json"), &suite); err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	valid, invalid, opened := 0, 0, 0
	for _, g := range suite.TestGroups {
		if g.KeySize != 8*KeyLen || g.IVSize != 8*domain.EnvelopeIVLen || g.TagSize != 8*domain.EnvelopeTagLen {
			continue
		}
		for _, c := range g.Tests {
			key, iv, aad, msg, ct, tag := unhex(c.Key), unhex(c.IV), unhex(c.AAD), unhex(c.Msg), unhex(c.CT), unhex(c.Tag)
			check := func(how string, got []byte, err error) {
				t.Helper()
				if ok := err == nil && bytes.Equal(got, msg); ok != (c.Result == "valid") {
					t.Errorf("case %d (%s), %s: result %s, error %v", c.TCID, c.Comment, how, c.Result, err)
				}
			}
			if c.Result == "valid" {
				valid++
			} else {
				invalid++
			}
			aead, err := newAEAD(key)
			if err != nil {
				t.Fatal(err)
			}
			got, err := aead.Open(nil, nil, bytes.Join([][]byte{iv, ct, tag}, nil), aad)
			check("AEAD", got, err)
			if len(aad) != 0 {
				continue
			}
			opened++
			got, err = Open(key, domain.Envelope{
				IV: [domain.EnvelopeIVLen]byte(iv), Ciphertext: ct, AuthTag: [domain.EnvelopeTagLen]byte(tag),
			})
			check("Open", got, err)
		}
	}
	if valid == 0 || invalid == 0 || opened == 0 {
		t.Fatalf("%d valid, %d invalid, %d opened: the vectors were not found", valid, invalid, opened)
	}
}
