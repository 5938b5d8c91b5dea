package projections

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/domain"
)

// maxFindings bounds what a [CheckError] lists.
const maxFindings = 50

// CheckError lists where a store differs from its log.
type CheckError struct {
	// Findings are lines for people: bucket and key of what is missing,
	// altered or too much, never a value. At most 50.
	Findings []string
	// More counts those beyond the list.
	More int
}

// Error implements error.
func (e *CheckError) Error() string {
	text := "projections: the store differs from the log: " + strings.Join(e.Findings, "; ")
	if e.More > 0 {
		text += fmt.Sprintf("; and %d more", e.More)
	}
	return text
}

func (e *CheckError) add(format string, args ...any) {
	if len(e.Findings) == maxFindings {
		e.More++
		return
	}
	e.Findings = append(e.Findings, fmt.Sprintf(format, args...))
}

// Check folds the log afresh, up to the position that the store has applied,
// and compares every bucket byte by byte, what is kept in memory, and the
// structure of the file itself. Differences are a [*CheckError]; any other
// error means that it could not be found out.
//
// It works on a copy beside the store's file, so it needs about twice the
// file's space for a while, and the store may go on applying.
func Check(ctx context.Context, s *Store, log Source) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(s.o.Path), "check-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	found := &CheckError{}
	copied := filepath.Join(dir, "copy.db")
	mark, memory, err := s.snapshot(copied, found)
	if err != nil {
		return err
	}
	if err := structure(copied, found); err != nil {
		return err
	}
	if len(found.Findings) > 0 { // rows of a broken file say nothing
		return found
	}
	o := s.o
	o.Path, o.Applied = filepath.Join(dir, "fold.db"), nil
	fresh, err := Open(o) //nolint:contextcheck // opening takes none.
	if err != nil {
		return err
	}
	err = errors.Join(fresh.refold(ctx, log, mark, found), compareFile(ctx, copied, fresh, memory, found), fresh.Close())
	if err != nil {
		return err
	}
	if len(found.Findings) > 0 {
		return found
	}
	return nil
}

// snapshot copies the file and what memory should have as rows, both as of one
// position.
func (s *Store) snapshot(path string, found *CheckError) (checkpoint, map[table]map[string][]byte, error) {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.applying.Lock()
	defer s.applying.Unlock()
	s.file.RLock()
	defer s.file.RUnlock()
	if s.db == nil {
		return checkpoint{}, nil, ErrClosed
	}
	if err := s.flushAll(); err != nil {
		return checkpoint{}, nil, err
	}
	s.directories.mu.RLock()
	defer s.directories.mu.RUnlock()
	s.directories.checkCache(found)
	err := s.db.View(func(tx *bbolt.Tx) error {
		if err := s.secrets.check(&tables{tx: tx}, found); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // beside the store.
		if err != nil {
			return err
		}
		_, err = tx.WriteTo(f)
		return errors.Join(err, f.Close())
	})
	return s.mark, s.directories.rows(), err
}

// checkCache compiles every cached principal again.
func (ds *directories) checkCache(found *CheckError) {
	ds.cache.mu.Lock()
	defer ds.cache.mu.Unlock()
	for org, agents := range ds.cache.byOrg {
		for agent, cached := range agents {
			if now, ok := ds.byOrg[org].Compile(agent, ""); !ok || !reflect.DeepEqual(now, cached) {
				found.add("memory: the compiled rights of %s are outdated", agent)
			}
		}
	}
}

// structure has bbolt check pages and order of keys.
func structure(path string, found *CheckError) error {
	err := guarded(func() error {
		db, err := bbolt.Open(path, 0o600, options(true))
		if err != nil {
			return damage(err)
		}
		defer db.Close() //nolint:errcheck // only read.
		return db.View(func(tx *bbolt.Tx) error {
			for err := range tx.Check() {
				found.add("file: %v", err)
			}
			return nil
		})
	})
	if errors.Is(err, errDamaged) {
		found.add("file: damaged")
		return nil
	}
	return err
}

// refold folds the log into an empty store, up to a checkpoint.
func (s *Store) refold(ctx context.Context, log Source, mark checkpoint, found *CheckError) error {
	if mark.position == 0 {
		return nil
	}
	s.confirmed(checkpoint{}, mark.created)
	status, err := log.Status(ctx)
	if err != nil {
		return err
	}
	if !mark.confirms(status) {
		found.add("checkpoint: the log was made anew or ends before position %d", mark.position)
	}
	upTo := func(yield func(domain.Recorded, error) bool) {
		for r, err := range log.Read(ctx, 0) {
			if err == nil && r.Position > mark.position || !yield(r, err) || r.Position == mark.position {
				return
			}
		}
	}
	return s.readAll(ctx, upTo)
}

// compareFile compares the copied file with the fresh fold, and the fresh fold
// with memory.
func compareFile(ctx context.Context, path string, fresh *Store, memory map[table]map[string][]byte, found *CheckError) error {
	return guarded(func() error {
		db, err := bbolt.Open(path, 0o600, options(true))
		if err != nil {
			return damage(err)
		}
		defer db.Close() //nolint:errcheck // only read.
		return db.View(func(stored *bbolt.Tx) error {
			return fresh.db.View(func(folded *bbolt.Tx) error {
				return compare(ctx, stored, folded, memory, found)
			})
		})
	})
}

func compare(ctx context.Context, stored, fresh *bbolt.Tx, memory map[table]map[string][]byte, found *CheckError) error {
	known := []string{tableHost.String()}
	for _, t := range folded() {
		known = append(known, t.String())
		want := fresh.Bucket([]byte(t.String()))
		have := stored.Bucket([]byte(t.String()))
		if have == nil {
			found.add("bucket %s is missing", t)
			continue
		}
		if err := compareBucket(ctx, t.String(), have.Cursor(), want.Cursor(), found); err != nil {
			return err
		}
		if rows, ok := memory[t]; ok {
			compareMemory(t, rows, want, found)
		}
	}
	return stored.ForEach(func(name []byte, _ *bbolt.Bucket) error {
		if !slices.Contains(known, string(name)) {
			found.add("bucket %q is unknown", name)
		}
		return nil
	})
}

func compareBucket(ctx context.Context, name string, have, want *bbolt.Cursor, found *CheckError) error {
	hk, hv := have.First()
	wk, wv := want.First()
	for n := 1; hk != nil || wk != nil; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		order := bytes.Compare(hk, wk)
		switch {
		case wk == nil || hk != nil && order < 0:
			found.add("bucket %s: key %q is too much", name, hk)
			hk, hv = have.Next()
		case hk == nil || order > 0:
			found.add("bucket %s: key %q is missing", name, wk)
			wk, wv = want.Next()
		default:
			if !bytes.Equal(hv, wv) {
				found.add("bucket %s: key %q is altered", name, hk)
			}
			hk, hv = have.Next()
			wk, wv = want.Next()
		}
	}
	return nil
}

func compareMemory(t table, have map[string][]byte, want *bbolt.Bucket, found *CheckError) {
	seen := 0
	c := want.Cursor()
	for k, row := c.First(); k != nil; k, row = c.Next() {
		switch held, ok := have[string(k)]; {
		case !ok:
			found.add("memory of %s: key %q is missing", t, k)
		case !bytes.Equal(held, row):
			found.add("memory of %s: key %q is altered", t, k)
			seen++
		default:
			seen++
		}
	}
	if seen < len(have) {
		found.add("memory of %s: %d keys are too much", t, len(have)-seen)
	}
}
