package accesslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/projections/internal/cachefile"
)

// maxFindings bounds what a [CheckError] lists.
const maxFindings = 50

// CheckError lists where a store differs from its log.
type CheckError struct {
	// Findings are lines for people. At most 50.
	Findings []string
	// More counts those beyond the list.
	More int
}

// Error implements error.
func (e *CheckError) Error() string {
	text := "accesslog: the index differs from the log: " + strings.Join(e.Findings, "; ")
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

func (e *CheckError) orNil() error {
	if len(e.Findings) == 0 {
		return nil
	}
	return e
}

// Check compares what the store has with the log, up to the position that it
// has applied: every message, every row of every run made again from them,
// the tree, and what is kept in memory. Differences are a [*CheckError]; any
// other error means that it could not be found out. Of what the log has let go
// the messages that the file still has are compared with the tree alone.
//
// It needs the memory of one run and no room on disk. The store may go on
// applying, but the file grows by what is written meanwhile.
func Check(ctx context.Context, s *Store, log Source) error {
	found := &CheckError{}
	if err := s.checkMemory(found); err != nil {
		return err
	}
	s.file.RLock()
	defer s.file.RUnlock()
	err := s.look(func(v *view) error { return check(ctx, s.c, v.tx, log, found) })
	if errors.Is(err, cachefile.ErrDamaged) || errors.Is(err, errRow) {
		found.add("file: %v", err)
		err = nil
	}
	if err != nil {
		return err
	}
	return found.orNil()
}

// CheckFile is [Check] for a file that no store has open, and gives the
// position up to which it was compared. The file stays as it is, byte for
// byte; one that [Open] would discard is a finding. fs.ErrNotExist: there is
// no file.
func CheckFile(ctx context.Context, c Config, log Source) (position uint64, err error) {
	c, err = c.complete()
	if err != nil {
		return 0, err
	}
	if info, err := os.Stat(c.Path); err != nil || info.Size() == 0 {
		return 0, err // of no byte, none can be wrong
	}
	found := &CheckError{}
	if err := cachefile.SoundPages(c.Path); errors.Is(err, cachefile.ErrDamaged) {
		found.add("file: not usable: %s", cachefile.ReasonDamaged)
		return 0, found
	} else if err != nil {
		return 0, err
	}
	reason, err := c.format().Look(c.Path, c.BootID, func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			found.add("file: %v", err)
		}
		if len(found.Findings) > 0 { // rows of a broken file say nothing
			return nil
		}
		m, err := readMark(tx)
		if err == nil {
			position = m.position
			_, err = c.remember(tx)
		}
		if err == nil {
			err = check(ctx, c, tx, log, found)
		}
		if errors.Is(err, errRow) {
			found.add("file: %v", err)
			err = nil
		}
		return err
	})
	if reason != "" {
		found.add("file: not usable: %s", reason)
	}
	if err != nil {
		return 0, err
	}
	return position, found.orNil()
}

// checkMemory makes the state again and compares.
func (s *Store) checkMemory(found *CheckError) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.file.RLock()
	defer s.file.RUnlock()
	return s.look(func(v *view) error {
		fresh, err := s.c.remember(v.tx)
		if errors.Is(err, errRow) {
			found.add("file: %v", err)
			return nil
		}
		if err != nil {
			return err
		}
		// What an empty file is told of its log is written with its first batch.
		if fresh.mark.created.IsZero() {
			fresh.mark.created = v.mark.created
		}
		if fresh.mark != v.mark || !slices.Equal(fresh.runs, v.runs) {
			found.add("memory: checkpoint or runs are not those of the file")
		}
		have, want := v.tail.rows(v.mark.first), fresh.tail.rows(v.mark.first)
		return compareRows("memory", have, want, found)
	})
}

// rows gives the tail's rows, without what is before a position.
func (t *tail) rows(first uint64) map[listKey][]byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	rows := map[listKey][]byte{}
	for key, l := range t.lists {
		var flat chunk
		for _, c := range append(slices.Clip(l.full), l.open) {
			entries, err := parseChunk(c.row, nil)
			if err != nil {
				continue
			}
			flat.keep(entries, first)
		}
		if flat.n > 0 {
			rows[key] = flat.row
		}
	}
	for key, reads := range t.reads {
		if row := keepReads(reads, first); len(row) > 0 {
			rows[key] = row
		}
	}
	return rows
}

// keep adds the entries from a position on.
func (c *chunk) keep(entries []entry, first uint64) {
	for _, e := range entries {
		if e.place.Position >= first {
			c.add(e)
		}
	}
}

func keepReads(reads []fieldRead, first uint64) []byte {
	return appendReads(nil, slices.DeleteFunc(slices.Clone(reads), func(r fieldRead) bool { return r.place.Position < first }))
}

// storedRows gives a run's rows in the same form.
func storedRows(b *bbolt.Bucket, first uint64, found *CheckError) map[listKey][]byte {
	rows, flat := map[listKey][]byte{}, map[listKey]*chunk{}
	c := b.Cursor()
	for k, row := c.First(); k != nil; k, row = c.Next() {
		switch {
		case len(k) == len(listKey{}) && kind(k[0]) == kindLastRead:
			reads, err := parseReads(row)
			if err != nil {
				found.add("row %x: %v", k, err)
			} else if row := keepReads(reads, first); len(row) > 0 {
				rows[listKey(k)] = row
			}
		case len(k) == len(listKey{})+placeLen && kind(k[0]) != kindLastRead:
			entries, err := parseRow(row, nil)
			if err != nil || entries[len(entries)-1].place != parsePlace(k[len(listKey{}):]) {
				found.add("row %x: it does not end where its key says", k)
				continue
			}
			key := listKey(k)
			if flat[key] == nil {
				flat[key] = &chunk{}
			}
			flat[key].keep(entries, first)
		default:
			found.add("row %x is unknown", k)
		}
	}
	for key, c := range flat {
		if c.n > 0 {
			rows[key] = c.row
		}
	}
	return rows
}

func compareRows(where string, have, want map[listKey][]byte, found *CheckError) error {
	for key, row := range want {
		switch stored, ok := have[key]; {
		case !ok:
			found.add("%s: list %x is missing", where, key)
		case !bytes.Equal(stored, row):
			found.add("%s: list %x is altered", where, key)
		}
	}
	for key := range have {
		if _, ok := want[key]; !ok {
			found.add("%s: list %x is too much", where, key)
		}
	}
	return nil
}

// check compares a file, as a transaction sees it, with the log.
func check(ctx context.Context, c Config, tx *bbolt.Tx, log Source, found *CheckError) error {
	m, err := readMark(tx)
	if err != nil {
		return err
	}
	status, err := log.Status(ctx)
	if err != nil {
		return err
	}
	if !m.created.IsZero() && !m.created.Equal(status.Created) || status.Head < m.position {
		found.add("checkpoint: the log was made anew or ends before position %d", m.position)
	}
	k := checker{c: c, tx: tx, mark: m, found: found, logFirst: status.First}
	if err := k.readRuns(); err != nil {
		return err
	}
	if err := k.messages(ctx, log); err != nil {
		return err
	}
	return checkTree(ctx, tx, m, found)
}
