package accesslog

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/domain"
)

const (
	defaultLimit   = 1000
	defaultExamine = 10_000
)

// Query gives one page of the records that a question asks for, in the order
// of the log, as far as it is applied. The question's time is that of the
// record, of a summary its begin. Limit and Examine are 1,000 and 10,000 if
// they are not positive. What counts for Examine is a record that was decoded,
// a place that one index has and another has not, and a chunk of up to 256
// places; a page always gets further. A Secret without a Scope is an error.
func (s *Store) Query(q domain.AccessQuery) (domain.AccessPage, error) {
	if q.Secret != "" && q.Scope == (domain.Scope{}) {
		return domain.AccessPage{}, errors.New("accesslog: a secret is asked for without its scope")
	}
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	if q.Examine <= 0 {
		q.Examine = defaultExamine
	}
	var page domain.AccessPage
	err := s.view(func(v *view) error {
		b, some := v.bounds(q)
		if !some {
			return nil
		}
		a := answer{c: s.c, q: q, bounds: b, tx: v.tx, start: b.begin()}
		for _, segment := range v.segments(b, q.Ascending) {
			if done, err := a.collect(segment); done || err != nil {
				page = a.page
				return err
			}
		}
		page = a.page
		return nil
	})
	if err != nil {
		return domain.AccessPage{}, err
	}
	return page, nil
}

// bounds gives what the question may yield of what is there, if anything.
func (v *view) bounds(q domain.AccessQuery) (*bounds, bool) {
	b := &bounds{
		low:  place{Position: v.first},
		high: place{Position: v.mark.position, Index: math.MaxUint16},
		from: math.MinInt64, to: math.MaxInt64, ascending: q.Ascending,
	}
	// Records have times in whole milliseconds: a bound between two is the
	// later of them.
	if !q.From.IsZero() {
		b.from = ceiling(q.From)
	}
	if !q.To.IsZero() {
		b.to = ceiling(q.To)
	}
	if q.After != (place{}) {
		if q.Ascending {
			if !before(q.After, b.low) {
				b.low = following(q.After)
			}
		} else if !before(b.high, q.After) {
			b.high = preceding(q.After)
		}
	}
	return b, !before(b.high, b.low) && b.from < b.to
}

func ceiling(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}

// bounded is a segment and the positions that it has.
type bounded struct {
	segment
	first, last uint64
}

// segments gives those that may have what a question asks for, in its order.
func (v *view) segments(b *bounds, ascending bool) []bounded {
	list := make([]bounded, 0, len(v.runs)+1)
	for _, h := range v.runs {
		if h.last >= b.low.Position && h.first <= b.high.Position && h.records > 0 && h.max >= b.from && h.min < b.to {
			list = append(list, bounded{openRun(v.tx, h), h.first, h.last})
		}
	}
	if earliest, latest, some := v.tail.times(); some && latest >= b.from && earliest < b.to && v.tail.after < b.high.Position {
		list = append(list, bounded{v.tail, v.tail.after + 1, math.MaxUint64})
	}
	if !ascending {
		slices.Reverse(list)
	}
	return list
}

// answer gathers a page.
type answer struct {
	c     Config
	q     domain.AccessQuery
	tx    *bbolt.Tx
	spent int
	start place // of the page
	page  domain.AccessPage
	*bounds
}

// collect adds what a segment has. It says when the page is done.
func (a *answer) collect(s bounded) (done bool, err error) {
	b := *a.bounds
	if low := (place{Position: s.first}); before(b.low, low) {
		b.low = low
	}
	if high := (place{Position: s.last, Index: math.MaxUint16}); before(high, b.high) {
		b.high = high
	}
	walk := a.walk(&b, s)
	at := b.begin()
	for {
		if a.spent >= a.q.Examine && at != a.start {
			a.page.More, a.page.Next = true, a.behind(at)
			return true, nil
		}
		p, found, err := walk.seek(at)
		if err != nil {
			return true, err
		}
		a.spent++
		at = p
		switch found {
		case foundEnd:
			return false, nil
		case foundNothing:
		case foundEntry:
			if len(a.page.Entries) == a.q.Limit {
				a.page.More, a.page.Next = true, a.page.Entries[a.q.Limit-1].Place
				return true, nil
			}
			if err := a.add(p); err != nil {
				return true, err
			}
			if at, found = b.step(p); found == foundEnd {
				return false, nil
			}
		}
	}
}

// begin is where a walk begins.
func (b *bounds) begin() place {
	if b.ascending {
		return b.low
	}
	return b.high
}

// step is next, in the words of a walk.
func (b *bounds) step(p place) (place, finding) {
	next, within := b.next(p)
	if !within {
		return p, foundEnd
	}
	return next, foundNothing
}

// behind gives the After of a page that goes on with a place.
func (a *answer) behind(at place) place {
	if a.ascending {
		return preceding(at)
	}
	return following(at)
}

// add decodes a record. Lists are named by hashes, so it is asked itself.
func (a *answer) add(p place) error {
	record, err := a.c.record(a.tx, p)
	if err != nil {
		return err
	}
	if wanted(a.q, &record) {
		a.page.Entries = append(a.page.Entries, domain.AccessEntry{Access: record, Place: p})
	}
	return nil
}

// record decodes the record in a place.
func (c Config) record(tx *bbolt.Tx, p place) (domain.Access, error) {
	raw := tx.Bucket([]byte(tableMessages)).Get(positionKey(p.Position))
	if raw == nil {
		return domain.Access{}, fmt.Errorf("%w: no message at position %d", errRow, p.Position)
	}
	record, err := c.DecodeAt(raw, int(p.Index))
	if err != nil {
		return domain.Access{}, fmt.Errorf("%w: record %d of the message at position %d: %w", errRow, p.Index, p.Position, err)
	}
	return record, nil
}

// wanted says whether a question asks for a record, times aside.
func wanted(q domain.AccessQuery, a *domain.Access) bool {
	return (a.Target == q.Target || q.Unowned && a.Target == "") &&
		(q.Actor == "" || a.Actor.ID == q.Actor) &&
		(q.Scope == domain.Scope{} || a.Scope == q.Scope) &&
		(q.Secret == "" || a.Secret == q.Secret) &&
		(q.Action == "" || a.Action == q.Action) &&
		(q.Outcome == "" || a.Outcome == q.Outcome)
}

// walk gives the places that all lists of the question have in a segment, the
// rarest first.
func (a *answer) walk(b *bounds, s bounded) walk {
	targets := []string{string(a.q.Target)}
	if a.q.Unowned && a.q.Target != "" {
		targets = append(targets, "")
	}
	var all allOf
	one := func(k kind, parts ...string) {
		union := anyOf{bounds: b}
		for _, target := range targets {
			key := keyOf(k, append([]string{target}, parts...)...)
			union.parts = append(union.parts, &listWalk{bounds: b, segment: s.segment, key: key})
		}
		all.parts = append(all.parts, &union)
	}
	switch {
	case a.q.Secret != "":
		one(kindSecret, string(a.q.Scope.Kind), a.q.Scope.ID, string(a.q.Secret))
	case a.q.Scope != domain.Scope{}:
		one(kindScope, string(a.q.Scope.Kind), a.q.Scope.ID)
	}
	if a.q.Actor != "" {
		one(kindActor, a.q.Actor)
	}
	if a.q.Outcome != "" {
		one(kindOutcome, string(a.q.Outcome))
	}
	if a.q.Action != "" {
		one(kindAction, a.q.Action)
	}
	if len(all.parts) == 0 {
		one(kindTarget)
	}
	return &all
}
