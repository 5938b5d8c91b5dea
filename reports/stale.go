package reports

import (
	"context"
	"iter"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// UnusedAfter is how long a secret that was read before must not have been read
// to be listed as unused.
const UnusedAfter = 90 * 24 * time.Hour

// Findings of the report on stale secrets.
const (
	findingNeverRead = "never read"
	findingUnused    = "unused"
	findingRotation  = "rotation overdue"
	findingExpired   = "expired"
)

func staleSecretsReport() report {
	return report{
		name: "stale-secrets", title: "Stale secrets: never read, unused for 90 days, overdue or expired",
		events: true, access: true, names: true,
		columns: []Column{
			{"org", "Organization", KindText},
			{"scope", "Scope", KindText},
			{"scopeId", "Scope id", KindText},
			{"scopeName", "Scope name", KindText},
			{"secretId", "Secret", KindText},
			{"secretName", "Name", KindText},
			{"findings", "Findings", KindList},
			{"createdAt", "Created", KindTime},
			{"lastRead", "Last read", KindTime},
			{"daysUnread", "Days unread", KindNumber},
			{"oldestValue", "Oldest value", KindTime},
			{"rotateEvery", "Rotate every", KindText},
			{"dueAt", "Rotation due", KindTime},
			{"expiresAt", "Expires", KindTime},
		},
		rows: func(ctx context.Context, v *view) iter.Seq2[Row, error] {
			return func(yield func(Row, error) bool) { v.staleSecrets(ctx, yield) }
		},
	}
}

func (v *view) staleSecrets(ctx context.Context, yield func(Row, error) bool) {
	living := secrets{}
	var last time.Time
	for r, err := range v.eventsAt(ctx) {
		if err != nil {
			failed(yield, err)
			return
		}
		last = r.At
		if v.about(r.Stream.Organization()) {
			living.apply(r)
		}
	}
	read := map[domain.SecretRef]time.Time{}
	for a, err := range v.allAccesses(ctx) {
		if err != nil {
			failed(yield, err)
			return
		}
		if !released(a.Access) || v.late(a.Time) {
			continue
		}
		ref := domain.SecretRef{Org: a.Target, Scope: a.Scope, ID: a.Secret}
		if s := living[ref]; s != nil && !accessEnd(a.Access).Before(s.CreatedAt) { // not a read of an earlier life
			read[ref] = later(read[ref], accessEnd(a.Access))
		}
	}
	at := v.moment(last)
	for _, s := range living.sorted() {
		row, ok := v.stale(s, read[s.Ref], at)
		if ok && !yield(row, nil) {
			return
		}
	}
}

// released says whether a value or a data key left the server.
func released(a domain.Access) bool {
	return a.Outcome == domain.OutcomeAllowed && (a.Action == string(domain.ActionRead) || a.Action == string(domain.ActionRelease))
}

func (v *view) stale(s *domain.Secret, read, at time.Time) (Row, bool) {
	var findings []string
	switch {
	case read.IsZero():
		findings = append(findings, findingNeverRead)
	case at.Sub(read) >= UnusedAfter:
		findings = append(findings, findingUnused)
	}
	var oldest, due time.Time
	for _, f := range s.Fields {
		if oldest.IsZero() || f.UpdatedAt.Before(oldest) {
			oldest = f.UpdatedAt
		}
	}
	if s.RotateEvery > 0 && !oldest.IsZero() {
		if due = oldest.AddDate(0, 0, int(s.RotateEvery)); !due.After(at) {
			findings = append(findings, findingRotation)
		}
	}
	if !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(at) {
		findings = append(findings, findingExpired)
	}
	since := read
	if since.IsZero() {
		since = s.CreatedAt
	}
	return Row{Values: []Value{
		Text(s.Ref.Org), Text(s.Ref.Scope.Kind), Text(s.Ref.Scope.ID), Text(v.names[s.Ref.Scope]), Text(s.Ref.ID), Text(s.Name),
		List(findings), Time(s.CreatedAt), Time(read), days(since, at), Time(oldest), Text(s.RotateEvery.String()), Time(due),
		Time(s.ExpiresAt),
	}}, len(findings) > 0
}
