package accesslog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/projections/internal/cachefile"
	"github.com/chancery-dev/chancery/proof"
)

var (
	// ErrClosed is what a closed store answers.
	ErrClosed = errors.New("accesslog: the store is closed")
	// ErrStopped says that the store no longer follows its log.
	ErrStopped = errors.New("accesslog: the projection has stopped")
	// ErrBusy says that Run, CatchUp or Rebuild is going on already.
	ErrBusy = errors.New("accesslog: the store follows a log already")
)

// Store is the access log, indexed, in one file. All methods are safe for
// concurrent use.
//
// Until it has caught up with a log, since it was opened or since a rebuild
// began, questions are refused with unavailable: see [Store.Serving].
//
// It keeps in memory the lists of one run's records at most, about 20 MiB when
// each of 65,536 records is of another secret, and what waits to be applied,
// at most two batches.
type Store struct {
	c Config
	// following is held by the one Run, CatchUp or Rebuild.
	following sync.Mutex
	// applying is held while a transaction writes, until state says the same
	// as the file. It guards anchor, an earlier mark that the log has
	// confirmed, and broken, why memory can't be trusted any more.
	applying sync.Mutex
	anchor   mark
	broken   error
	// file guards db: held for reading as long as a transaction reads, for
	// writing while the file is replaced or closed.
	file     sync.RWMutex
	db       *bbolt.DB // nil when closed
	state    atomic.Pointer[state]
	progress progress
}

// state is what readers are shown together. It is never changed; the tail
// grows, and readers pass over what is beyond the mark.
type state struct {
	mark mark
	runs []header
	tail *tail
}

// Open opens the store, or makes an empty one where there is none or where the
// file must not be trusted: damaged, of another schema, or neither closed
// cleanly nor written since the machine started. It fails when another process
// has the file.
func Open(c Config) (*Store, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	reason, err := c.format().Look(c.Path, c.BootID, func(tx *bbolt.Tx) error {
		if _, err := readMark(tx); err != nil {
			return fmt.Errorf("%w: %w", cachefile.ErrDamaged, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for {
		if reason != "" {
			c.Logger.WarnContext(context.Background(), "the access log's index is discarded and made anew",
				slog.String("reason", reason))
			if err := cachefile.Remove(c.Path); err != nil {
				return nil, err
			}
		}
		s := &Store{c: c}
		err := s.load()
		if err == nil {
			s.progress.restart(s.Position(), false)
			return s, nil
		}
		if !errors.Is(err, cachefile.ErrDamaged) || reason != "" {
			return nil, err
		}
		reason = cachefile.ReasonDamaged
	}
}

// load opens the file and makes what is kept in memory.
func (s *Store) load() error {
	db, err := s.c.format().Open(s.c.Path, s.c.BootID)
	if err != nil {
		return err
	}
	st, err := s.remember(db)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	s.db = db
	s.broken = nil
	s.state.Store(st)
	return nil
}

// remember makes the state that the file means.
func (s *Store) remember(db *bbolt.DB) (st *state, err error) {
	err = cachefile.Guarded(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			st, err = s.c.remember(tx)
			return err
		})
	})
	if errors.Is(err, errRow) {
		err = fmt.Errorf("%w: %w", cachefile.ErrDamaged, err)
	}
	return st, err
}

func (c Config) remember(tx *bbolt.Tx) (*state, error) {
	m, err := readMark(tx)
	if err != nil {
		return nil, err
	}
	st := &state{mark: m}
	after := m.first - 1
	headers := tx.Bucket([]byte(tableHeaders)).Cursor()
	for k, row := headers.First(); k != nil; k, row = headers.Next() {
		h, err := decodeHeader(k, row)
		if err != nil {
			return nil, err
		}
		if n := len(st.runs); n > 0 && h.first != st.runs[n-1].last+1 {
			return nil, fmt.Errorf("%w: runs are not in a row", errRow)
		}
		st.runs = append(st.runs, h)
		after = h.last
	}
	st.tail = newTail(after)
	messages := tx.Bucket([]byte(tableMessages)).Cursor()
	for k, raw := messages.Seek(positionKey(after + 1)); k != nil; k, raw = messages.Next() {
		if len(k) != 8 {
			return nil, errRow
		}
		records, err := c.Decode(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: message at position %d: %w", errRow, binary.BigEndian.Uint64(k), err)
		}
		st.tail.add(binary.BigEndian.Uint64(k), records)
	}
	return st, nil
}

// discard replaces the file by an empty one.
func (s *Store) discard() error {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.anchor = emptyMark()
	s.progress.restart(0, true)
	s.file.Lock()
	defer s.file.Unlock()
	if s.db == nil {
		return ErrClosed
	}
	err := s.db.Close()
	s.db = nil
	if err != nil {
		return err
	}
	if err := cachefile.Remove(s.c.Path); err != nil {
		return err
	}
	return s.load()
}

// Close makes the file durable, marks it as cleanly closed and closes it. End
// Run first: one that goes on stops with [ErrClosed]. A second Close does
// nothing.
func (s *Store) Close() error {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.file.Lock()
	defer s.file.Unlock()
	if s.db == nil {
		return nil
	}
	err := cachefile.Close(s.db)
	s.db = nil
	s.progress.stop(ErrClosed)
	return err
}

// view is what one question sees.
type view struct {
	*state
	tx *bbolt.Tx
	// first is the first position that is kept in the transaction, at least
	// that of the state.
	first uint64
}

// view runs a question in one read transaction, if the store may answer. The
// transaction begins after the state was taken, and a state is shown after its
// transaction was committed: so the file has all that the state speaks of,
// but for what was dropped in between.
func (s *Store) view(ask func(*view) error) error {
	s.file.RLock()
	defer s.file.RUnlock()
	// Asked under the lock: a rebuild refuses questions before it takes it.
	if err := s.progress.serving(); err != nil {
		return err
	}
	return s.look(ask)
}

// look is view for whom the store need not be ready. The caller holds file.
func (s *Store) look(ask func(*view) error) error {
	if s.db == nil {
		return ErrClosed
	}
	return cachefile.Guarded(func() error {
		st := s.state.Load()
		return s.db.View(func(tx *bbolt.Tx) error {
			m, err := readMark(tx)
			if err != nil {
				return err
			}
			return ask(&view{state: st, tx: tx, first: m.first})
		})
	})
}

// Tree gives a question the Merkle tree of the log, as far as the store has
// applied it: leaf i is the message at position i+1. A store that was resumed
// on a log whose first messages have expired has no tiles on the left of what
// it was resumed with, and may be larger than its position for a while. The
// tree is good until ask returns, and to be read only; its error is handed on.
func (s *Store) Tree(ask func(*proof.Tree) error) error {
	return s.view(func(v *view) error {
		// The file may be ahead of the state, and then its tree has more leaves
		// in the same rows: those of before are still where they were.
		return ask(&proof.Tree{Tiles: tilesOf(v.tx), Size: v.mark.tree})
	})
}
