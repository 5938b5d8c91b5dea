package natsfile

import (
	"errors"
	"os"
	"testing"
)

// TestFailedSync holds invariant 3. The kernel calls the pages of a failed
// fsync clean: a second fsync of the same file writes nothing and succeeds. The
// next start writes the blocks into new files, so that what it shows is on the
// disk.
func TestFailedSync(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, dir)
	lost := map[uint64]bool{} // files with a page that the kernel could not write
	sync := func(f *os.File) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if !info.IsDir() {
			number := d.number(info)
			if d.broken {
				lost[number] = true
			}
			if lost[number] && !d.broken {
				return nil // and nothing is written
			}
		}
		return d.sync(f)
	}
	n := start(t, dir, 0, Options{Sync: sync})
	n.append(100)
	d.fail(true)
	second := n.publish(100)
	if err := n.stream.Wait(t.Context(), second); !errors.Is(err, errDisk) {
		t.Fatalf("got %v", err)
	}
	d.fail(false)
	third := n.publish(100)
	if err := n.stream.Wait(t.Context(), third); !errors.Is(err, errDisk) || n.stream.Durable() != 1 {
		t.Fatalf("durable to %d, %v", n.stream.Durable(), err)
	}
	if err := n.close(); !errors.Is(err, errDisk) {
		t.Fatalf("closed: %v", err)
	}

	n = start(t, dir, 0, Options{Sync: sync})
	if n.store.Ended() != EndedWithProcess || n.stream.Durable() != third {
		t.Fatalf("ended as %d, durable to %d", n.store.Ended(), n.stream.Durable())
	}
	fourth := n.append(100)
	n.stopServer()
	root := t.TempDir()
	d.keepNothing = true
	d.crash(nil, root)
	anotherBoot(t, root)
	in, err := Inspect(root, rules(false))
	if err != nil || len(in.Findings) > 0 || in.Last[stream] != fourth {
		t.Errorf("on the disk: %+v, %v", in, err)
	}
}

// TestCrashWhileRewriting holds invariant 3 through a power loss at each fsync
// of the start that writes the blocks anew.
func TestCrashWhileRewriting(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, dir)
	n := start(t, dir, 0, Options{Sync: d.sync})
	n.append(100)
	last := n.append(100)
	d.fail(true)
	if err := n.stream.Wait(t.Context(), n.publish(100)); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	d.fail(false)
	if err := n.close(); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	images := 0
	d.syncing = func() {
		root := t.TempDir()
		d.keepNothing = images%2 == 0
		d.crash(rng(t), root)
		images++
		if in, err := Inspect(root, rules(false)); err != nil || in.Last[stream] < last {
			t.Errorf("image %d: %+v, %v", images, in, err)
		}
		store, err := Open(root, Options{Streams: rules(false)})
		if err != nil {
			t.Errorf("image %d: %v", images, err)
			return
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	store, err := Open(dir, Options{Streams: rules(false), Sync: d.sync})
	d.syncing = nil
	if err != nil || images < 4 {
		t.Fatalf("%d images, %v", images, err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}
