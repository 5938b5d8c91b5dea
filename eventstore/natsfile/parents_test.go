package natsfile

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestParents holds invariant 4 for the names of the directories: the name of
// each one from the data directory's down to the stream's was fsynced in its
// parent before the first position is durable.
func TestParents(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	named := map[string]bool{} // directories whose names were durable
	n := start(t, dir, 0, Options{Sync: func(f *os.File) error {
		mu.Lock()
		defer mu.Unlock()
		entries, err := os.ReadDir(f.Name())
		if err == nil {
			for _, e := range entries {
				named[filepath.Join(f.Name(), e.Name())] = true
			}
		}
		return f.Sync()
	}})
	n.append(10)
	mu.Lock()
	defer mu.Unlock()
	for path := messagesDir(dir, stream); path != filepath.Dir(dir); path = filepath.Dir(path) {
		if !named[path] {
			t.Errorf("the name of %s is not durable", path)
		}
	}
}
