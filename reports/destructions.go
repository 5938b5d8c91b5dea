package reports

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

func destructionsReport() report {
	return report{
		name: "destructions", title: "Destruction certificates: deleted secrets and the end of their keys",
		events: true, names: true,
		columns: []Column{
			{"org", "Organization", KindText},
			{"scope", "Scope", KindText},
			{"scopeId", "Scope id", KindText},
			{"scopeName", "Scope name", KindText},
			{"secretId", "Secret", KindText},
			{"status", "Status", KindText},
			{"keyIds", "Secret keys", KindList},
			{"remaining", "Not destroyed", KindList},
			{"deletedAt", "Deleted", KindTime},
			{"deletedBy", "Deleted by", KindText},
			{"deletedByName", "Name", KindText},
			{"reason", "Reason", KindText},
			{"deletedPosition", "Deleted at position", KindNumber},
			{"deletedEvent", "Deleted by event", KindText},
			{"destroyedAt", "Keys destroyed", KindTime},
			{"destroyedPosition", "Destroyed at position", KindNumber},
			{"destroyedEvent", "Destroyed by event", KindText},
		},
		rows: func(ctx context.Context, v *view) iter.Seq2[Row, error] {
			return func(yield func(Row, error) bool) { v.destructions(ctx, yield) }
		},
	}
}

// deletion is a deleted incarnation whose keys are not all destroyed yet.
type deletion struct {
	ref     domain.SecretRef
	entry   domain.HistoryEntry
	pending []domain.KekID
}

// destructions gives a row as soon as the last key of a deleted incarnation is
// destroyed, so that it holds the open ones alone; those follow at the end.
// The times of the query bound the deletions.
func (v *view) destructions(ctx context.Context, yield func(Row, error) bool) {
	open := map[domain.SecretRef][]*deletion{}
	for r, err := range v.events(ctx) {
		if err != nil {
			failed(yield, err)
			return
		}
		if !v.about(r.Stream.Organization()) {
			continue
		}
		switch e := r.Event.(type) { //nolint:gochecksumtype // nothing else ends a secret or its keys.
		case domain.SecretDeleted:
			ref := r.Stream.(domain.SecretStream).Ref //nolint:errcheck,forcetypeassert // the type decides the stream.
			open[ref] = append(open[ref], &deletion{ref: ref, entry: domain.Metadata(r), pending: e.KekIDs})
		case domain.KeyDestroyed:
			done := strike(open, e)
			for _, d := range done {
				if v.within(d.entry.At) && !yield(v.certificate(d, factOf(r)), nil) {
					return
				}
			}
		}
	}
	rest := slices.Concat(slices.Collect(maps.Values(open))...)
	slices.SortFunc(rest, func(a, b *deletion) int { return cmp.Compare(a.entry.Position, b.entry.Position) })
	for _, d := range rest {
		if v.within(d.entry.At) && !yield(v.certificate(d, nil), nil) {
			return
		}
	}
}

// strike takes the destroyed keys away and gives the deletions that are
// complete by that.
func strike(open map[domain.SecretRef][]*deletion, e domain.KeyDestroyed) (done []*deletion) {
	var left []*deletion
	for _, d := range open[e.Ref] {
		d.pending = slices.DeleteFunc(slices.Clone(d.pending), func(k domain.KekID) bool { return slices.Contains(e.KekIDs, k) })
		if len(d.pending) == 0 {
			done = append(done, d)
		} else {
			left = append(left, d)
		}
	}
	if open[e.Ref] = left; len(left) == 0 {
		delete(open, e.Ref)
	}
	return done
}

// certificate gives the row of a deletion; by is the event that completed it,
// nil while it is open.
func (v *view) certificate(d *deletion, by *Event) Row {
	e, status := d.entry, keyCondemned
	var at time.Time
	var position uint64
	var id string
	if by != nil {
		status, at, position, id = keyDestroyed, by.At, by.Position, by.ID.String()
	}
	return Row{Event: by, Values: []Value{
		Text(d.ref.Org), Text(d.ref.Scope.Kind), Text(d.ref.Scope.ID), Text(v.names[d.ref.Scope]), Text(d.ref.ID), Text(status),
		List(kekTexts(e.Details.KekIDs)), List(kekTexts(d.pending)), Time(e.At), Text(e.Actor.ID), v.actorName(e.Actor),
		Text(e.Origin.Reason), Number(e.Position), Text(e.ID.String()), Time(at), NumberOrNone(position), Text(id),
	}}
}
