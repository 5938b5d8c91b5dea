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

// History gives one page of a secret's history, which outlives the secret.
// Limit is 1,000 if it is not positive.
func (s *Store) History(q domain.HistoryQuery) (page domain.HistoryPage, err error) {
	limit := limitOf(q.Limit)
	err = s.view(func(ts *tables) error {
		prefix := below(secretKey(q.Ref))
		c := ts.at(tableHistory).Cursor()
		step := c.Prev
		if q.Ascending {
			step = c.Next
		}
		var rows pageRows
		for k, row := startHistory(c, prefix, q); bytes.HasPrefix(k, prefix) && !page.More; k, row = step() {
			version := k[len(prefix):]
			switch {
			case len(version) != 8:
				return errRow
			case len(rows) == limit:
				page.More = true
			default:
				rows = append(rows, pageRow{row: row, version: binary.BigEndian.Uint64(version)})
			}
		}
		page.Entries = make([]domain.HistoryEntry, 0, len(rows))
		stream := domain.SecretStream{Ref: q.Ref}
		return rows.decode(func(_ string, version uint64, s *scanner) error {
			page.Entries = append(page.Entries, domain.HistoryEntry{})
			return scanHistory(&page.Entries[len(page.Entries)-1], stream, q.Ref, version, s)
		})
	})
	if err != nil {
		return domain.HistoryPage{}, err
	}
	return page, nil
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
