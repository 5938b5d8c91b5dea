package seal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

var testKey = bytes.Repeat([]byte{7}, KeyLen)

// Invariant 1.
func TestOpenGivesBackWhatWasSealed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), KeyLen, KeyLen).Draw(t, "key")
		value := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value")
		e, err := Seal(key, "data key", value)
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Ciphertext) != len(value) || e.DataKey != "data key" {
			t.Fatalf("ciphertext of %d bytes for %d", len(e.Ciphertext), len(value))
		}
		got, err := Open(key, e)
		if err != nil || !bytes.Equal(got, value) {
			t.Fatalf("opened to another value, error %v", err)
		}
	})
}

func TestValueLengthLimit(t *testing.T) {
	longest := make([]byte, domain.MaxValueLen)
	e, err := Seal(testKey, "", longest)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Open(testKey, e); err != nil || !bytes.Equal(got, longest) {
		t.Fatalf("the longest value does not come back: %v", err)
	}
	if _, err := Seal(testKey, "", append(longest, 0)); domain.CodeOf(err) != domain.CodeTooLong {
		t.Fatalf("a value that is too long: %v", err)
	}
}

func TestKeyLength(t *testing.T) {
	for _, n := range []int{0, 16, 24, 31, 33, 64} {
		if _, err := Seal(make([]byte, n), "", nil); !errors.Is(err, ErrKeyLen) {
			t.Errorf("Seal with a key of %d bytes: %v", n, err)
		}
		if _, err := Open(make([]byte, n), domain.Envelope{}); !errors.Is(err, ErrKeyLen) {
			t.Errorf("Open with a key of %d bytes: %v", n, err)
		}
	}
}

func TestNoncesAreFresh(t *testing.T) {
	seen := map[[domain.EnvelopeIVLen]byte]bool{}
	for range 1000 {
		e, err := Seal(testKey, "", []byte("same"))
		if err != nil {
			t.Fatal(err)
		}
		if seen[e.IV] {
			t.Fatal("a nonce came twice")
		}
		seen[e.IV] = true
	}
}

// Invariants 2 and 3.
func TestEveryFlippedBitIsRefused(t *testing.T) {
	e, err := Seal(testKey, "", []byte("a value of some length"))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, key []byte, e domain.Envelope) {
		t.Helper()
		if v, err := Open(key, e); err != ErrOpen || v != nil { //nolint:errorlint // Exactly this error, wrapped in nothing.
			t.Errorf("%s: %v", what, err)
		}
	}
	for bit := range len(e.IV) * 8 {
		f := e
		f.IV[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("iv bit %d", bit), testKey, f)
	}
	for bit := range len(e.AuthTag) * 8 {
		f := e
		f.AuthTag[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("tag bit %d", bit), testKey, f)
	}
	for bit := range len(e.Ciphertext) * 8 {
		f := e
		f.Ciphertext = slices.Clone(e.Ciphertext)
		f.Ciphertext[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("ciphertext bit %d", bit), testKey, f)
	}
	for bit := range KeyLen * 8 {
		key := slices.Clone(testKey)
		key[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("key bit %d", bit), key, e)
	}
	for n := range e.Ciphertext {
		f := e
		f.Ciphertext = e.Ciphertext[:n]
		refused(fmt.Sprintf("truncated to %d", n), testKey, f)
	}
	if _, err := Open(testKey, e); err != nil {
		t.Fatalf("the envelope itself no longer opens: %v", err)
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	const canary = "canary-canary-canary-canary-4242"
	e, err := Seal([]byte(canary), canary, []byte(canary))
	if err != nil {
		t.Fatal(err)
	}
	_, wrong := Open(testKey, e)
	_, long := Seal([]byte(canary), canary, bytes.Repeat([]byte(canary), 4096))
	_, short := Open([]byte(canary)[1:], e)
	for _, err := range []error{wrong, long, short} {
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "canary") {
			t.Errorf("error: %v", err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, n := range []int{32, 4 << 10, 64 << 10} {
		value := make([]byte, n)
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Seal(testKey, "", value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{32, 4 << 10, 64 << 10} {
		e, err := Seal(testKey, "", make([]byte, n))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(testKey, e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
