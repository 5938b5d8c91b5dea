package kms

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// Invariant 1: the right key and path open a data key.
func TestMintVerifyRoundTrip(t *testing.T) {
	id := rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9_-]{0,127}`)
	rapid.Check(t, func(rt *rapid.T) {
		k := testSecretKey(rapid.Byte().Draw(rt, "key"))
		ref := domain.SecretRef{
			Org:   testOrg,
			Scope: domain.Scope{Kind: rapid.SampledFrom([]domain.ScopeKind{domain.ScopeOrg, domain.ScopeTeam, domain.ScopeProject, domain.ScopeAgent}).Draw(rt, "kind"), ID: id.Draw(rt, "scopeId")},
			ID:    domain.SecretID(id.Draw(rt, "secretId")),
		}
		field := domain.FieldKey(id.Draw(rt, "field"))
		d, dek := mustMint(t, k, ref, field)
		s := d.encode()
		if len(s) != DataKeyCiphertextLen {
			rt.Fatalf("%d characters", len(s))
		}
		parsed, err := ParseDataKey(s)
		if err != nil || parsed != d || parsed.encode() != s {
			rt.Fatalf("parsed to another data key, error %v", err)
		}
		if d.KekID() != k.kek || d.Minter() != testAgent.ULID() || !d.MintedAt().Equal(testTime) {
			rt.Fatal("the header says something else")
		}
		if err := parsed.verify(k, ref, field); err != nil {
			rt.Fatal(err)
		}
		got, err := parsed.open(k, ref, field)
		if err != nil || !bytes.Equal(got, dek[:]) {
			rt.Fatalf("opened to another key, error %v", err)
		}
	})
}

// Invariant 1: every single bit.
func TestEveryBitOfADataKeyCounts(t *testing.T) {
	k, ref := testSecretKey(1), testRef()
	d, _ := mustMint(t, k, ref, "password")
	for bit := range dataKeyLen * 8 {
		f := d
		f.raw[bit/8] ^= 1 << (bit % 8)
		if p, err := ParseDataKey(f.encode()); err == nil {
			// The header's kekId is ignored here on purpose: even under the right
			// key a changed one must fail.
			if err := p.verify(k, ref, "password"); !errors.Is(err, ErrAuth) {
				t.Errorf("verify, bit %d: %v", bit, err)
			}
			if dek, err := p.open(k, ref, "password"); !errors.Is(err, ErrAuth) || dek != nil {
				t.Errorf("open, bit %d: %v", bit, err)
			}
		} else if bit >= 16 {
			t.Errorf("bit %d: parsing looks at more than version and algorithm", bit)
		}
	}
	for bit := range keyLen * 8 {
		other := k
		other.key[bit/8] ^= 1 << (bit % 8)
		if err := d.verify(other, ref, "password"); !errors.Is(err, ErrAuth) {
			t.Errorf("secret key bit %d: %v", bit, err)
		}
	}
}

// The MAC and the box are each enough: a flip that the other would not see is
// refused too.
func TestBoxAndMACEachRefuse(t *testing.T) {
	k, ref := testSecretKey(1), testRef()
	d, _ := mustMint(t, k, ref, "password")
	keys, err := expand(k.key, dataKeyInfo(d.header()), 2*keyLen)
	if err != nil {
		t.Fatal(err)
	}
	aad := dataKeyAAD(d.header(), ref, "password")
	for bit := range dataKeyBodyLen * 8 {
		f := d
		f.body()[bit/8] ^= 1 << (bit % 8)
		copy(f.tag(), dataKeyMAC(keys[keyLen:], aad, f.body()))
		if err := f.verify(k, ref, "password"); err != nil {
			t.Fatalf("the MAC is right, but: %v", err)
		}
		if _, err := f.open(k, ref, "password"); !errors.Is(err, ErrAuth) {
			t.Errorf("body bit %d with a right MAC: %v", bit, err)
		}
	}
}

// rebindings are the ways to use a ciphertext elsewhere than it was made for.
func rebindings() map[string]func(*domain.SecretRef, *domain.FieldKey) {
	return map[string]func(*domain.SecretRef, *domain.FieldKey){
		"org":        func(r *domain.SecretRef, _ *domain.FieldKey) { r.Org = "org_01JB0000000000000000000009" },
		"scope kind": func(r *domain.SecretRef, _ *domain.FieldKey) { r.Scope.Kind = domain.ScopeProject },
		"scopeId":    func(r *domain.SecretRef, _ *domain.FieldKey) { r.Scope.ID += "x" },
		"secretId":   func(r *domain.SecretRef, _ *domain.FieldKey) { r.ID += "x" },
		"case":       func(r *domain.SecretRef, _ *domain.FieldKey) { r.ID = domain.SecretID(strings.ToUpper(string(r.ID))) },
		"fieldKey":   func(_ *domain.SecretRef, f *domain.FieldKey) { *f += "x" },
		"ab,c to a,bc": func(r *domain.SecretRef, f *domain.FieldKey) {
			n := len(r.ID) - 1
			*f = domain.FieldKey(r.ID[n:]) + *f
			r.ID = r.ID[:n]
		},
		"scopeId,secretId": func(r *domain.SecretRef, _ *domain.FieldKey) {
			r.Scope.ID += string(r.ID[:1])
			r.ID = r.ID[1:]
		},
	}
}

// Invariant 1: every coordinate.
func TestADataKeyIsBoundToItsPath(t *testing.T) {
	k := testSecretKey(1)
	d, _ := mustMint(t, k, testRef(), "password")
	for name, rebind := range rebindings() {
		ref, field := testRef(), domain.FieldKey("password")
		rebind(&ref, &field)
		if _, err := d.open(k, ref, field); !errors.Is(err, ErrAuth) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if _, err := d.open(testSecretKey(2), testRef(), "password"); !errors.Is(err, ErrAuth) {
		t.Errorf("another secret key: %v", err)
	}
	// The same key under another name, and the name and key of a rival.
	for name, at := range map[string]int{"kekId": 2, "dekId": 18, "minter": 34} {
		f := d
		copy(f.raw[at:], bytes.Repeat([]byte{9}, 16))
		if _, err := f.open(k, testRef(), "password"); !errors.Is(err, ErrAuth) {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

// A ciphertext may not be read in two ways: one data key, one string.
func TestOnlyCanonicalBase64Parses(t *testing.T) {
	d, _ := mustMint(t, testSecretKey(1), testRef(), "password")
	s := d.encode()
	if !strings.HasSuffix(s, "==") {
		t.Fatal("the padding is not where this test changes it")
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.IndexByte(alphabet, s[len(s)-3])
	bad := map[string]string{
		"empty": "", "no padding": s[:len(s)-2], "half the padding": s[:len(s)-1], "more padding": s + "=",
		"trailing byte": s + "A", "line feed after": s + "\n", "line feed before": "\n" + s, "CRLF inside": s[:76] + "\r\n" + s[76:],
		"line feeds at equal length": s[:188] + "\n\n\n\n", "line feed for padding": s[:191] + "\n", "line feed in a quantum": s[:190] + "\n=",
		"URL alphabet": base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{1, 1, 0xff}, dataKeyLen)[:dataKeyLen]),
		"blank":        s[:10] + " " + s[11:], "NUL": s[:10] + "\x00" + s[11:], "not ASCII": s[:10] + "é" + s[12:],
		"142 bytes short of one": base64.StdEncoding.EncodeToString(d.raw[:141]), "and one more": base64.StdEncoding.EncodeToString(append(d.raw[:], 0)),
		"two bytes more": base64.StdEncoding.EncodeToString(append(d.raw[:], 0, 0)),
		"hexadecimal":    fmt.Sprintf("%x", d.raw[:]),
	}
	for i := 1; i < 16; i++ { // The four bits that encode nothing.
		bad[fmt.Sprintf("trailing bits %04b", i)] = s[:len(s)-3] + string(alphabet[last|i]) + "=="
	}
	for name, text := range bad {
		if _, err := ParseDataKey(text); !errors.Is(err, errDataKeyShape) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, version := range map[string][2]byte{"version 0": {0, 1}, "version 2": {2, 1}, "algorithm 0": {1, 0}, "algorithm 2": {1, 2}} {
		f := d
		copy(f.raw[:], version[:])
		if _, err := ParseDataKey(f.encode()); !errors.Is(err, errDataKeyShape) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseDataKey(s); err != nil {
		t.Fatal(err)
	}
}

func TestDataKeyAge(t *testing.T) {
	d, _ := mustMint(t, testSecretKey(1), testRef(), "password")
	for _, c := range []struct {
		age  time.Duration
		want bool
	}{
		{0, true},
		{MaxDataKeyAge, true},
		{MaxDataKeyAge + time.Millisecond, false},
		{24 * time.Hour, false},
		{-maxClockSkew, true},
		{-maxClockSkew - time.Millisecond, false},
	} {
		if got := d.fresh(testTime.Add(c.age)); got != c.want {
			t.Errorf("age %v: fresh %v", c.age, got)
		}
	}
}

// No two mints share an id, a key or a nonce.
func TestMintsAreDistinct(t *testing.T) {
	k := testSecretKey(1)
	ids, keys, nonces := map[domain.DekID]bool{}, map[key]bool{}, map[string]bool{}
	const n = 2000
	for range n {
		d, dek := mustMint(t, k, testRef(), "f")
		ids[d.DekID()], keys[dek], nonces[string(d.body()[:nonceLen])] = true, true, true
	}
	if len(ids) != n || len(keys) != n || len(nonces) != n {
		t.Fatalf("of %d mints %d ids, %d keys, %d nonces", n, len(ids), len(keys), len(nonces))
	}
}

// One string for every data key that parses, and no panic on any input.
func FuzzParseDataKey(f *testing.F) {
	d, _ := mustMint(f, testSecretKey(1), testRef(), "password")
	s := d.encode()
	for _, seed := range []string{"", s, s[:188] + "\n\n\n\n", s[:191] + "\n", s[:190], s + "\n", strings.Repeat("A", 192), strings.Repeat("=", 192)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDataKey(s)
		if err != nil {
			if d != (DataKey{}) {
				t.Fatal("a data key beside an error")
			}
			return
		}
		if d.encode() != s {
			t.Fatalf("%q parses and is not canonical", s)
		}
		if strings.Contains(fmt.Sprintf("%v%+v%#v%x", d, d, d, d), s) {
			t.Fatal("it prints")
		}
	})
}

func BenchmarkMint(b *testing.B) {
	k, ref, src, minter := testSecretKey(1), testRef(), testSource(), testAgent.ULID()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := mintDataKey(src, k, ref, "password", minter); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	k, ref := testSecretKey(1), testRef()
	d, _ := mustMint(b, k, ref, "password")
	s := d.encode()
	b.ReportAllocs()
	for b.Loop() {
		p, err := ParseDataKey(s)
		if err == nil {
			err = p.verify(k, ref, "password")
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
