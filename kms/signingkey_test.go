package kms

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// signingKeys is a store for one signing key, with faults.
type signingKeys struct {
	mu     sync.Mutex
	record []byte
	// add, if set, says whether an Add is applied and what it answers.
	add func() (apply bool, err error)
}

var errSigningStore = errors.New("injected")

func (s *signingKeys) SigningKey(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record, nil
}

func (s *signingKeys) AddSigningKey(_ context.Context, record []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	apply, err := true, error(nil)
	if s.add != nil {
		apply, err = s.add()
	}
	if s.record != nil {
		return errSigningStore
	}
	if apply {
		s.record = record
	}
	return err
}

func localProvider(t testing.TB) *Local {
	t.Helper()
	p, err := CreateLocal(filepath.Join(t.TempDir(), "root.key"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func loadSigningKey(t testing.TB, p Provider, s SigningKeyStore, create bool) ([]byte, error) {
	t.Helper()
	return LoadSigningKey(t.Context(), p, s, testOrg, create, rand.Reader, func() time.Time { return testTime })
}

func TestSigningKeyIsMadeOnceAndComesBack(t *testing.T) {
	p, s := localProvider(t), &signingKeys{}
	if _, err := loadSigningKey(t, p, s, false); !errors.Is(err, ErrNoSigningKey) || s.record != nil {
		t.Fatalf("made, or %v", err)
	}
	seed, err := loadSigningKey(t, p, s, true)
	if err != nil || len(seed) != ed25519.SeedSize {
		t.Fatal(err)
	}
	again, err := loadSigningKey(t, p, s, false)
	if err != nil || !bytes.Equal(seed, again) {
		t.Fatalf("another seed, or %v", err)
	}
	public, org, err := SigningPublicKey(s.record)
	if err != nil || org != testOrg || !public.Equal(ed25519.NewKeyFromSeed(seed).Public()) {
		t.Fatalf("another public key, or %v", err)
	}
	if bytes.Contains(s.record, seed) {
		t.Fatal("the record holds the seed")
	}
}

func TestSigningKeyOfRacingNodesIsOne(t *testing.T) {
	p, s := localProvider(t), &signingKeys{}
	seeds := make([][]byte, 8)
	var nodes sync.WaitGroup
	for i := range seeds {
		nodes.Go(func() {
			var err error
			if seeds[i], err = loadSigningKey(t, p, s, true); err != nil {
				t.Error(err)
			}
		})
	}
	nodes.Wait()
	for _, seed := range seeds[1:] {
		if !bytes.Equal(seed, seeds[0]) {
			t.Fatal("two nodes have two keys")
		}
	}
}

func TestSigningKeyWhenTheStoreFails(t *testing.T) {
	s := &signingKeys{add: func() (bool, error) { return false, errSigningStore }}
	p := localProvider(t)
	if _, err := loadSigningKey(t, p, s, true); !errors.Is(err, errSigningStore) {
		t.Fatalf("not stored: %v", err)
	}
	s.add = func() (bool, error) { return true, errSigningStore }
	if _, err := loadSigningKey(t, p, s, true); err != nil {
		t.Fatalf("stored, and the answer lost: %v", err)
	}
	_, err := LoadSigningKey(t.Context(), p, &signingKeys{}, testOrg, true, iotest.ErrReader(errSigningStore), func() time.Time { return testTime })
	if !errors.Is(err, errSigningStore) {
		t.Fatalf("without randomness: %v", err)
	}
}

func TestSigningKeyOpensForItsOrganizationAndRootKeyAlone(t *testing.T) {
	p, s := localProvider(t), &signingKeys{}
	if _, err := loadSigningKey(t, p, s, true); err != nil {
		t.Fatal(err)
	}
	const other = domain.OrgID("org_01JB0000000000000000000009")
	if _, err := OpenSigningKey(t.Context(), p, other, s.record); !errors.Is(err, ErrRecord) {
		t.Errorf("another organization: %v", err)
	}
	renamed := bytes.Replace(s.record, []byte(testOrg), []byte(other), 1)
	if _, err := OpenSigningKey(t.Context(), p, other, renamed); !errors.Is(err, ErrAuth) {
		t.Errorf("a record of another organization: %v", err)
	}
	if _, err := OpenSigningKey(t.Context(), localProvider(t), testOrg, s.record); !errors.Is(err, ErrAuth) {
		t.Errorf("another root key: %v", err)
	}
	r, err := decodeSigningKey(s.record)
	if err != nil {
		t.Fatal(err)
	}
	r.PublicKey[0] ^= 1
	changed, err := encodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSigningKey(t.Context(), p, testOrg, changed); !errors.Is(err, ErrAuth) {
		t.Errorf("another public key: %v", err)
	}
}

func signingKeySample(t testing.TB) []byte {
	t.Helper()
	raw, err := encodeRecord(signingKeyRecord{
		V: 1, Algorithm: "Ed25519", Org: testOrg, PublicKey: bytes.Repeat([]byte{7}, 32),
		Wrapped: Wrapped{Provider: "local", KeyRef: "r", KeyVersion: "1", Blob: []byte{1, 2, 3}}, CreatedAt: testTime,
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// The stored form is frozen.
func TestSigningKeyRecordIsFrozen(t *testing.T) {
	const want = `{"v":1,"algorithm":"Ed25519","org":"org_01JB0000000000000000000000",` +
		`"publicKey":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",` +
		`"wrapped":{"provider":"local","keyRef":"r","keyVersion":"1","blob":"AQID"},"createdAt":"2026-11-06T12:00:00Z"}`
	if got := string(signingKeySample(t)); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	if got := string(signingKeyAAD("o")); got != "\x00\x02\x00\x00\x00\x13chancery/log-key/v1\x00\x00\x00\x01o" {
		t.Fatalf("additional data %q", got)
	}
}

func TestSigningKeyRecordIsReadStrictly(t *testing.T) {
	good := string(signingKeySample(t))
	if _, err := decodeSigningKey([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":             "",
		"null":              "null",
		"cut":               good[:len(good)-1],
		"trailing bytes":    good + "\n",
		"a blank":           strings.Replace(good, ":", ": ", 1),
		"an unknown member": strings.Replace(good, `{`, `{"x":1,`, 1),
		"a member twice":    strings.Replace(good, `{"v":1`, `{"v":1,"v":1`, 1),
		"another case":      strings.Replace(good, `"publicKey"`, `"PublicKey"`, 1),
		"version 2":         strings.Replace(good, `"v":1`, `"v":2`, 1),
		"another algorithm": strings.Replace(good, `Ed25519`, `Ed448`, 1),
		"no organization":   strings.Replace(good, string(testOrg), ``, 1),
		"a short key":       strings.Replace(good, `BwcH`, ``, 1),
		"lax base64":        strings.Replace(good, `Bwc=`, `Bwd=`, 1),
	} {
		if text == good {
			t.Errorf("%s: the case changes nothing", name)
		}
		if _, err := decodeSigningKey([]byte(text)); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzSigningKeyRecord(f *testing.F) {
	f.Add(signingKeySample(f))
	f.Add([]byte(`{"v":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := decodeSigningKey(raw)
		if err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatal(err)
			}
			return
		}
		if again, err := json.Marshal(r); err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("a second spelling: %q", raw)
		}
	})
}
