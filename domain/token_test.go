package domain_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

func drawToken(t *rapid.T) domain.Token {
	var lookup [9]byte
	var secret [32]byte
	copy(lookup[:], rapid.SliceOfN(rapid.Byte(), 9, 9).Draw(t, "lookup"))
	copy(secret[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret"))
	return domain.NewToken(lookup, secret)
}

// TestTokenRoundTrip verifies that every token has the documented form, that
// parsing gives its lookup id and the hash of its secret part, and that every
// changed character, missing end and added byte is refused.
func TestTokenRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawToken(t).Reveal()
		if domain.TokenLen != 66 || len(text) != domain.TokenLen {
			t.Fatalf("a token of %d characters", len(text))
		}
		lookup, hash, ok := domain.ParseToken(text)
		if !ok || lookup != text[4:16] || hash != sha256.Sum256([]byte(text[17:60])) {
			t.Fatal("not read back")
		}
		i := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		c := rapid.Byte().Draw(t, "character")
		if c != text[i] {
			if _, _, ok := domain.ParseToken(text[:i] + string([]byte{c}) + text[i+1:]); ok {
				t.Fatalf("accepted with another character at %d", i)
			}
		}
		for _, s := range []string{text[:i], text + "0", " " + text, strings.ToUpper(text[:4]) + text[4:]} {
			if _, _, ok := domain.ParseToken(s); ok {
				t.Fatal("accepted in another form")
			}
		}
	})
}

// TestTokenVector freezes the format: issued keys must stay readable.
func TestTokenVector(t *testing.T) {
	var lookup [9]byte
	var secret [32]byte
	for i := range secret {
		secret[i] = byte(i)
	}
	copy(lookup[:], "lookup-id")
	const want = "chy_cRGozCKlaLY4_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2MNj4x"
	if got := domain.NewToken(lookup, secret).Reveal(); got != want {
		t.Errorf("got %s", got)
	}
	for b, digits := range map[byte]string{0x00: strings.Repeat("0", 43), 0xff: ""} {
		for i := range secret {
			secret[i] = b
		}
		text := domain.NewToken(lookup, secret).Reveal()
		if digits != "" && text[17:60] != digits {
			t.Errorf("got %s", text[17:60])
		}
		if _, _, ok := domain.ParseToken(text); !ok {
			t.Errorf("refused the secret of all %#x", b)
		}
	}
}

// TestTokenNeverPrints verifies invariant 3 for tokens.
func TestTokenNeverPrints(t *testing.T) {
	token := domain.NewToken([9]byte{1}, [32]byte{2})
	secret := token.Reveal()[17:60]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, x := range []any{token, &token, []any{token}} {
			if s := fmt.Sprintf(verb, x); strings.Contains(s, secret) {
				t.Errorf("%s gave %s", verb, s)
			}
		}
	}
	if _, err := token.MarshalJSON(); err == nil {
		t.Error("a token was marshalled")
	}
}
