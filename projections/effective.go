package projections

import (
	"bytes"
	"container/heap"
	"context"

	"github.com/chancery-dev/chancery/domain"
)

// Effective gives one page of what resolves from several scopes: every
// secretId that lives in any of them, in byte order, with the state of the
// first scope that has it (metadata only) and all that have it. A page looks
// at about Examine rows beyond the first of each scope, never cuts an id
// short, and always gets further. Limit and Examine are 1,000 and 10,000 if
// they are not positive.
func (s *Store) Effective(ctx context.Context, q domain.EffectiveQuery) (page domain.EffectivePage, err error) {
	limit, examine := limitOf(q.Limit), examineOf(q.Examine)
	err = s.view(func(ts *tables) error {
		looked := 0
		m := ts.merge(q, &looked)
		looked = 0
		for len(m) > 0 {
			if looked%256 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			row, err := ts.resolve(q, &m)
			if err != nil {
				return err
			}
			page.Secrets = append(page.Secrets, row)
			if len(m) > 0 && (len(page.Secrets) == limit || looked >= examine) {
				page.Next = row.Secret.Ref.ID
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return domain.EffectivePage{}, err
	}
	return page, nil
}

// merge opens every scope of the query.
func (ts *tables) merge(q domain.EffectiveQuery, looked *int) merge {
	m := make(merge, 0, len(q.Scopes))
	for i, scope := range q.Scopes {
		c := ts.ids(tableSecrets, scopeKey(q.Org, scope), string(q.After), looked)
		if c.id != nil {
			m = append(m, scopeCursor{idCursor: c, place: i})
		}
	}
	heap.Init(&m)
	return m
}

// resolve takes the first id off all cursors that have it.
func (ts *tables) resolve(q domain.EffectiveQuery, m *merge) (domain.EffectiveSecret, error) {
	first := (*m)[0]
	id := first.id
	ref := domain.SecretRef{Org: q.Org, Scope: q.Scopes[first.place], ID: domain.SecretID(id)}
	row, err := decodeSecret(ref, first.row)
	if err != nil {
		return domain.EffectiveSecret{}, err
	}
	found := domain.EffectiveSecret{Secret: row.Secret}
	for len(*m) > 0 && bytes.Equal((*m)[0].id, id) {
		c := (*m)[0]
		found.Scopes = append(found.Scopes, q.Scopes[c.place])
		if c.next(); c.id == nil {
			heap.Pop(m)
		} else {
			heap.Fix(m, 0)
		}
	}
	return found, nil
}

// scopeCursor is one scope of the query.
type scopeCursor struct {
	*idCursor
	place int // in the query
}

// merge is a heap of scopes by their next id, then by their place.
type merge []scopeCursor

// Len implements [heap.Interface].
func (m merge) Len() int { return len(m) }

// Less implements [heap.Interface].
func (m merge) Less(i, j int) bool {
	if order := bytes.Compare(m[i].id, m[j].id); order != 0 {
		return order < 0
	}
	return m[i].place < m[j].place
}

// Swap implements [heap.Interface].
func (m merge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }

// Push implements [heap.Interface].
func (m *merge) Push(x any) { *m = append(*m, x.(scopeCursor)) } //nolint:errcheck,forcetypeassert // nothing else is pushed.

// Pop implements [heap.Interface].
func (m *merge) Pop() any {
	last := len(*m) - 1
	c := (*m)[last]
	*m = (*m)[:last]
	return c
}
