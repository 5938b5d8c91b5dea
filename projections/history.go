package projections

import (
	"bytes"
	"encoding/binary"

	"github.com/chancery-dev/chancery/domain"
)

// defaultLimit stands in for a limit that is not positive.
const defaultLimit = 1000

func limitOf(n int) int {
	if n <= 0 {
		return defaultLimit
	}
	return n
}

// History shows one page of a secret's history, which outlives the secret, to
// show, which may keep a copy of the entry. It says whether another page
// follows, and returns show's error. Limit is 1,000 if it is not positive.
func (s *Store) History(q domain.HistoryQuery, show func(*domain.HistoryEntry) error) (more bool, err error) {
	limit := limitOf(q.Limit)
	rows := newPageRows()
	defer rows.free()
	err = s.view(func(ts *tables) error {
		prefix := below(secretKey(q.Ref))
		c := ts.at(tableHistory).Cursor()
		step := c.Prev
		if q.Ascending {
			step = c.Next
		}
		for k, row := startHistory(c, prefix, q); bytes.HasPrefix(k, prefix) && !more; k, row = step() {
			version := k[len(prefix):]
			switch {
			case len(version) != 8:
				return errRow
			case len(rows.rows) == limit:
				more = true
			default:
				rows.add(pageRow{row: row, version: binary.BigEndian.Uint64(version)})
			}
		}
		rows.copy()
		return nil
	})
	if err != nil {
		return false, err
	}
	stream, entry := domain.SecretStream{Ref: q.Ref}, domain.HistoryEntry{}
	err = rows.decode(&rowMemory{more: pageItems}, func(_ string, version uint64, s *scanner) error {
		entry = domain.HistoryEntry{}
		if err := scanHistory(&entry, stream, q.Ref, version, s); err != nil {
			return err
		}
		return show(&entry)
	})
	return more, err
}

// startHistory seeks the first row of a page.
func startHistory(c *cursor, prefix []byte, q domain.HistoryQuery) (key, row []byte) {
	if q.Ascending {
		if q.After == ^uint64(0) {
			return nil, nil
		}
		return c.Seek(binary.BigEndian.AppendUint64(bytes.Clone(prefix), q.After+1))
	}
	from := q.After
	if from == 0 {
		from = ^uint64(0)
	}
	if key, _ = c.Seek(binary.BigEndian.AppendUint64(bytes.Clone(prefix), from)); key == nil {
		return c.Last()
	}
	return c.Prev()
}

// Entry gives one entry of a secret's history; not_found if it has no such
// version.
func (s *Store) Entry(ref domain.SecretRef, version uint64) (e domain.HistoryEntry, err error) {
	err = s.view(func(ts *tables) error {
		row := ts.at(tableHistory).Get(versionKey(secretKey(ref), version))
		if row == nil {
			return domain.Errorf(domain.CodeNotFound, "the secret has no version %d", version)
		}
		e, err = decodeHistory(ref, version, row)
		return err
	})
	return e, err
}
