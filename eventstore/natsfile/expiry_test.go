package natsfile

import (
	"os"
	"testing"
	"time"
)

// TestBeginWhileAllExpires: a start that meets the server in the middle of its
// tombstone looks again.
func TestBeginWhileAllExpires(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, time.Hour, Options{})
	n.append(100)
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	path, tombstone := blockPath(dir, stream, 2), recordOf(t, 2, 1|isTombstone, "", 0)
	if err := os.WriteFile(path, tombstone[:recordEmpty/2], 0o600); err != nil {
		t.Fatal(err)
	}
	looks := 0
	s := &Store{
		dir: dir, mark: newMark(""), streams: map[string]*Stream{}, ended: make(chan struct{}),
		options: Options{Streams: rules(true), Sync: func(f *os.File) error {
			if f.Name() != path {
				return f.Sync()
			}
			if looks++; looks == 2 {
				return os.WriteFile(path, tombstone, 0o600)
			}
			return nil
		}},
	}
	if _, err := s.Stream(t.Context(), stream, 1, time.Hour); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
