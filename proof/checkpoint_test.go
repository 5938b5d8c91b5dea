package proof_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/chancery-dev/chancery/proof"
)

const testOrg = "org_01JB0000000000000000000000"

var (
	testTime   = time.Date(2026, 11, 6, 12, 0, 0, 0, time.UTC)
	testOrigin = proof.Origin(testOrg, proof.LogEvents)
)

func signingKey(t testing.TB, seed byte) *proof.SigningKey {
	t.Helper()
	k, err := proof.NewSigningKey(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func logKey(t testing.TB, seed byte, origin string) proof.LogKey {
	t.Helper()
	k, err := signingKey(t, seed).LogKey(origin)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signCheckpoint(t testing.TB, size uint64) (proof.Checkpoint, []byte) {
	t.Helper()
	c := proof.Checkpoint{Origin: testOrigin, Size: size, Root: proof.LeafHash(leaf(size))}
	signed, err := signingKey(t, 1).Sign(c, testTime.Add(999*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	return c, signed
}

func TestCheckpointOpensWithTheLogsKey(t *testing.T) {
	c, signed := signCheckpoint(t, 7)
	got, err := logKey(t, 1, testOrigin).Open(signed)
	if err != nil || got.Checkpoint != c || !got.Time.Equal(testTime) || !bytes.Equal(got.Note, signed) || got.Cosignatures != nil {
		t.Fatalf("%+v, error %v", got, err)
	}
	for name, k := range map[string]proof.LogKey{
		"another key": logKey(t, 2, testOrigin),
		"another log": logKey(t, 1, proof.Origin(testOrg, proof.LogAccess)),
	} {
		if _, err := k.Open(signed); !errors.Is(err, proof.ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The libraries of others take our keys and notes as they are.
func TestCheckpointIsWhatOthersRead(t *testing.T) {
	c, signed := signCheckpoint(t, 7)
	k := logKey(t, 1, testOrigin)
	plain, err := note.NewVerifier(k.VKey())
	if err != nil {
		t.Fatal(err)
	}
	timed, err := torchwood.NewCosignatureVerifier(k.TimedVKey())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(signed, note.VerifierList(plain, timed))
	if err != nil || len(n.Sigs) != 2 || len(n.UnverifiedSigs) != 0 {
		t.Fatalf("%+v, error %v", n, err)
	}
	parsed, _, err := torchwood.VerifyCheckpoint(signed, torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(testOrigin), torchwood.SingleVerifierPolicy(plain)))
	if err != nil || parsed.Origin != testOrigin || parsed.N != 7 || parsed.Hash != c.Root {
		t.Fatalf("%+v, error %v", parsed, err)
	}
}

func TestNoBitOfACheckpointMayFlip(t *testing.T) {
	_, signed := signCheckpoint(t, 7)
	k := logKey(t, 1, testOrigin)
	for i := range signed {
		for bit := range 8 {
			changed := bytes.Clone(signed)
			changed[i] ^= 1 << bit
			if _, err := k.Open(changed); !errors.Is(err, proof.ErrCheckpoint) {
				t.Fatalf("byte %d, bit %d: %v", i, bit, err)
			}
		}
	}
}

func TestCheckpointIsReadStrictly(t *testing.T) {
	_, signed := signCheckpoint(t, 7)
	good := string(signed)
	lines := strings.SplitAfter(good, "\n") // body 3, blank, plain, timed
	k, key := logKey(t, 1, testOrigin), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	// resign signs another body validly, as only the log itself could.
	resign := func(text string) string {
		h := k.Verifier().KeyHash()
		s, err := note.Sign(&note.Note{Text: text}, rawSigner{testOrigin, h, func(b []byte) []byte { return ed25519.Sign(key, b) }})
		if err != nil {
			t.Fatal(err)
		}
		return string(s)
	}
	for name, text := range map[string]string{
		"empty":               "",
		"no signature":        strings.Join(lines[:4], ""),
		"only the plain one":  strings.Join(lines[:5], ""),
		"only the timed one":  strings.Join(lines[:4], "") + lines[5],
		"a line twice":        good + lines[5],
		"no line feed":        good[:len(good)-1],
		"a line of text more": good + "x\n",
		"resigned":            resign(strings.Join(lines[:3], "")),
		"an extension line":   resign(strings.Join(lines[:3], "")+"more\n") + lines[5],
		"another origin":      resign("other\n"+strings.Join(lines[1:3], "")) + lines[5],
	} {
		if _, err := k.Open([]byte(text)); !errors.Is(err, proof.ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := k.Open([]byte(good + "— someone AAAAAAAA\n")); err != nil {
		t.Errorf("a line of an unknown key: %v", err)
	}
}

// rawSigner signs a line in the plainest way.
type rawSigner struct {
	name string
	hash uint32
	sign func([]byte) []byte
}

func (s rawSigner) Name() string                  { return s.name }
func (s rawSigner) KeyHash() uint32               { return s.hash }
func (s rawSigner) Sign(b []byte) ([]byte, error) { return s.sign(b), nil }

func TestLogKeyTexts(t *testing.T) {
	k := logKey(t, 1, testOrigin)
	for _, text := range []string{k.VKey(), k.TimedVKey()} {
		got, err := proof.ParseLogKey(text)
		if err != nil || got.Origin() != testOrigin || !got.Public().Equal(k.Public()) || got.VKey() != k.VKey() {
			t.Fatalf("%s: %v", text, err)
		}
		for i := range text {
			changed := []byte(text)
			changed[i] ^= 1
			if _, err := proof.ParseLogKey(string(changed)); !errors.Is(err, proof.ErrKey) {
				t.Fatalf("byte %d of %s: %v", i, text, err)
			}
		}
	}
	for _, text := range []string{"", "+", "++", "a+b", "a b+00000000+AAAA", k.VKey() + "\n", " " + k.VKey(), strings.ToUpper(k.VKey())} {
		if _, err := proof.ParseLogKey(text); !errors.Is(err, proof.ErrKey) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, origin := range []string{"", "a b", "a+b", "a\nb", "\xff"} {
		if _, err := signingKey(t, 1).LogKey(origin); !errors.Is(err, proof.ErrKey) {
			t.Errorf("%q: %v", origin, err)
		}
	}
	if _, err := proof.NewSigningKey(make([]byte, 31)); !errors.Is(err, proof.ErrKey) {
		t.Error(err)
	}
}

func TestSigningKeyNeverPrints(t *testing.T) {
	k := signingKey(t, 'K')
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, k); got != "[redacted]" {
			t.Errorf("%s: %q", verb, got)
		}
	}
}

func TestManifestsAreNoCheckpoints(t *testing.T) {
	k, key := signingKey(t, 1), logKey(t, 1, testOrigin)
	c, _ := signCheckpoint(t, 7)
	sig := k.SignManifest([]byte(c.Text()))
	if !key.VerifyManifest([]byte(c.Text()), sig) || key.VerifyManifest([]byte(c.Text()+"x"), sig) || logKey(t, 2, testOrigin).VerifyManifest([]byte(c.Text()), sig) {
		t.Fatal("a manifest's signature is not what it should be")
	}
	if key.Verifier().Verify([]byte(c.Text()), sig) {
		t.Fatal("a signed manifest is a signed checkpoint")
	}
}

func TestInclusionProofIsWhatOthersVerify(t *testing.T) {
	tree, k := grow(t, 600), logKey(t, 1, testOrigin)
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(testOrigin), torchwood.SingleVerifierPolicy(k.Verifier()))
	for _, size := range []uint64{1, 2, 255, 256, 257, 512, 599, 600} {
		root, err := tree.Root(size)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signingKey(t, 1).Sign(proof.Checkpoint{Origin: testOrigin, Size: size, Root: root}, testTime)
		if err != nil {
			t.Fatal(err)
		}
		c, err := k.Open(signed)
		if err != nil {
			t.Fatal(err)
		}
		for _, index := range []uint64{0, size / 2, size - 1} {
			text, err := proof.InclusionProof(tree, index, c)
			if err != nil {
				t.Fatal(err)
			}
			if err := torchwood.VerifyProof(policy, proof.LeafHash(leaf(index)), text); err != nil {
				t.Fatalf("leaf %d of %d: %v", index, size, err)
			}
			if err := torchwood.VerifyProof(policy, proof.LeafHash(leaf(index+1)), text); err == nil {
				t.Fatalf("leaf %d of %d: proves another leaf", index, size)
			}
		}
		if _, err := proof.InclusionProof(tree, size, c); !errors.Is(err, proof.ErrNotCovered) {
			t.Fatalf("a leaf behind the checkpoint: %v", err)
		}
		if _, err := proof.InclusionProof(grow(t, size-1), 0, c); size > 1 && !errors.Is(err, proof.ErrNoTile) {
			t.Fatalf("a tree that is too short: %v", err)
		}
		c.Root = tlog.Hash{1}
		if _, err := proof.InclusionProof(tree, 0, c); !errors.Is(err, proof.ErrFork) {
			t.Fatalf("another root: %v", err)
		}
	}
}

// What opens is the one note that its content has: signing it again with the
// same key, time and cosignatures gives the same bytes.
func FuzzOpenCheckpoint(f *testing.F) {
	_, signed := signCheckpoint(f, 7)
	f.Add(signed)
	f.Add(append(bytes.Clone(signed), "— someone AAAAAAAA\n"...))
	f.Add([]byte("a\n1\n\n\n— a AAAA\n"))
	k, key := logKey(f, 1, testOrigin), signingKey(f, 1)
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := k.Open(raw)
		if err != nil {
			if !errors.Is(err, proof.ErrCheckpoint) {
				t.Fatal(err)
			}
			return
		}
		again, err := key.Sign(c.Checkpoint, c.Time)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range bytes.SplitAfter(again, []byte("\n")) {
			if !bytes.Contains(raw, line) {
				t.Fatalf("opened without the line %q", line)
			}
		}
	})
}

func FuzzParseLogKey(f *testing.F) {
	k := logKey(f, 1, testOrigin)
	f.Add(k.VKey())
	f.Add(k.TimedVKey())
	f.Add("a+00000000+AQ==")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := proof.ParseLogKey(text)
		if err != nil {
			return
		}
		if text != k.VKey() && text != k.TimedVKey() {
			t.Fatalf("a second spelling: %q", text)
		}
	})
}
