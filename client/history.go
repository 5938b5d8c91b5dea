package client

import (
	"context"
	"iter"
	"net/url"
)

// HistoryQuery says from which end to read a history.
type HistoryQuery struct {
	Ascending bool // oldest first; else newest first
	// Proof adds to each event its leaf and the proof that it is in the log.
	Proof bool
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
	return pages[HistoryEntry](ctx, c, path+"/history", q.values(), opts)
}

func (q HistoryQuery) values() url.Values {
	v := pageSize(q.PageSize)
	if q.Ascending {
		v.Set("order", "asc")
	}
	if q.Proof {
		v.Set("proof", "1")
	}
	return v
}

// AuditedHistory gives the recorded changes of a secret and the records of who
// touched it, merged by time; for auditors.
func (c *Client) AuditedHistory(ctx context.Context, ref SecretRef, q HistoryQuery, opts ...Option) iter.Seq2[HistoryRow, error] {
	path, err := ref.path()
	if err != nil {
		return failed[HistoryRow](err)
	}
	return pages[HistoryRow](ctx, c, path+"/history", set(q.values(), "include", "access"), opts)
}

// ListHistory gives all entries of [Client.History].
func (c *Client) ListHistory(ctx context.Context, ref SecretRef, q HistoryQuery, opts ...Option) ([]HistoryEntry, error) {
	return collect(c.History(ctx, ref, q, opts...))
}
