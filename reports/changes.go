package reports

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/chancery-dev/chancery/domain"
)

func changesReport() report {
	return report{
		name: "changes", title: "Changes: every event, who made it and why", columns: eventColumns(),
		events: true, names: true, records: oneRecord,
		rows: func(ctx context.Context, v *view) iter.Seq2[Row, error] { return v.eventRows(ctx, nil) },
	}
}

// eventColumns are those of a report whose rows are events.
func eventColumns() []Column {
	return []Column{
		{"position", "Position", KindNumber},
		{"time", "Time", KindTime},
		{"type", "Event", KindText},
		{"org", "Organization", KindText},
		{"scope", "Scope", KindText},
		{"scopeId", "Scope id", KindText},
		{"scopeName", "Scope name", KindText},
		{"secretId", "Secret", KindText},
		{"version", "Version", KindNumber},
		{"fields", "Fields", KindList},
		{"changes", "Changes", KindList},
		{"actorKind", "By a", KindText},
		{"actor", "By", KindText},
		{"actorName", "Name", KindText},
		{"keyId", "API key", KindText},
		{"reason", "Reason", KindText},
		{"runId", "Run", KindText},
		{"requestId", "Request", KindText},
		{"clientIp", "Address", KindText},
		{"userAgent", "Program", KindText},
		{"eventId", "Event id", KindText},
	}
}

// eventRows gives a row for each event of the query that keep, if not nil,
// keeps.
func (v *view) eventRows(ctx context.Context, keep func(domain.Recorded) bool) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for r, err := range v.events(ctx) {
			if err != nil {
				failed(yield, err)
				return
			}
			if !v.about(r.Stream.Organization()) || !v.within(r.At) || keep != nil && !keep(r) {
				continue
			}
			if !yield(v.eventRow(r), nil) {
				return
			}
		}
	}
}

func (v *view) eventRow(r domain.Recorded) Row {
	e := factOf(r)
	d := e.Details
	return Row{
		Event: e, Count: 1, Since: e.At,
		Values: []Value{
			Number(e.Position), Time(e.At), Text(e.Type), Text(e.Stream.Organization()), Text(d.Scope.Kind), Text(d.Scope.ID),
			Text(v.names[d.Scope]), Text(d.SecretID), Number(e.Version), List(fieldTexts(d.Fields)), List(changeTexts(d)),
			Text(e.Actor.Kind), Text(e.Actor.ID), v.actorName(e.Actor), Text(e.Actor.KeyID), Text(e.Origin.Reason),
			Text(e.Origin.RunID), Text(e.Origin.RequestID), Text(e.Origin.ClientIP), Text(e.Origin.UserAgent), Text(e.ID.String()),
		},
	}
}

func (v *view) actorName(a domain.Actor) Value {
	if a.Kind != domain.ActorAgent {
		return Value{}
	}
	return v.agentName(a.ID)
}

func fieldTexts(fields []domain.FieldMetadata) []string {
	texts := make([]string, len(fields))
	for i, f := range fields {
		texts[i] = string(f.Key) + " (" + string(f.Sensitivity) + ")"
	}
	return texts
}

// changeTexts says what an event changed beside fields, member by member.
func changeTexts(d domain.Details) []string {
	var texts []string
	add := func(name string, from *string, to string) {
		if from == nil {
			texts = append(texts, name+": "+to)
			return
		}
		texts = append(texts, name+": "+*from+" -> "+to)
	}
	if c := d.Changes.Name; c != nil {
		add("name", c.From, c.To)
	}
	if c := d.Changes.Category; c != nil {
		add("category", c.From, c.To)
	}
	if c := d.Changes.Tags; c != nil {
		add("tags", textOf(c.From, func(tags []string) string { return strings.Join(tags, ",") }), strings.Join(c.To, ","))
	}
	if c := d.Changes.RotateEvery; c != nil {
		add("rotateEvery", textOf(c.From, domain.RotateEvery.String), c.To.String())
	}
	if c := d.Changes.ExpiresAt; c != nil {
		add("expiresAt", textOf(c.From, stamp), stamp(c.To))
	}
	for _, part := range []struct{ name, to string }{
		{"team", d.TeamID},
		{"agent", string(d.Agent)},
		{"role", string(d.Role)},
		{"key", string(d.KeyID)},
		{"expires", stamp(d.ExpiresAt)},
		{"note", d.Note},
		{"secret keys", strings.Join(kekTexts(d.KekIDs), ",")},
	} {
		if part.to != "" {
			add(part.name, nil, part.to)
		}
	}
	return texts
}

func textOf[T any](from *T, text func(T) string) *string {
	if from == nil {
		return nil
	}
	s := text(*from)
	return &s
}

func kekTexts(keks []domain.KekID) []string {
	texts := make([]string, len(keks))
	for i, k := range keks {
		texts[i] = k.String()
	}
	return slices.Clip(texts)
}
