package reports

import (
	"context"
	"iter"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

func adminActionsReport() report {
	return report{
		name: "admin-actions", title: "Admin actions: changes of directory, memberships and keys, and what was asked for",
		events: true, access: true, names: true, records: oneRecord,
		columns: []Column{
			{"time", "Time", KindTime},
			{"log", "Log", KindText},
			{"record", "Record", KindText},
			{"action", "Action", KindText},
			{"outcome", "Outcome", KindText},
			{"rule", "Rule", KindText},
			{"org", "Organization", KindText},
			{"scope", "Scope", KindText},
			{"scopeId", "Scope id", KindText},
			{"scopeName", "Scope name", KindText},
			{"changes", "Changes", KindList},
			{"actorKind", "By a", KindText},
			{"actor", "By", KindText},
			{"actorName", "Name", KindText},
			{"keyId", "API key", KindText},
			{"method", "Method", KindText},
			{"route", "Route", KindText},
			{"reason", "Reason", KindText},
			{"requestId", "Request", KindText},
			{"clientIp", "Address", KindText},
		},
		rows: func(ctx context.Context, v *view) iter.Seq2[Row, error] {
			return merge(v.adminEvents(ctx), v.adminAccesses(ctx))
		},
	}
}

func (v *view) adminEvents(ctx context.Context) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for r, err := range v.events(ctx) {
			if err != nil {
				failed(yield, err)
				return
			}
			directory, ok := r.Stream.(domain.DirectoryStream)
			if !ok || !v.about(directory.Org) || !v.within(r.At) {
				continue
			}
			e := factOf(r)
			d := e.Details
			row := Row{Event: e, Count: 1, Since: e.At, Values: []Value{
				Time(e.At), Text(LogEvents), Text(Number(e.Position).String()), Text(e.Type), Text(domain.OutcomeAllowed),
				{},
				Text(directory.Org), Text(d.Scope.Kind), Text(d.Scope.ID), Text(v.names[d.Scope]), List(changeTexts(d)),
				Text(e.Actor.Kind), Text(e.Actor.ID), v.actorName(e.Actor), Text(e.Actor.KeyID),
				{},
				{},
				Text(e.Origin.Reason), Text(e.Origin.RequestID), Text(e.Origin.ClientIP),
			}}
			if !yield(row, nil) {
				return
			}
		}
	}
}

func (v *view) adminAccesses(ctx context.Context) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for a, err := range v.accesses(ctx) {
			if err != nil {
				failed(yield, err)
				return
			}
			switch a.Action {
			case domain.AccessAdmin, domain.AccessConfigure, domain.AccessStart, domain.AccessStop, string(domain.ActionManage):
			default:
				continue
			}
			row := Row{Access: &a, Count: accessCount(a.Access), Since: a.Time, Values: []Value{
				Time(a.Time), Text(LogAccess), Text(placeText(a.Place)), Text(a.Action), Text(a.Outcome), Text(a.Rule),
				Text(a.Target), Text(a.Scope.Kind), Text(a.Scope.ID), Text(v.names[a.Scope]),
				{},
				Text(a.Actor.Kind), Text(a.Actor.ID), v.actorName(a.Actor), Text(a.Actor.KeyID), Text(a.Method), Text(a.Route),
				Text(a.Origin.Reason), Text(a.Origin.RequestID), Text(a.Origin.ClientIP),
			}}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// merge gives the rows of two streams by their Since, those of the first before
// those of the second at the same time. Either keeps its own order, also where
// its times fall.
func merge(first, second iter.Seq2[Row, error]) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		next, stop := iter.Pull2(second)
		defer stop()
		waiting, err, more := next()
		// upTo gives the waiting rows before a time; the zero time gives all.
		upTo := func(t time.Time) bool {
			for more && (err != nil || t.IsZero() || waiting.Since.Before(t)) {
				if !yield(waiting, err) || err != nil {
					return false
				}
				waiting, err, more = next()
			}
			return true
		}
		for r, failure := range first {
			if failure != nil {
				failed(yield, failure)
				return
			}
			if !upTo(r.Since) || !yield(r, nil) {
				return
			}
		}
		upTo(time.Time{})
	}
}
