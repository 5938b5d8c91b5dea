package reports

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// deed is what rows that sum up records agree in. Members that a report does
// not sort by stay zero.
type deed struct {
	org     domain.OrgID
	actor   domain.Actor // without its key
	log     string
	action  string
	outcome domain.Outcome
	scope   domain.Scope
	secret  domain.SecretID
}

func (d deed) compare(e deed) int {
	return cmp.Or(
		cmp.Compare(d.org, e.org), cmp.Compare(d.scope.Kind, e.scope.Kind), cmp.Compare(d.scope.ID, e.scope.ID),
		cmp.Compare(d.secret, e.secret), cmp.Compare(d.actor.Kind, e.actor.Kind), cmp.Compare(d.actor.ID, e.actor.ID),
		cmp.Compare(d.log, e.log), cmp.Compare(d.action, e.action), cmp.Compare(d.outcome, e.outcome),
	)
}

// tally sums up one deed.
type tally struct {
	count       uint64
	first, last time.Time
	event       *Event
	access      *domain.AccessEntry
}

type tallies map[deed]*tally

func (ts tallies) add(d deed, count uint64, first, last time.Time) *tally {
	t := ts[d]
	if t == nil {
		t = &tally{first: first, last: last}
		ts[d] = t
	}
	t.count += count
	if first.Before(t.first) {
		t.first = first
	}
	if last.After(t.last) {
		t.last = last
	}
	return t
}

func (ts tallies) addAccess(d deed, a domain.AccessEntry) {
	t := ts.add(d, accessCount(a.Access), a.Time, accessEnd(a.Access))
	t.access = &a
}

// rows gives the sums in the order of their deeds.
func (ts tallies) rows(yield func(Row, error) bool, values func(deed, *tally) []Value) {
	deeds := make([]deed, 0, len(ts))
	for d := range ts {
		deeds = append(deeds, d)
	}
	slices.SortFunc(deeds, deed.compare)
	for _, d := range deeds {
		t := ts[d]
		if !yield(Row{Values: values(d, t), Event: t.event, Access: t.access, Count: t.count, Since: t.first}, nil) {
			return
		}
	}
}

func accessBySecretReport() report {
	return report{
		name: "access-by-secret", title: "Access by secret: who reached it, how often, first and last",
		access: true, names: true, records: summedRecords,
		columns: []Column{
			{"org", "Organization", KindText},
			{"scope", "Scope", KindText},
			{"scopeId", "Scope id", KindText},
			{"scopeName", "Scope name", KindText},
			{"secretId", "Secret", KindText},
			{"actorKind", "By a", KindText},
			{"actor", "By", KindText},
			{"actorName", "Name", KindText},
			{"action", "Action", KindText},
			{"outcome", "Outcome", KindText},
			{"count", "Count", KindNumber},
			{"first", "First", KindTime},
			{"last", "Last", KindTime},
			{"lastRecord", "Last record", KindText},
		},
		rows: func(ctx context.Context, v *view) iter.Seq2[Row, error] {
			return func(yield func(Row, error) bool) { v.accessBySecret(ctx, yield) }
		},
	}
}

func (v *view) accessBySecret(ctx context.Context, yield func(Row, error) bool) {
	ts := tallies{}
	for a, err := range v.accesses(ctx) {
		if err != nil {
			failed(yield, err)
			return
		}
		if a.Secret == "" {
			continue
		}
		ts.addAccess(deed{
			org: a.Target, actor: domain.Actor{Kind: a.Actor.Kind, ID: a.Actor.ID},
			action: a.Action, outcome: a.Outcome, scope: a.Scope, secret: a.Secret,
		}, a)
	}
	ts.rows(yield, func(d deed, t *tally) []Value {
		return []Value{
			Text(d.org), Text(d.scope.Kind), Text(d.scope.ID), Text(v.names[d.scope]), Text(d.secret), Text(d.actor.Kind),
			Text(d.actor.ID), v.actorName(d.actor), Text(d.action), Text(d.outcome), Number(t.count), Time(t.first), Time(t.last),
			Text(placeText(t.access.Place)),
		}
	})
}

func activityByAgentReport() report {
	return report{
		name: "activity-by-agent", title: "Activity by agent: what each did, how often, first and last",
		events: true, access: true, names: true, records: summedRecords,
		columns: []Column{
			{"org", "Organization", KindText},
			{"actorKind", "Kind", KindText},
			{"actor", "Agent", KindText},
			{"actorName", "Name", KindText},
			{"log", "Log", KindText},
			{"action", "Action", KindText},
			{"outcome", "Outcome", KindText},
			{"count", "Count", KindNumber},
			{"first", "First", KindTime},
			{"last", "Last", KindTime},
		},
		rows: func(ctx context.Context, v *view) iter.Seq2[Row, error] {
			return func(yield func(Row, error) bool) { v.activityByAgent(ctx, yield) }
		},
	}
}

func (v *view) activityByAgent(ctx context.Context, yield func(Row, error) bool) {
	ts := tallies{}
	for r, err := range v.events(ctx) {
		if err != nil {
			failed(yield, err)
			return
		}
		org := r.Stream.Organization()
		if !v.about(org) || !v.within(r.At) {
			continue
		}
		t := ts.add(deed{
			org: org, actor: domain.Actor{Kind: r.Actor.Kind, ID: r.Actor.ID}, log: LogEvents,
			action: string(r.Event.Type()), outcome: domain.OutcomeAllowed,
		}, 1, r.At, r.At)
		t.event = factOf(r)
	}
	for a, err := range v.accesses(ctx) {
		if err != nil {
			failed(yield, err)
			return
		}
		ts.addAccess(deed{
			org: a.Target, actor: domain.Actor{Kind: a.Actor.Kind, ID: a.Actor.ID}, log: LogAccess,
			action: a.Action, outcome: a.Outcome,
		}, a)
	}
	ts.rows(yield, func(d deed, t *tally) []Value {
		return []Value{
			Text(d.org), Text(d.actor.Kind), Text(d.actor.ID), v.actorName(d.actor), Text(d.log), Text(d.action), Text(d.outcome),
			Number(t.count), Time(t.first), Time(t.last),
		}
	})
}
