package eventstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// syncChunk is how much of a block is read at once, as long as the messages
	// are not larger, and syncMost more than the largest message.
	syncChunk, syncMost = 128 << 10, embeddedPayload + 64<<10
	// syncPause is between two looks at a block that does not have an
	// acknowledged message yet.
	syncPause = time.Millisecond
)

// blockSync makes a stream of the embedded server durable. The server writes a
// message into its newest block before it acknowledges it, and is told not to
// sync: it would sync each by itself. Here one fsync is for all that were
// written before it began, so callers who come while one is under way share the
// next.
//
// It does not believe the acknowledgement. What is synced is what it has found
// in the file: it follows the records of the block to the sequence that is
// asked for, over into the next block where the server began one, and syncs all
// that it read from, oldest first. A server that kept its messages elsewhere
// would make every append fail, not lose one.
type blockSync struct {
	dir    string // of StartEmbedded
	stream string
	fsync  func(*os.File) error // replaced by tests alone

	mu     sync.Mutex
	synced uint64        // everything up to here is on disk
	busy   chan struct{} // closed when the one who is syncing is done; nil: nobody is

	// The rest belongs to who is syncing.
	failed error  // of fsync, for good
	first  uint32 // the oldest block that may not be synced whole
	block  BlockFile
	file   *os.File // nil: begin with the newest block
	offset int64    // all before it was followed
	seen   uint64   // the highest sequence there
	opened bool     // a file's name may not be synced: it is new, or written anew
	buffer []byte
}

func newBlockSync(dir, stream string) *blockSync {
	return &blockSync{dir: dir, stream: stream, fsync: (*os.File).Sync}
}

// begin makes durable what a run before may have left, and goes to the end.
func (s *blockSync) begin(ctx context.Context) error {
	if _, err := s.turn(ctx, ^uint64(0)); err != nil {
		return err
	}
	err := s.restart()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced = 0
	close(s.busy)
	s.busy = nil
	return err
}

func (s *blockSync) restart() error {
	s.forget()
	if err := syncTree(filepath.Join(streamsDir(s.dir), s.stream), s.fsync); err != nil {
		return err
	}
	files, err := BlockFiles(s.dir, s.stream)
	if s.first = 0; err == nil && len(files) > 0 {
		s.first = files[len(files)-1].Number
	}
	return err
}

// wait returns nil once the message at a position is on disk, and all before
// it. After an error it may be or not.
func (s *blockSync) wait(ctx context.Context, position uint64) error {
	for {
		done, err := s.turn(ctx, position)
		if done || err != nil {
			return err
		}
		seen, err := s.sync(ctx, position)
		s.mu.Lock()
		if err == nil {
			s.synced = max(s.synced, seen)
		}
		close(s.busy)
		s.busy = nil
		s.mu.Unlock()
		if err != nil {
			return fmt.Errorf("eventstore: syncing %s: %w", s.stream, err)
		}
	}
}

// turn waits until it is the caller's turn to sync, or says that there is no
// need.
func (s *blockSync) turn(ctx context.Context, position uint64) (done bool, err error) {
	for {
		s.mu.Lock()
		busy := s.busy
		switch {
		case s.synced >= position:
			s.mu.Unlock()
			return true, nil
		case busy == nil:
			s.busy = make(chan struct{})
			s.mu.Unlock()
			return false, nil
		}
		s.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// sync finds a position in the blocks and syncs them. It gives up to where it
// came. After an error the next call begins again with the oldest block that
// may not be synced: this one may have gone beyond it.
func (s *blockSync) sync(ctx context.Context, position uint64) (seen uint64, err error) {
	if s.failed != nil {
		return 0, s.failed
	}
	defer func() {
		if err != nil {
			s.forget()
		}
	}()
	var dirty []*os.File
	defer func() {
		for _, f := range dirty {
			if f != s.file {
				_ = f.Close() // only read, and synced or failed
			}
		}
	}()
	for {
		moved, err := s.open()
		if err != nil {
			return 0, err
		}
		switch last := len(dirty) - 1; {
		case last < 0, !moved && dirty[last] != s.file:
			dirty = append(dirty, s.file)
		case moved:
			dirty[last] = s.file // what was there is closed
		}
		if err := s.follow(); err != nil {
			return 0, err
		}
		if s.seen >= position {
			break
		}
		next, err := s.next()
		if err != nil {
			return 0, err
		}
		if !next && !sleep(ctx, syncPause) {
			return 0, ctx.Err()
		}
	}
	for _, f := range dirty {
		if err := s.fsync(f); err != nil {
			// What the kernel could not write it may call clean from now on: a
			// second try would prove nothing.
			s.failed = err
			return 0, err
		}
	}
	if s.opened {
		if err := syncDirectory(messagesDir(s.dir, s.stream), s.fsync); err != nil {
			s.failed = err
			return 0, err
		}
	}
	s.opened, s.first = false, s.block.Number
	return s.seen, nil
}

// open makes sure that file is the block as its name leads to it: the server
// writes a block anew from which it erases. moved: it is another file.
func (s *blockSync) open() (moved bool, err error) {
	if s.file != nil {
		named, err := os.Stat(s.block.Path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		held, err := s.file.Stat()
		if err != nil {
			return false, err
		}
		if named != nil && os.SameFile(named, held) && held.Size() >= s.offset {
			return false, nil
		}
		s.forget()
	}
	found, err := s.goTo(s.first)
	if err == nil && !found {
		err = errNoBlock
	}
	return true, err
}

var errNoBlock = errors.New("the server has no block where it should be")

// goTo opens the first block whose number is not below one.
func (s *blockSync) goTo(least uint32) (bool, error) {
	files, err := BlockFiles(s.dir, s.stream)
	if err != nil {
		return false, err
	}
	for _, b := range files {
		if b.Number >= least {
			file, err := os.Open(b.Path)
			if err != nil {
				return false, err
			}
			s.block, s.file, s.offset, s.opened = b, file, 0, true
			return true, nil
		}
	}
	return false, nil
}

func (s *blockSync) forget() {
	if s.file != nil {
		_ = s.file.Close() // only read
	}
	s.file, s.offset, s.seen = nil, 0, 0
}

// follow reads what is new in the block.
func (s *blockSync) follow() error {
	if s.buffer == nil {
		s.buffer = make([]byte, syncChunk)
	}
	for {
		n, err := s.file.ReadAt(s.buffer, s.offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		length, last := wholeRecords(s.buffer[:n])
		s.offset, s.seen = s.offset+int64(length), max(s.seen, last)
		switch {
		case n < len(s.buffer):
			return nil
		case length == 0 && len(s.buffer) < syncMost:
			s.buffer = make([]byte, min(2*len(s.buffer), syncMost))
		case length == 0:
			return nil
		}
	}
}

// next goes to the block behind this one, if there is one. The file of this one
// is the caller's to close.
func (s *blockSync) next() (bool, error) { return s.goTo(s.block.Number + 1) }
