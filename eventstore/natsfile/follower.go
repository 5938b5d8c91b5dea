package natsfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// readSize is how much of a block is read at once. A record that is longer
// makes the buffer grow.
const readSize = 128 << 10

// follower reads the records of a stream while the server writes them. It
// belongs to one goroutine at a time.
type follower struct {
	dir, stream string
	fsync       func(*os.File) error

	chain   chain
	records *scanner
	block   block
	file    *os.File
	offset  int64 // everything before it was read, in whole records
	buffer  []byte
	// unsynced are the files with records that were read since the last fsync,
	// oldest first.
	unsynced []*os.File
	// unnamed is set while the name of a block may not be durable.
	unnamed bool
}

// syncAll makes durable what is there. The server made the directories above the
// stream's without an fsync.
func (f *follower) syncAll() error {
	if err := syncTree(streamDir(f.dir, f.stream), f.fsync); err != nil {
		return err
	}
	for above := streamsDir(f.dir); above != filepath.Dir(filepath.Dir(f.dir)); above = filepath.Dir(above) {
		if err := syncPath(above, f.fsync); err != nil {
			return err
		}
	}
	return nil
}

// begin goes to the newest record. Everything that is there is durable.
func (f *follower) begin() error {
	all, err := blocks(f.dir, f.stream)
	if err != nil || len(all) == 0 {
		return err
	}
	// A block that was just begun is empty: then the newest record lies in one
	// before it.
	newest := len(all) - 1
	f.chain.unknown = true
	for i := newest; i >= 0 && f.chain.unknown; i-- {
		if err := f.visit(all[i]); err != nil {
			return err
		}
	}
	f.chain.unknown = false
	if f.block != all[newest] {
		if err := f.visit(all[newest]); err != nil {
			return err
		}
	}
	return nil
}

// visit reads a block that is durable already.
func (f *follower) visit(b block) error {
	if err := f.open(b); err != nil {
		return err
	}
	err := f.readAll(^uint64(0))
	f.settle()
	return err
}

// open goes to the begin of a block.
func (f *follower) open(b block) error {
	file, err := os.Open(b.path)
	if err != nil {
		return err
	}
	records, err := newScanner(f.stream, b.number)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	if f.file != nil && (len(f.unsynced) == 0 || f.unsynced[len(f.unsynced)-1] != f.file) {
		_ = f.file.Close() // it was only read
	}
	f.block, f.file, f.records, f.offset = b, file, records, 0
	f.chain.fresh, f.unnamed = true, true
	return nil
}

// settle forgets which files have to be synced, and closes them.
func (f *follower) settle() {
	for _, file := range f.unsynced {
		if file != f.file {
			_ = file.Close() // it was only read
		}
	}
	f.unsynced = f.unsynced[:0]
}

// reach reads until the position was read. false: the server has not written
// it yet. Every error is a fault: a file or a record is not as it must be.
func (f *follower) reach(position uint64) (bool, error) {
	if f.file == nil {
		if moved, err := f.move(position); err != nil || !moved {
			return false, err
		}
	}
	if err := f.same(); err != nil {
		return false, err
	}
	for {
		if err := f.read(position); err != nil {
			return false, err
		}
		if f.chain.last >= position {
			return true, nil
		}
		if moved, err := f.move(position); err != nil || !moved {
			return false, err
		}
	}
}

// move goes to the block after this one, if the server has begun one. It writes
// to no older block after that, so the rest of this block is read first.
func (f *follower) move(limit uint64) (bool, error) {
	all, err := blocks(f.dir, f.stream)
	if err != nil {
		return false, err
	}
	for _, b := range all {
		if f.file != nil && b.number <= f.block.number {
			continue
		}
		if f.file != nil {
			if err := f.readAll(limit); err != nil {
				return false, err
			}
		}
		err := f.open(b)
		if errors.Is(err, fs.ErrNotExist) && f.chain.rules.Expires {
			continue // all its messages have expired
		}
		return err == nil, f.at(err)
	}
	return false, nil
}

// same checks that the block's name still leads to the file that is read.
func (f *follower) same() error {
	held, err := f.file.Stat()
	if err != nil {
		return f.at(err)
	}
	if held.Size() < f.offset {
		return f.at(errors.New("the server made the file shorter"))
	}
	named, err := os.Stat(f.block.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && f.chain.rules.Expires:
		return nil // the file is still open, and a newer one is there
	case err != nil:
		return f.at(err)
	case !os.SameFile(named, held):
		return f.at(errors.New("the server put another file in its place"))
	}
	return nil
}

// readAll is read for a block to which nothing will be added.
func (f *follower) readAll(limit uint64) error {
	if err := f.read(limit); err != nil {
		return err
	}
	info, err := f.file.Stat()
	if err == nil && info.Size() > f.offset {
		err = errShort
	}
	return f.at(err)
}

// read reads the whole records that the block has behind the offset.
func (f *follower) read(limit uint64) error {
	if f.buffer == nil {
		f.buffer = make([]byte, readSize)
	}
	for {
		n, err := f.file.ReadAt(f.buffer, f.offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return f.at(err)
		}
		length, err := f.take(f.buffer[:n], limit)
		if err != nil {
			return f.at(err)
		}
		switch {
		case n < len(f.buffer):
			return nil
		case length == 0:
			f.buffer = make([]byte, min(2*len(f.buffer), recordLongest))
		}
	}
}

// take checks the whole records of a part of the block, and returns how many
// bytes they have.
func (f *follower) take(part []byte, limit uint64) (length int, err error) {
	for length < len(part) {
		r, err := f.records.next(part[length:])
		if errors.Is(err, errShort) {
			break
		}
		if err == nil {
			err = f.chain.take(r, limit)
		}
		if err != nil {
			return length, err
		}
		if n := len(f.unsynced); n == 0 || f.unsynced[n-1] != f.file {
			f.unsynced = append(f.unsynced, f.file)
		}
		length += r.size
		f.offset += int64(r.size)
	}
	return length, nil
}

// sync makes durable what was read, the oldest block first: a power loss in
// between leaves no hole.
func (f *follower) sync() error {
	for _, file := range f.unsynced {
		if err := f.fsync(file); err != nil {
			return f.at(err)
		}
	}
	if f.unnamed {
		if err := syncPath(messagesDir(f.dir, f.stream), f.fsync); err != nil {
			return f.at(err)
		}
		f.unnamed = false
	}
	f.settle()
	return nil
}

// close lets go of the files.
func (f *follower) close() {
	f.settle()
	if f.file != nil {
		_ = f.file.Close() // it was only read
		f.file = nil
	}
}

// at adds the place to an error.
func (f *follower) at(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("stream %s, block %d, byte %d: %w", f.stream, f.block.number, f.offset, err)
}
