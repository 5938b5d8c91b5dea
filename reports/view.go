package reports

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// view is the logs up to the positions that count, for one run of a report.
type view struct {
	query  domain.ReportQuery
	source Source
	want   report
	names  map[domain.Scope]string
	ranges Manifest

	read, total uint64
	progress    func(read, total uint64)
}

// progressEvery is how many log records lie between two words of progress.
const progressEvery = 1000

func newView(p *Prepared) *view {
	v := &view{query: p.Query, source: p.source, want: p.report, ranges: p.manifest, progress: p.progress}
	if p.report.names {
		v.total += p.Query.Events
	}
	if p.report.events {
		v.total += p.Query.Events
	}
	if a := p.manifest.Access; a != nil && a.To > 0 {
		v.total += a.To - a.From + 1
	}
	return v
}

func (v *view) step() {
	if v.read++; v.progress != nil && (v.read%progressEvery == 0 || v.read == v.total) {
		v.progress(v.read, v.total)
	}
}

// messages gives every message of the event log that counts, proven foreign
// ones too, with its folded time. It checks nothing but that the log does not
// end too early.
func (v *view) messages(ctx context.Context) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		var at time.Time
		last := uint64(0)
		if v.query.Events == 0 {
			return
		}
		for r, err := range v.source.Events.Read(ctx, 0) {
			if err != nil {
				yield(domain.Recorded{}, err)
				return
			}
			if r.Position > v.query.Events {
				break
			}
			if r.Event != nil && r.Time.After(at) {
				at = r.Time.UTC()
			}
			r.At, last = at, r.Position
			v.step()
			if !yield(r, nil) {
				return
			}
			if last == v.query.Events {
				return
			}
		}
		if last < v.query.Events {
			yield(domain.Recorded{}, fmt.Errorf("the event log ends at position %d, before %d", last, v.query.Events))
		}
	}
}

// events gives every event that counts, of all organizations, and refuses a
// log with a gap.
func (v *view) events(ctx context.Context) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		last := uint64(0)
		for r, err := range v.messages(ctx) {
			if err == nil && r.Position != last+1 {
				err = fmt.Errorf("the event log has a gap behind position %d", last)
			}
			if last = r.Position; err == nil && r.Event == nil {
				continue
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// eventsAt gives the events that are not later than the moment of the query.
func (v *view) eventsAt(ctx context.Context) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		for r, err := range v.events(ctx) {
			if err == nil && !v.query.At.IsZero() && r.At.After(v.query.At) {
				return
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// moment gives what ages are counted to: the query's moment, else the time of
// the last event.
func (v *view) moment(last time.Time) time.Time {
	if v.query.At.IsZero() {
		return last
	}
	return v.query.At.UTC()
}

// accessMessages gives the messages of the access log that count.
func (v *view) accessMessages(ctx context.Context) iter.Seq2[domain.AccessMessage, error] {
	return func(yield func(domain.AccessMessage, error) bool) {
		part := v.ranges.Access
		if part == nil || part.From == 0 {
			return
		}
		last := part.From - 1
		for m, err := range v.source.Access.Read(ctx, last) {
			if err != nil {
				yield(domain.AccessMessage{}, err)
				return
			}
			if m.Position > part.To {
				break
			}
			last = m.Position
			v.step()
			if !yield(m, nil) || last == part.To {
				return
			}
		}
		yield(domain.AccessMessage{}, fmt.Errorf("the access log ends at position %d, before %d", last, part.To))
	}
}

// accesses gives the access records about the organization of the query and
// within its times.
func (v *view) accesses(ctx context.Context) iter.Seq2[domain.AccessEntry, error] {
	return func(yield func(domain.AccessEntry, error) bool) {
		for a, err := range v.allAccesses(ctx) {
			if err == nil && (!v.about(a.Target) || !v.within(a.Time)) {
				continue
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

// allAccesses gives every access record that counts, of all organizations and
// times. It refuses a log with a gap, or one that retention shortened since the
// positions were settled.
func (v *view) allAccesses(ctx context.Context) iter.Seq2[domain.AccessEntry, error] {
	return func(yield func(domain.AccessEntry, error) bool) {
		next := uint64(0)
		for m, err := range v.accessMessages(ctx) {
			if next == 0 && v.ranges.Access != nil {
				next = v.ranges.Access.From
			}
			if err == nil && m.Position != next {
				err = fmt.Errorf("the access log has a gap before position %d", m.Position)
			}
			if err != nil {
				yield(domain.AccessEntry{}, err)
				return
			}
			next = m.Position + 1
			for i, a := range m.Records {
				place := domain.AccessPlace{Position: m.Position, Index: uint16(i)}
				if !yield(domain.AccessEntry{Access: a, Place: place}, nil) {
					return
				}
			}
		}
	}
}

// about says whether the query is about an organization.
func (v *view) about(org domain.OrgID) bool { return v.query.Org == "" || v.query.Org == org }

// within says whether a time lies within those of the query.
func (v *view) within(t time.Time) bool {
	return (v.query.From.IsZero() || !t.Before(v.query.From)) && (v.query.To.IsZero() || t.Before(v.query.To))
}

// loadNames folds what agents and scopes are called at the last position.
func (v *view) loadNames(ctx context.Context) error {
	if !v.want.names {
		return nil
	}
	v.names = map[domain.Scope]string{}
	for r, err := range v.events(ctx) {
		if err != nil {
			return err
		}
		switch e := r.Event.(type) { //nolint:gochecksumtype // nothing else names a scope.
		case domain.ScopeCreated:
			v.names[e.Scope] = e.Name
		case domain.ScopeRenamed:
			v.names[e.Scope] = e.Name.To
		}
	}
	return nil
}

func (v *view) agentName(id string) Value {
	return Text(v.names[domain.Scope{Kind: domain.ScopeAgent, ID: id}])
}

// accessCount is how many accesses a record stands for.
func accessCount(a domain.Access) uint64 { return max(1, a.Count) }

// accessEnd is the time of the last access that a record stands for.
func accessEnd(a domain.Access) time.Time {
	if a.Until.After(a.Time) {
		return a.Until
	}
	return a.Time
}

// factOf gives an event to formats: metadata and record, never a value.
func factOf(r domain.Recorded) *Event { return &Event{HistoryEntry: domain.Metadata(r), Raw: r.Raw} }

// failed is an iterator that gives an error alone.
func failed(yield func(Row, error) bool, err error) { yield(Row{}, err) }
