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
func (s *Store) ListSecrets(ctx context.Context, q domain.SecretQuery) (page domain.SecretPage, err error) {
	limit, examine := limitOf(q.Limit), examineOf(q.Examine)
	err = s.view(func(ts *tables) error {
		looked := 0
		walk := join{cursors: ts.candidates(q, &looked)}
		for {
			id, more := walk.find(examine)
			if !more {
				return nil
			}
			if id != nil {
				if err := ts.listed(q, id, walk.cursors[0].row, &page); err != nil {
					return err
				}
				walk.cursors[0].next()
			}
			if walk.cursors[0].id == nil {
				return nil
			}
			if len(page.Secrets) == limit || looked >= examine {
				page.Next = domain.SecretID(walk.decided)
				return nil
			}
			if looked%256 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
	})
	if err != nil {
		return domain.SecretPage{}, err
	}
	return page, nil
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

// listed adds a candidate to the page if its text fits.
func (ts *tables) listed(q domain.SecretQuery, id, row []byte, page *domain.SecretPage) error {
	ref := domain.SecretRef{Org: q.Org, Scope: q.Scope, ID: domain.SecretID(id)}
	if whole(q) {
		s, err := decodeSecret(ref, row)
		page.Secrets = append(page.Secrets, s.Secret)
		return err
	}
	if q.Text != "" && !bytes.Contains(id, []byte(q.Text)) {
		name := ts.at(tableNames).Get(append(scopeKey(q.Org, q.Scope), id...))
		if !bytes.Contains(name, []byte(q.Text)) {
			return nil
		}
	}
	s, err := ts.state(ref)
	page.Secrets = append(page.Secrets, s.Secret)
	return err
}
