package natsfile

import (
	"bytes"
	"os"
	"slices"
	"testing"
)

// TestRead: the files yield every message behind a position up to another, over
// the borders of blocks, and end early where anything else lies there.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	sound := [][]byte{message(t, 1), message(t, 2), message(t, 3)}
	path := writeBlock(t, dir, 1, sound...)
	writeBlock(t, dir, 2, recordOf(t, 2, 4, "test.4", 100), recordOf(t, 2, 5, "test.5", 100))
	store, err := Open(dir, Options{Streams: rules(false)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Stream(t.Context(), stream, 5, 0)
	if err != nil {
		t.Fatal(err)
	}
	read := func(after, until uint64) (got []uint64) {
		t.Helper()
		for m, err := range s.Read(after, until) {
			if err != nil || m.Subject == "" || len(m.Data) != 100 {
				t.Fatalf("%+v, %v", m, err)
			}
			got = append(got, m.Sequence)
		}
		return got
	}
	for _, tc := range []struct {
		after, until uint64
		want         []uint64
	}{
		{0, 5, []uint64{1, 2, 3, 4, 5}}, {0, 2, []uint64{1, 2}}, {2, 4, []uint64{3, 4}}, {3, 5, []uint64{4, 5}}, {4, 4, nil}, {5, 5, nil},
	} {
		if got := read(tc.after, tc.until); !slices.Equal(got, tc.want) {
			t.Errorf("after %d until %d: %v", tc.after, tc.until, got)
		}
	}
	for _, err := range s.Read(0, 5) {
		if err != nil {
			t.Error(err)
		}
		break // a reader may leave
	}
	for name, bad := range map[string][]byte{
		"changed":    append(append(bytes.Clone(sound[0]), 0xff), sound[1]...),
		"cut off":    append(bytes.Clone(sound[0]), sound[1][:50]...),
		"left out":   append(bytes.Clone(sound[0]), sound[2]...),
		"erased":     append(bytes.Clone(sound[0]), message(t, 2|isErased)...),
		"compressed": append(bytes.Clone(sound[0]), "cmp"...),
	} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := read(0, 3); !slices.Equal(got, []uint64{1}) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := read(0, 5); len(got) != 0 {
		t.Errorf("without the first block: %v", got)
	}
}
