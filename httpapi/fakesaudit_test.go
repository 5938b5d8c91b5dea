package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// journal stands in for the projection of the access log: everything that the
// recorder was given, two records a message.
type journal struct{ *recorder }

func (j journal) Access(_ context.Context, q domain.AccessQuery) (domain.AccessPage, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var page domain.AccessPage
	looked := 0
	for i := range j.all {
		if !q.Ascending {
			i = len(j.all) - 1 - i
		}
		e := domain.AccessEntry{Access: j.all[i], Place: domain.AccessPlace{Position: uint64(i/2 + 1), Index: uint16(i % 2)}}
		behind := e.Place.Position > q.After.Position || e.Place.Position == q.After.Position && e.Place.Index > q.After.Index
		if q.After != (domain.AccessPlace{}) && (e.Place == q.After || behind != q.Ascending) {
			continue
		}
		if len(page.Entries) == q.Limit || j.examine > 0 && looked == j.examine {
			page.More = true
			return page, nil
		}
		looked++
		page.Next = e.Place
		if matches(q, e.Access) {
			page.Entries = append(page.Entries, e)
		}
	}
	return page, nil
}

func matches(q domain.AccessQuery, a domain.Access) bool {
	switch {
	case a.Target != q.Target && (a.Target != "" || !q.Unowned),
		q.Actor != "" && a.Actor.ID != q.Actor, q.Scope != (domain.Scope{}) && a.Scope != q.Scope, q.Secret != "" && a.Secret != q.Secret,
		q.Action != "" && a.Action != q.Action, q.Outcome != "" && a.Outcome != q.Outcome,
		!q.From.IsZero() && a.Time.Before(q.From), !q.To.IsZero() && !a.Time.Before(q.To):
		return false
	}
	return true
}

// provable is a log whose newest checkpoint covers the first `signed` leaves.
type provable struct{ signed uint64 }

func (p *provable) EventProof(_ context.Context, _ domain.Stream, position uint64) ([]byte, uint64, string, error) {
	proof := ""
	if position <= p.signed {
		proof = fmt.Sprintf("c2sp.org/tlog-proof@v1\nindex %d\n", position-1)
	}
	return fmt.Appendf(nil, `{"leaf":%d}`, position), position - 1, proof, nil
}

func (p *provable) Checkpoint(_ context.Context, log string) ([]byte, error) {
	return fmt.Appendf(nil, "chancery/org/%s\n%d\n", log, p.signed), nil
}

func (p *provable) covered(first, width uint64) error {
	if first*256+width > p.signed {
		return domain.Errorf(domain.CodeNotFound, "the newest checkpoint does not cover the tile")
	}
	return nil
}

func (p *provable) Tile(_ context.Context, log string, level int, index uint64, width int) ([]byte, error) {
	return fmt.Appendf(nil, "%s %d %d %d", log, level, index, width), p.covered(index, uint64(width))
}

func (p *provable) Entries(_ context.Context, log string, index uint64, width int) ([]byte, error) {
	return fmt.Appendf(nil, "%s entries %d %d", log, index, width), p.covered(index, uint64(width))
}

func (p *provable) Keys(context.Context) ([]wire.LogKey, error) {
	return []wire.LogKey{{Log: "events", Origin: "chancery/org/events", Name: "chancery/org/events", VKey: "chancery/org/events+1+AA"}}, nil
}

// reports makes one report, of so many rows, that can break off.
type reports struct {
	mu      sync.Mutex
	asked   domain.ReportQuery
	rows    int
	failure error
	// written happens before each row.
	written func()
}

func (r *reports) Names() []wire.ReportName {
	return []wire.ReportName{{Name: "changes", Title: "Changes"}}
}

func (r *reports) Open(_ context.Context, q domain.ReportQuery) (string, string, func(context.Context, io.Writer) error, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = q
	if q.Name != "changes" {
		return "", "", nil, domain.Errorf(domain.CodeNotFound, "there is no such report")
	}
	rows, failure, written := r.rows, r.failure, r.written
	return "text/csv; charset=utf-8", "changes.csv", func(_ context.Context, w io.Writer) error {
		for range rows {
			if written != nil {
				written()
			}
			if _, err := io.WriteString(w, strings.Repeat("x", 1000)+"\n"); err != nil {
				return err
			}
		}
		return failure
	}, nil
}

// becomes has reports be of so many rows, and fail behind them.
func (r *reports) becomes(rows int, failure error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows, r.failure = rows, failure
}

func at(t time.Time) string { return wire.NewTime(t).String() }
