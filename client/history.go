package client

import (
	"context"
	"iter"
)

// HistoryQuery says from which end to read a history.
type HistoryQuery struct {
	Ascending bool // oldest first; else newest first
	// PageSize is how many entries are asked for at once, 1 to 1,000; 0
	// leaves it to the server. It never bounds the list.
	PageSize int
}

// History gives the recorded changes of a secret; they outlive it.
func (c *Client) History(ctx context.Context, ref SecretRef, q HistoryQuery, opts ...Option) iter.Seq2[HistoryEntry, error] {
	path, err := ref.path()
	if err != nil {
		return failed[HistoryEntry](err)
	}
	order := ""
	if q.Ascending {
		order = "asc"
	}
	return pages[HistoryEntry](ctx, c, path+"/history", set(pageSize(q.PageSize), "order", order), opts)
}

// ListHistory gives all entries of [Client.History].
func (c *Client) ListHistory(ctx context.Context, ref SecretRef, q HistoryQuery, opts ...Option) ([]HistoryEntry, error) {
	return collect(c.History(ctx, ref, q, opts...))
}
