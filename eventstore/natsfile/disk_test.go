package natsfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
)

const pageSize = 4096

var errDisk = errors.New("the disk is broken")

// disk is what a power loss leaves of a directory. It keeps the content of each
// file as of its last fsync, by inode, and the names in each directory as of
// the directory's last fsync. Of what was written after that it keeps any
// subset: of the changed pages of a file, and of the changed names of a
// directory. Directories themselves are always there.
type disk struct {
	t    *testing.T
	root string
	// syncing is called before and after each fsync; optional.
	syncing func()

	mu     sync.Mutex
	inodes map[uint64]*inode
	names  map[string]map[string]uint64 // durable ones, by directory
	broken bool                         // every fsync fails
	// keepNothing makes a power loss lose everything that was not synced.
	keepNothing bool
	syncs       int
}

// inode is a file. It is held open, so that its number is not used again.
type inode struct {
	file    *os.File
	durable []byte
}

// newDisk begins with everything that is below root, as if it were durable.
func newDisk(t *testing.T, root string) *disk {
	t.Helper()
	d := &disk{t: t, root: root, inodes: map[uint64]*inode{}, names: map[string]map[string]uint64{}}
	t.Cleanup(func() {
		for _, i := range d.inodes {
			_ = i.file.Close()
		}
	})
	for _, dir := range d.directories() {
		d.names[dir] = d.list(dir)
		for _, number := range d.names[dir] {
			d.inodes[number].durable = d.content(number)
		}
	}
	return d
}

// sync is Options.Sync. A failed fsync loses what it was for: the kernel calls
// the pages clean, and a later fsync succeeds without writing them.
func (d *disk) sync(f *os.File) error {
	if d.syncing != nil {
		d.syncing()
		defer d.syncing()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs++
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if d.broken {
		if !info.IsDir() {
			d.track(f.Name(), info) // its number is not used again
		}
		return errDisk
	}
	if info.IsDir() {
		if _, err := os.Stat(f.Name()); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		d.names[f.Name()] = d.list(f.Name())
		return nil
	}
	number := d.track(f.Name(), info)
	d.inodes[number].durable = d.content(number)
	return nil
}

// directories lists those that are there.
func (d *disk) directories() (all []string) {
	err := filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			all = append(all, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		d.t.Error(err)
	}
	return all
}

// list reads the names of the files in a directory.
func (d *disk) list(dir string) map[string]uint64 {
	names := map[string]uint64{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		d.t.Error(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() {
			if number := d.track(filepath.Join(dir, e.Name()), info); number != 0 {
				names[e.Name()] = number
			}
		}
	}
	return names
}

func (d *disk) number(info fs.FileInfo) uint64 {
	system, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		d.t.Fatal("no inode number")
	}
	return system.Ino
}

// track holds a file open; 0 where it is gone.
func (d *disk) track(path string, info fs.FileInfo) uint64 {
	number := d.number(info)
	if d.inodes[number] != nil {
		return number
	}
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	if now, err := f.Stat(); err != nil || !os.SameFile(info, now) {
		_ = f.Close()
		return 0
	}
	d.inodes[number] = &inode{file: f}
	return number
}

func (d *disk) content(number uint64) []byte {
	content, err := io.ReadAll(io.NewSectionReader(d.inodes[number].file, 0, 1<<40))
	if err != nil {
		d.t.Error(err)
	}
	return content
}

// fail makes every fsync fail, or ends that.
func (d *disk) fail(broken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = broken
}

// crash writes what a power loss now leaves below another root.
func (d *disk) crash(rng *rand.Rand, root string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, dir := range d.directories() {
		relative, err := filepath.Rel(d.root, dir)
		if err != nil {
			d.t.Fatal(err)
		}
		into := filepath.Join(root, relative)
		if err := os.MkdirAll(into, 0o700); err != nil {
			d.t.Fatal(err)
		}
		names, now := maps.Clone(d.names[dir]), d.list(dir)
		if names == nil {
			names = map[string]uint64{}
		}
		for _, name := range slices.Sorted(maps.Keys(now)) {
			if names[name] != now[name] && !d.keepNothing && rng.IntN(2) == 0 {
				names[name] = now[name]
			}
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if now[name] == 0 && !d.keepNothing && rng.IntN(2) == 0 {
				delete(names, name)
			}
		}
		for name, number := range names {
			content := d.inodes[number].durable
			if !d.keepNothing {
				content = mix(rng, content, d.content(number))
			}
			if err := os.WriteFile(filepath.Join(into, name), content, 0o600); err != nil {
				d.t.Fatal(err)
			}
		}
	}
}

// mix keeps any subset of the pages that changed, and any length between.
func mix(rng *rand.Rand, durable, now []byte) []byte {
	if bytes.Equal(durable, now) {
		return now
	}
	size := len(durable)
	switch rng.IntN(3) {
	case 0:
		size = len(now)
	case 1:
		size = min(len(durable), len(now)) + rng.IntN(max(len(durable), len(now))-min(len(durable), len(now))+1)
	}
	keep := rng.IntN(4) // mostly some pages, sometimes all or none
	mixed := make([]byte, size)
	copy(mixed, durable)
	for at := 0; at < size; at += pageSize {
		if end := min(at+pageSize, size); keep == 0 || keep < 3 && rng.IntN(2) == 0 {
			clear(mixed[at:end])
			if at < len(now) {
				copy(mixed[at:end], now[at:])
			}
		}
	}
	return mixed
}
