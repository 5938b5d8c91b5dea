package projections

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/proof"
)

// fold applies events within one transaction.
type fold struct {
	tables
	mark checkpoint
	// leaves are those of the events applied. They go to the tree together,
	// so that a batch writes each tile once.
	leaves []tlog.Hash
	// oldestDek and oldestRequest are the first rows of what ages.
	oldestDek, oldestRequest oldestRow
}

// foldBatch folds a batch and its checkpoint into a new young layer, and gives
// both. It sets the events' At. After an error there is nothing new.
func foldBatch(db *bbolt.DB, over *layers, mark checkpoint, batch []domain.Recorded) (*layer, checkpoint, error) {
	f := fold{mark: mark, leaves: make([]tlog.Hash, 0, len(batch))}
	w := newLayerWriter(over.young)
	w.events += len(batch)
	err := db.View(func(tx *bbolt.Tx) error {
		f.tables = tables{tx: tx, over: over, writer: w}
		for i := range batch {
			if err := f.apply(&batch[i]); err != nil {
				if broken, ok := errors.AsType[*integrityError](err); ok {
					broken.at = i
				}
				return fmt.Errorf("event at position %d: %w", batch[i].Position, err)
			}
		}
		if err := f.tree(mark.position).Append(f.leaves); err != nil {
			return err
		}
		return f.put(tableMeta, []byte(keyCheckpoint), f.mark.encode())
	})
	if b := over.young.bulk; b != nil {
		// What was taken for missing may not have been read.
		if failed := b.runs.err(); failed != nil {
			err = failed
		}
	}
	if err != nil {
		return nil, mark, err
	}
	return &w.layer, f.mark, nil
}

func (f *fold) apply(r *domain.Recorded) error {
	if r.Position != f.mark.position+1 {
		return integrityf("the position follows %d: the log has a gap", f.mark.position)
	}
	f.mark.position, f.mark.eventID = r.Position, r.ID
	f.leaves = append(f.leaves, proof.LeafHash(r.Raw))
	if r.Event == nil {
		r.At = f.mark.at
		return f.foreign(*r)
	}
	if r.Stream == nil {
		return integrityf("the event has no stream")
	}
	if r.Time.After(f.mark.at) {
		f.mark.at = r.Time.UTC()
	}
	r.At = f.mark.at
	var err error
	switch s := r.Stream.(type) {
	case domain.SecretStream:
		err = f.secret(s.Ref, *r)
	case domain.DirectoryStream:
		err = f.directory(s.Org, *r)
	case domain.KeysStream:
		err = f.keys(s.Org, *r)
	}
	if err != nil {
		return err
	}
	if err := f.remember(*r); err != nil {
		return err
	}
	return f.expire()
}

// next checks that an event follows its stream's last one.
func next(r domain.Recorded, last uint64) error {
	if r.Version != last+1 {
		return integrityf("version %d of %s follows version %d", r.Version, r.Stream.Subject(), last)
	}
	return nil
}

// put writes or, for a nil row, deletes. Key and row are kept.
func (f *fold) put(t table, key, row []byte) error { return f.at(t).put(key, row) }

// present is the row of tables whose keys say everything.
func present() []byte { return []byte{} }

// keys folds an event of an organization's keys stream.
func (f *fold) keys(org domain.OrgID, r domain.Recorded) error {
	row, err := decodeStream(f.at(tableKeyStreams).Get([]byte(org)))
	if err != nil {
		return err
	}
	if err := next(r, row.version); err != nil {
		return err
	}
	if e, ok := r.Event.(domain.KeyDestroyed); ok {
		if err := f.destroyed(e); err != nil {
			return err
		}
	}
	return f.put(tableKeyStreams, []byte(org), streamRow{version: r.Version, head: r.Position}.encode())
}
