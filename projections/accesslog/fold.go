package accesslog

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/projections/internal/cachefile"
	"github.com/chancery-dev/chancery/proof"
)

// maxRecords is how many records an index of 16 bits tells apart.
const maxRecords = 1 << 16

// integrityError says that the log contradicts itself, or this version.
type integrityError struct{ reason string }

// Error implements error.
func (e *integrityError) Error() string { return "accesslog: " + e.reason }

func integrityf(format string, args ...any) error {
	return &integrityError{reason: fmt.Sprintf(format, args...)}
}

// apply commits a batch, then shows it and wakes who waits for it. Of a batch
// with a message that can't be applied, those before it are.
func (s *Store) apply(batch []domain.AccessMessage) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	switch {
	case s.db == nil:
		return ErrClosed
	case s.broken != nil:
		return s.broken
	}
	st := s.state.Load()
	sound, wrong := examine(st.mark, batch)
	if len(sound) == 0 {
		return wrong
	}
	next, err := commit(s.db, st, sound, s.c.RunRecords)
	if err != nil {
		// The tail may hold what the file does not: it is made again.
		st, failed := s.remember(s.db)
		if failed != nil {
			s.broken = errors.Join(err, failed)
			return s.broken
		}
		s.state.Store(st)
		return err
	}
	s.state.Store(next)
	s.progress.reached(next.mark.position)
	if s.c.Applied != nil {
		s.c.Applied(next.mark.position)
	}
	return wrong
}

// examine gives the part of a batch that follows a mark, and what is wrong
// with the message behind it.
func examine(m mark, batch []domain.AccessMessage) ([]domain.AccessMessage, error) {
	for i, message := range batch {
		switch {
		case message.Position != m.position+uint64(i)+1:
			return batch[:i], integrityf("position %d follows %d: the log has a gap", message.Position, m.position+uint64(i))
		case len(message.Records) > maxRecords:
			return batch[:i], integrityf("the message at position %d has %d records", message.Position, len(message.Records))
		}
	}
	return batch, nil
}

// commit folds messages and the checkpoint in one transaction and gives the
// new state. On an error nothing was written, but the old state's tail is
// spoilt. A run is cut in the transaction of its last message: about 50 ms of
// writing for 65,536 records, in which readers go on with what was before.
func commit(db *bbolt.DB, st *state, batch []domain.AccessMessage, runRecords int) (*state, error) {
	next := &state{mark: st.mark, runs: slices.Clip(st.runs), tail: st.tail}
	err := cachefile.Guarded(func() error {
		return db.Update(func(tx *bbolt.Tx) error {
			messages := tx.Bucket([]byte(tableMessages))
			messages.FillPercent = 1 // always appended to
			leaves := make([]tlog.Hash, 0, len(batch))
			for _, m := range batch {
				if err := messages.Put(positionKey(m.Position), m.Raw); err != nil {
					return err
				}
				next.mark.position, next.mark.leaf = m.Position, proof.LeafHash(m.Raw)
				if m.Position > next.mark.tree {
					leaves = append(leaves, next.mark.leaf)
				}
				next.tail.add(m.Position, m.Records)
				if next.tail.records < runRecords {
					continue
				}
				h, err := cut(tx, next.tail, m.Position)
				if err != nil {
					return err
				}
				next.runs, next.tail = append(next.runs, h), newTail(m.Position)
			}
			tree := proof.Tree{Tiles: tilesOf(tx), Size: next.mark.tree}
			if err := tree.Append(leaves); err != nil {
				return err
			}
			next.mark.tree = tree.Size
			return writeMark(tx, next.mark)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("messages from position %d: %w", batch[0].Position, err)
	}
	return next, nil
}
