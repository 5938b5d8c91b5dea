package eventstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/chancery-dev/chancery/domain"
)

// TestKeyPlaces: keys are found in the blocks wherever they come to lie, and
// only while they are there.
func TestKeyPlaces(t *testing.T) {
	keys, stop := openKeys(t, t.TempDir())
	defer stop()
	const n = 60
	record := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 300<<10+i) } // three blocks of them
	create := func(i int) { noError(t, keys.CreateSecretKey(t.Context(), kekText(i), record(i))) }
	for i := range n {
		create(i)
	}
	inBlocks := func(i int) bool {
		m, ok := keys.places.read(secretKeyPrefix + kekText(i))
		if ok && !bytes.Equal(m.data, record(i)) {
			t.Errorf("key %d is another", i)
		}
		return ok
	}
	check := func(when string, there func(i int) bool, last int) {
		t.Helper()
		for i := range last {
			if found := inBlocks(i); found != there(i) {
				t.Errorf("%s: key %d: %v", when, i, found)
			}
			k, err := keys.SecretKey(t.Context(), kekText(i))
			if there(i) && (err != nil || !bytes.Equal(k.Record, record(i))) || !there(i) && !errors.Is(err, domain.ErrKeyNotFound) {
				t.Errorf("%s: key %d: %v", when, i, err)
			}
		}
	}
	all := func(int) bool { return true }
	check("made", all, n)
	create(n)
	check("one more", all, n+1)

	erased := func(i int) bool { return i%7 == 0 || i == n }
	for i := range n + 1 {
		if erased(i) {
			noError(t, keys.EraseSecretKey(t.Context(), kekText(i)))
		}
	}
	check("some erased", func(i int) bool { return !erased(i) }, n+1)
	create(n + 1)
	check("and one more", func(i int) bool { return !erased(i) }, n+2)
	if files, err := BlockFiles(keys.places.dir, keys.places.stream); err != nil || len(files) < 3 {
		t.Errorf("%d blocks, %v", len(files), err)
	}
}

// TestKeyPlacesAreChecked: what was changed in a block is not given out.
func TestKeyPlacesAreChecked(t *testing.T) {
	keys, stop := openKeys(t, t.TempDir())
	defer stop()
	for i := range 3 {
		noError(t, keys.CreateSecretKey(t.Context(), kekText(i), fmt.Append(nil, "record ", i)))
	}
	if _, ok := keys.places.read(secretKeyPrefix + kekText(1)); !ok {
		t.Fatal("not found")
	}
	path := keys.places.path(1)
	block, err := os.ReadFile(path)
	noError(t, err)
	changed := bytes.Replace(block, []byte("record 1"), []byte("record 2"), 1)
	noError(t, os.WriteFile(path, changed, 0o600))
	if m, ok := keys.places.read(secretKeyPrefix + kekText(1)); ok {
		t.Errorf("%q was given out", m.data)
	}
	noError(t, os.WriteFile(path, block[:len(block)-20], 0o600))
	for i, want := range []bool{true, true, false} {
		if _, ok := keys.places.read(secretKeyPrefix + kekText(i)); ok != want {
			t.Errorf("key %d of a block that was cut off: %v", i, ok)
		}
	}
	// What was noted of a block is no hint of what lies there once it is another.
	for _, other := range [][]byte{block[len(block)/3:], append(bytes.Clone(block[len(block)/3:]), block...)} {
		noError(t, os.WriteFile(path, other, 0o600))
		for i := range 3 {
			m, ok := keys.places.read(secretKeyPrefix + kekText(i))
			if want := fmt.Sprint("record ", i); ok && string(m.data) != want {
				t.Errorf("key %d: %q", i, m.data)
			}
		}
	}
	noError(t, os.WriteFile(path, block, 0o600))
	for i := range 3 {
		if _, ok := keys.places.read(secretKeyPrefix + kekText(i)); !ok {
			t.Errorf("key %d is not found again", i)
		}
	}
	noError(t, os.Remove(path))
	if _, ok := keys.places.read(secretKeyPrefix + kekText(0)); ok {
		t.Error("found without a block")
	}
}
