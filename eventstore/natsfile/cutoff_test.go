package natsfile

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestCutOffIsKept: one byte of the newest block was changed, and the machine
// went down. What the start cuts off, with the sound records in it, is kept.
func TestCutOffIsKept(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, 0, Options{})
	for range 5 {
		n.append(100) // durable
	}
	n.stopServer()
	path := blockPath(dir, stream, 1)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/5+60] ^= 1 // in the second of five
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	anotherBoot(t, dir)
	store, err := Open(dir, Options{Streams: rules(false)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	cut := store.CutOff()
	if len(cut) != 1 || cut[0].Position != 2 || cut[0].Through != 5 {
		t.Fatalf("cut off: %+v", cut)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "cut", stream, "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %v, %v", kept, err)
	}
	end, err := os.ReadFile(kept[0])
	if err != nil || !bytes.Equal(end, content[len(content)/5:]) {
		t.Errorf("%d bytes are kept of %d, %v", len(end), len(content)*4/5, err)
	}
}
