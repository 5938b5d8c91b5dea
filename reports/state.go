package reports

import (
	"context"
	"iter"

	"github.com/chancery-dev/chancery/domain"
)

func stateReport() report {
	return report{
		name: "state", title: "State: the secrets that there were at that time, without values",
		events: true, names: true,
		columns: []Column{
			{"org", "Organization", KindText},
			{"scope", "Scope", KindText},
			{"scopeId", "Scope id", KindText},
			{"scopeName", "Scope name", KindText},
			{"secretId", "Secret", KindText},
			{"secretName", "Name", KindText},
			{"category", "Category", KindText},
			{"tags", "Tags", KindList},
			{"version", "Version", KindNumber},
			{"fields", "Fields", KindList},
			{"rotateEvery", "Rotate every", KindText},
			{"expiresAt", "Expires", KindTime},
			{"createdAt", "Created", KindTime},
			{"createdBy", "Created by", KindText},
			{"createdByName", "Name of that", KindText},
			{"updatedAt", "Updated", KindTime},
			{"updatedBy", "Updated by", KindText},
			{"updatedByName", "Name of that", KindText},
			{"position", "Position", KindNumber},
		},
		rows: func(ctx context.Context, v *view) iter.Seq2[Row, error] {
			return func(yield func(Row, error) bool) { v.state(ctx, yield) }
		},
	}
}

func (v *view) state(ctx context.Context, yield func(Row, error) bool) {
	living := secrets{}
	for r, err := range v.eventsAt(ctx) {
		if err != nil {
			failed(yield, err)
			return
		}
		if v.about(r.Stream.Organization()) {
			living.apply(r)
		}
	}
	for _, s := range living.sorted() {
		fields := make([]domain.FieldMetadata, len(s.Fields))
		for i, f := range s.Fields {
			fields[i] = domain.FieldMetadata{Key: f.Key, Sensitivity: f.Sensitivity}
		}
		row := Row{Values: []Value{
			Text(s.Ref.Org), Text(s.Ref.Scope.Kind), Text(s.Ref.Scope.ID), Text(v.names[s.Ref.Scope]), Text(s.Ref.ID), Text(s.Name),
			Text(s.Category), List(s.Tags), Number(s.Version), List(fieldTexts(fields)), Text(s.RotateEvery.String()),
			Time(s.ExpiresAt), Time(s.CreatedAt), Text(s.CreatedBy), v.agentName(s.CreatedBy), Time(s.UpdatedAt),
			Text(s.UpdatedBy), v.agentName(s.UpdatedBy), Number(s.Head),
		}}
		if !yield(row, nil) {
			return
		}
	}
}
