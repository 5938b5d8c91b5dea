package natsfile

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// cutWorld is a stream of which a power loss left a torn block and two younger
// ones.
type cutWorld struct {
	t     *testing.T
	root  string
	sound []byte
	torn  [][]byte // what has to be cut off, by block
}

func newCutWorld(t *testing.T) *cutWorld {
	w := &cutWorld{t: t, root: t.TempDir(), sound: bytes.Join([][]byte{message(t, 1), message(t, 2)}, nil)}
	w.torn = [][]byte{message(t, 3)[:70], recordOf(t, 2, 4, "test.s", 9000), recordOf(t, 3, 5, "test.s", 100)[:50]}
	writeBlock(t, w.log(), 1, w.sound, w.torn[0])
	writeBlock(t, w.log(), 2, w.torn[1])
	writeBlock(t, w.log(), 3, w.torn[2])
	markEnd(t, w.log(), EndedWithMachine, 2)
	return w
}

func (w *cutWorld) log() string { return filepath.Join(w.root, "log") }

// repair inspects and cuts until nothing is found, as often as it takes after
// a crash.
func repair(t *testing.T, root string, fsync func(*os.File) error) error {
	t.Helper()
	in, err := Inspect(filepath.Join(root, "log"), rules(false))
	if err != nil {
		t.Fatal(err)
	}
	if in.Last[stream] != 2 {
		t.Errorf("the log ends at %d", in.Last[stream])
	}
	for _, f := range in.Findings {
		if !f.Torn {
			t.Errorf("damage: %v", f)
		}
		if err := cut(filepath.Join(root, "log"), f, filepath.Join(root, "kept"), fsync); err != nil {
			return err
		}
	}
	return nil
}

// check verifies that the sound records are there alone, and that all bytes
// that were cut off are kept.
func (w *cutWorld) check(root string) {
	w.t.Helper()
	in, err := Inspect(filepath.Join(root, "log"), rules(false))
	if err != nil || len(in.Findings) > 0 || in.Last[stream] != 2 {
		w.t.Errorf("%+v, %v", in, err)
	}
	if got, err := os.ReadFile(blockPath(filepath.Join(root, "log"), stream, 1)); err != nil || !bytes.Equal(got, w.sound) {
		w.t.Errorf("the sound block has %d bytes, %v", len(got), err)
	}
	var kept [][]byte
	entries, err := os.ReadDir(filepath.Join(root, "kept", stream))
	if err != nil {
		w.t.Error(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".new") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(root, "kept", stream, e.Name()))
		if err != nil {
			w.t.Error(err)
		}
		kept = append(kept, content)
	}
	for n, torn := range w.torn {
		found := false
		for _, content := range kept {
			found = found || bytes.Equal(content, torn)
		}
		if !found {
			w.t.Errorf("what block %d had is not kept", n+1)
		}
	}
}

// TestCutKilledAtEachStep: a process that ends at any fsync of a cut leaves a
// torn end, and the next cut goes on: the sound records stay, and every byte
// that was cut off is kept.
func TestCutKilledAtEachStep(t *testing.T) {
	killed := errors.New("killed")
	for step := 1; ; step++ {
		w := newCutWorld(t)
		syncs := 0
		err := repair(t, w.root, func(f *os.File) error {
			if syncs++; syncs == step {
				return killed
			}
			return f.Sync()
		})
		if err == nil {
			if step < 10 {
				t.Errorf("a cut has %d steps", step-1)
			}
			w.check(w.root)
			return
		}
		if !errors.Is(err, killed) {
			t.Fatal(err)
		}
		if err := repair(t, w.root, (*os.File).Sync); err != nil {
			t.Errorf("step %d: %v", step, err)
		}
		w.check(w.root)
	}
}

// TestPowerLossDuringCut is TestCutKilledAtEachStep with a machine that goes
// down, and keeps any part of what was not fsynced.
func TestPowerLossDuringCut(t *testing.T) {
	seeded := rng(t)
	for round := range 5 {
		w := newCutWorld(t)
		d := newDisk(t, w.root)
		d.keepNothing = round == 0
		images := 0
		d.syncing = func() {
			images++
			image := t.TempDir()
			d.crash(seeded, image)
			if err := repair(t, image, (*os.File).Sync); err != nil {
				t.Errorf("image %d: %v", images, err)
			}
			w.check(image)
		}
		if err := repair(t, w.root, d.sync); err != nil {
			t.Fatal(err)
		}
		if images < 20 {
			t.Errorf("%d images", images)
		}
		image := t.TempDir()
		d.keepNothing = true
		d.crash(rand.New(rand.NewPCG(1, 1)), image)
		w.check(image)
	}
}
