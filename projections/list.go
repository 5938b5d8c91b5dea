package projections

import (
	"bytes"
	"context"

	"github.com/chancery-dev/chancery/domain"
)

// defaultExamine stands in for an Examine that is not positive.
const defaultExamine = 10_000

func examineOf(n int) int {
	if n <= 0 {
		return defaultExamine
	}
	return n
}

// ListSecrets gives one page of the living secrets of a scope in byte order of
// their ids, metadata only. Category and tags are looked up in their indexes,
// Text (case matters) in the index of names. A page looks at about Examine
// rows and always gets further. Limit and Examine are 1,000 and 10,000 if they
// are not positive.
//
// It shows each secret to show, which must neither keep nor change it, and
// gives the id behind which the next page begins: "" for none. That can stand
// beside fewer rows than asked for, even none.
func (s *Store) ListSecrets(ctx context.Context, q domain.SecretQuery, show func(*domain.Secret)) (next domain.SecretID, err error) {
	limit, examine := limitOf(q.Limit), examineOf(q.Examine)
	rows := newPageRows()
	defer rows.free()
	err = s.view(func(ts *tables) error {
		last, err := ts.listed(ctx, q, limit, examine, rows)
		if err != nil {
			return err
		}
		next = domain.SecretID(last)
		rows.copy()
		return nil
	})
	if err != nil {
		return "", err
	}
	memory, secret := &rowMemory{more: rowItems}, domain.Secret{}
	err = rows.decode(memory, func(id string, _ uint64, s *scanner) error {
		memory.reuse()
		secret = domain.Secret{}
		if _, err := scanSecret(&secret, domain.SecretRef{Org: q.Org, Scope: q.Scope, ID: domain.SecretID(id)}, s); err != nil {
			return err
		}
		show(&secret)
		return nil
	})
	return next, err
}

// candidates opens the indexes that the query names, or the smallest table
// that answers it.
func (ts *tables) candidates(q domain.SecretQuery, looked *int) []*idCursor {
	var cursors []*idCursor
	after := string(q.After)
	if q.Category != "" {
		cursors = append(cursors, ts.ids(tableCategories, indexPrefix(q.Org, q.Scope, q.Category), after, looked))
	}
	for _, tag := range q.Tags {
		cursors = append(cursors, ts.ids(tableTags, indexPrefix(q.Org, q.Scope, tag), after, looked))
	}
	switch {
	case len(cursors) > 0:
	case q.Text != "":
		cursors = append(cursors, ts.ids(tableNames, scopeKey(q.Org, q.Scope), after, looked))
	default: // every row is one of the page
		cursors = append(cursors, ts.ids(tableSecrets, scopeKey(q.Org, q.Scope), after, looked))
	}
	return cursors
}

// whole says whether the candidates' rows are the secrets' own.
func whole(q domain.SecretQuery) bool { return q.Category == "" && len(q.Tags) == 0 && q.Text == "" }

// listed finds the rows of a page, and the id behind which the next one begins.
func (ts *tables) listed(ctx context.Context, q domain.SecretQuery, limit, examine int, rows *pageRows) (next []byte, err error) {
	looked := 0
	walk := join{cursors: ts.candidates(q, &looked)}
	for {
		id, more := walk.find(examine)
		if !more {
			return nil, nil
		}
		if id != nil {
			row := walk.cursors[0].row
			if !whole(q) {
				row = ts.fitting(q, id)
			}
			if row != nil {
				rows.add(pageRow{id: id, row: row})
			}
			walk.cursors[0].next()
		}
		switch {
		case walk.cursors[0].id == nil:
			return nil, nil
		case len(rows.rows) == limit || looked >= examine:
			return walk.decided, nil
		case looked%256 == 0 && ctx.Err() != nil:
			return nil, ctx.Err()
		}
	}
}

// fitting gives the row of a candidate whose text fits, else nil.
func (ts *tables) fitting(q domain.SecretQuery, id []byte) []byte {
	key := append(scopeKey(q.Org, q.Scope), id...)
	if q.Text != "" && !bytes.Contains(id, []byte(q.Text)) && !bytes.Contains(ts.at(tableNames).Get(key), []byte(q.Text)) {
		return nil
	}
	return ts.at(tableSecrets).Get(key)
}
