package kms

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func TestKeyFileComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	made, err := CreateLocal(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("mode %v, error %v", info.Mode(), err)
	}
	w, err := made.Wrap(t.Context(), []byte("key"), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := OpenLocal(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := opened.Unwrap(t.Context(), w, []byte("aad"))
	if err != nil || string(got) != "key" {
		t.Fatalf("unwrapped to something else, error %v", err)
	}
	if names := fileNames(t, filepath.Dir(path)); !slices.Equal(names, []string{"root.key"}) {
		t.Fatalf("files: %v", names)
	}
}

func TestKeyFileIsNeverReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	if err := os.WriteFile(path, []byte("something"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateLocal(path, rand.Reader); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("over an existing file: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "something" {
		t.Fatalf("the file changed, error %v", err)
	}
	if names := fileNames(t, filepath.Dir(path)); len(names) != 1 {
		t.Fatalf("files: %v", names)
	}
}

func TestOneOfManyKeyFilesWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	var made [8]*Local
	var wg sync.WaitGroup
	for i := range made {
		wg.Go(func() {
			l, err := CreateLocal(path, rand.Reader)
			if err != nil && !errors.Is(err, fs.ErrExist) {
				t.Error(err)
			}
			made[i] = l
		})
	}
	wg.Wait()
	opened, err := OpenLocal(path)
	if err != nil {
		t.Fatal(err)
	}
	won := 0
	for _, l := range made {
		if l != nil {
			won++
			if l.ref != opened.ref || l.versions[0] != opened.versions[0] {
				t.Error("the file holds another key than its maker")
			}
		}
	}
	if won != 1 {
		t.Fatalf("%d made it", won)
	}
}

// What a crash in CreateLocal leaves: a second name of the key file goes, a
// file that never became it stays and harms nothing.
func TestOpenFinishesWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "root.key")
	if _, err := CreateLocal(path, rand.Reader); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, filepath.Join(dir, "root.key.new-123")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "root.key.new-456"), []byte("chancery-root"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, filepath.Join(dir, "backup")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLocal(path); err != nil {
		t.Fatal(err)
	}
	if names := fileNames(t, dir); !slices.Equal(names, []string{"backup", "root.key", "root.key.new-456"}) {
		t.Fatalf("files: %v", names)
	}
}

func TestCreateNeedsRandomness(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	for n := range keyLen + 16 {
		if _, err := CreateLocal(path, iotest.DataErrReader(bytes.NewReader(make([]byte, n)))); err == nil {
			t.Fatalf("made a key of %d random bytes", n)
		}
	}
	if names := fileNames(t, filepath.Dir(path)); len(names) != 0 {
		t.Fatalf("files: %v", names)
	}
}

func TestOpenLocalRefuses(t *testing.T) {
	good := string((&Local{ref: strings.Repeat("ab", 16), versions: []rootVersion{{id: "1", key: key{1}}, {id: "2", key: key{2}}}}).encode())
	lines := strings.SplitAfter(good, "\n")
	const canary = "Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LTQyNDI="
	for name, content := range map[string]string{
		"empty":               "",
		"only the first line": lines[0],
		"no key":              lines[0] + lines[1],
		"another version":     strings.Replace(good, "v1", "v2", 1),
		"no ref":              lines[0] + lines[2] + lines[3],
		"upper-case ref":      strings.Replace(good, "ref ab", "ref AB", 1),
		"short ref":           strings.Replace(good, "ref ab", "ref ", 1),
		"no final line feed":  strings.TrimSuffix(good, "\n"),
		"blank line after":    good + "\n",
		"CRLF":                strings.ReplaceAll(good, "\n", "\r\n"),
		"version twice":       good + lines[3],
		"version 0":           lines[0] + lines[1] + strings.Replace(lines[2], "key 1", "key 0", 1),
		"version 01":          lines[0] + lines[1] + strings.Replace(lines[2], "key 1", "key 01", 1),
		"short key":           lines[0] + lines[1] + "key 1 " + canary[4:] + "\n",
		"long key":            lines[0] + lines[1] + "key 1 " + canary[:4] + canary + "\n",
		"bad base64":          lines[0] + lines[1] + "key 1 " + "!" + canary[1:] + "\n",
		"31 bytes":            lines[0] + lines[1] + "key 1 " + canary[:42] + "==\n",
		"trailing bits":       lines[0] + lines[1] + "key 1 " + canary[:42] + "J=\n",
		"another word":        good + "canary " + canary + "\n",
		"too long":            good + strings.Repeat("#", localMaxSize),
	} {
		path := filepath.Join(t.TempDir(), "root.key")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenLocal(path)
		if !errors.Is(err, ErrKeyFile) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), canary[8:16]) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows the file: %v", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "root.key")
	if _, err := OpenLocal(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := OpenLocal(filepath.Dir(path)); !errors.Is(err, ErrKeyFile) {
		t.Errorf("a directory: %v", err)
	}
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o644, 0o601, 0o610, 0o620} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenLocal(path); !errors.Is(err, ErrKeyFile) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	for _, mode := range []fs.FileMode{0o600, 0o400} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if l, err := OpenLocal(path); err != nil || len(l.versions) != 2 {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

func TestLocalVersions(t *testing.T) {
	v1 := &Local{ref: "r", versions: []rootVersion{{id: "1", key: key{1}}}}
	both := &Local{ref: "r", versions: []rootVersion{{id: "1", key: key{1}}, {id: "2", key: key{2}}}}
	v2 := &Local{ref: "r", versions: both.versions[1:]}
	other := &Local{ref: "s", versions: v1.versions}
	old, err := v1.Wrap(t.Context(), []byte("old"), nil)
	if err != nil {
		t.Fatal(err)
	}
	latest, err := both.Wrap(t.Context(), []byte("new"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if latest.KeyVersion != "2" {
		t.Fatalf("wrapped by version %s", latest.KeyVersion)
	}
	relabelled := latest
	relabelled.KeyVersion = "1"
	foreign := old
	foreign.Provider = "cloud"
	for _, c := range []struct {
		name string
		l    *Local
		w    Wrapped
		want error
	}{
		{"old by old", v1, old, nil},
		{"old by both", both, old, nil},
		{"new by both", both, latest, nil},
		{"new by the file without old", v2, latest, nil},
		{"old by the file without old", v2, old, ErrDestroyed},
		{"another file", other, old, ErrAuth},
		{"another provider", v1, foreign, ErrAuth},
		{"another version's label", both, relabelled, ErrAuth},
	} {
		if _, err := c.l.Unwrap(t.Context(), c.w, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestLocalRefusesEveryChange(t *testing.T) {
	l := &Local{ref: "r", versions: []rootVersion{{id: "1", key: key{1}}}}
	ctx := context.Background()
	w, err := l.Wrap(ctx, bytes.Repeat([]byte{5}, keyLen), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(w.Blob) * 8 {
		f := w
		f.Blob = slices.Clone(w.Blob)
		f.Blob[bit/8] ^= 1 << (bit % 8)
		if _, err := l.Unwrap(ctx, f, []byte("aad")); !errors.Is(err, ErrAuth) {
			t.Errorf("bit %d: %v", bit, err)
		}
	}
	for n := range w.Blob {
		f := w
		f.Blob = w.Blob[:n]
		if _, err := l.Unwrap(ctx, f, []byte("aad")); !errors.Is(err, ErrAuth) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := l.Unwrap(ctx, w, []byte("aae")); !errors.Is(err, ErrAuth) {
		t.Errorf("another context: %v", err)
	}
}

// Invariant 9.
func TestKeysDoNotPrint(t *testing.T) {
	secret := key([]byte("canary-canary-canary-canary-4242"))
	sk := secretKey{key: secret}
	l := &Local{versions: []rootVersion{{id: "1", key: secret}}}
	w := Wrapped{Provider: "local", Blob: secret[:]}
	m := Minted{PlaintextKey: secret[:], Ciphertext: "canary"}
	rr := ReleaseRequest{Ciphertext: "canary", Current: "canary"}
	k := &Keyring{pool: newPool(1, 1, 1)}
	for _, v := range []any{secret, &secret, sk, &sk, l, w, m, &m, rr, &rr, k, []any{secret, sk, m}, map[string]any{"x": sk}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%c"} {
			got := fmt.Sprintf(verb, v)
			for _, form := range []string{"canary", fmt.Sprintf("%x", "canary"), fmt.Sprintf("%X", "canary"), "99 97 110", "0x63, 0x61", "143 141 156"} {
				if strings.Contains(got, form) {
					t.Errorf("%T with %s prints its key", v, verb)
				}
			}
		}
	}
}

func fileNames(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
