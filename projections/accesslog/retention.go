package accesslog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/projections/internal/cachefile"
)

// releaseStep bounds the messages that one transaction drops.
const releaseStep = 1024

// release drops the messages and runs below a position that the log has let
// go. A crash in between leaves some of them; the next call goes on.
func (s *Store) release(ctx context.Context, first uint64) error {
	for ctx.Err() == nil {
		if done, err := s.releaseSome(first); done || err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) releaseSome(first uint64) (done bool, err error) {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.db == nil {
		return true, ErrClosed
	}
	st := s.state.Load()
	first = min(first, st.mark.position+1)
	if st.mark.first >= first && (len(st.runs) == 0 || st.runs[0].last >= first) {
		return true, nil
	}
	next := *st
	err = cachefile.Guarded(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			if next.mark.first, err = dropMessages(tx, first, releaseStep); err != nil {
				return err
			}
			next.mark.first = max(next.mark.first, st.mark.first)
			if len(next.runs) > 0 && next.runs[0].last < next.mark.first {
				key := positionKey(next.runs[0].first)
				if err := tx.Bucket([]byte(tableRuns)).DeleteBucket(key); err != nil {
					return err
				}
				if err := tx.Bucket([]byte(tableHeaders)).Delete(key); err != nil {
					return err
				}
				next.runs = next.runs[1:]
			}
			return writeMark(tx, next.mark)
		})
	})
	if err != nil {
		return true, fmt.Errorf("dropping what expired: %w", err)
	}
	s.state.Store(&next)
	return false, nil
}

// dropMessages drops at most so many messages below a position and gives the
// first that is kept.
func dropMessages(tx *bbolt.Tx, first uint64, most int) (uint64, error) {
	c := tx.Bucket([]byte(tableMessages)).Cursor()
	for range most {
		k, _ := c.First()
		if k == nil || binary.BigEndian.Uint64(k) >= first {
			return first, nil
		}
		if err := c.Delete(); err != nil {
			return 0, err
		}
	}
	if k, _ := c.First(); k != nil {
		return min(first, binary.BigEndian.Uint64(k)), nil
	}
	return first, nil
}

// memoryTiles are tiles on their way into the file, so that no transaction is
// open while they are fetched.
type memoryTiles map[[9]byte][]byte

// Tile implements [proof.Tiles].
func (t memoryTiles) Tile(level int, index uint64) ([]byte, error) {
	return t[[9]byte(tileKey(level, index))], nil
}

// PutTile implements [proof.Tiles].
func (t memoryTiles) PutTile(level int, index uint64, hashes []byte) error {
	t[[9]byte(tileKey(level, index))] = bytes.Clone(hashes)
	return nil
}

// resume begins an empty file on a log whose messages before the first one
// that is there have expired.
func (s *Store) resume(ctx context.Context, log Source) error {
	if s.c.Resume == nil {
		return errors.New("accesslog: the log's first messages have expired, and nothing says how its tree goes on")
	}
	status, err := log.Status(ctx)
	if err != nil {
		return err
	}
	if status.First <= 1 {
		return nil
	}
	rows := memoryTiles{}
	size, err := s.c.Resume(ctx, status.First, rows)
	if err != nil {
		return fmt.Errorf("resuming the tree: %w", err)
	}
	// The edge may be younger than what the log said of itself.
	again, err := log.Status(ctx)
	if err != nil {
		return err
	}
	if size < status.First-1 || size > again.Head {
		return integrityf("a tree of %d leaves can't be gone on with: the log has %d to %d", size, status.First, again.Head)
	}
	return s.begin(status.First, size, rows, status.Created)
}

func (s *Store) begin(first, size uint64, rows memoryTiles, created time.Time) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.db == nil {
		return ErrClosed
	}
	m := mark{position: first - 1, first: first, tree: size, edge: size, created: created.UTC()}
	if err := s.db.Update(func(tx *bbolt.Tx) error {
		for key, row := range rows {
			if err := tilesOf(tx).rows.Put(bytes.Clone(key[:]), row); err != nil {
				return err
			}
		}
		return writeMark(tx, m)
	}); err != nil {
		return err
	}
	s.anchor = m
	s.state.Store(&state{mark: m, tail: newTail(m.position)})
	s.progress.reached(m.position)
	return nil
}
