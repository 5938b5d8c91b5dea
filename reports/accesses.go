package reports

import (
	"context"
	"fmt"
	"iter"

	"github.com/chancery-dev/chancery/domain"
)

func accessesReport() report {
	return accessList("accesses", "Accesses: every access record", nil)
}

func denialsReport() report {
	return accessList("denials", "Denials: what was refused or failed, and by which rule", func(a domain.AccessEntry) bool {
		return a.Outcome != domain.OutcomeAllowed
	})
}

func auditReadersReport() report {
	return accessList("audit-readers", "Audit readers: who read the access log, reports, exports and feeds", func(a domain.AccessEntry) bool {
		switch a.Action {
		case domain.AccessAudit, domain.AccessReport, domain.AccessExport, domain.AccessSubscribe:
			return true
		}
		return false
	})
}

// accessList is a report whose rows are access records.
func accessList(name, title string, keep func(domain.AccessEntry) bool) report {
	return report{
		name: name, title: title, columns: accessColumns(), access: true, names: true, records: oneRecord,
		rows: func(ctx context.Context, v *view) iter.Seq2[Row, error] {
			return func(yield func(Row, error) bool) {
				for a, err := range v.accesses(ctx) {
					if err != nil {
						failed(yield, err)
						return
					}
					if keep != nil && !keep(a) {
						continue
					}
					if !yield(v.accessRow(a), nil) {
						return
					}
				}
			}
		},
	}
}

func accessColumns() []Column {
	return []Column{
		{"id", "Record", KindText},
		{"time", "Time", KindTime},
		{"action", "Action", KindText},
		{"outcome", "Outcome", KindText},
		{"rule", "Rule", KindText},
		{"code", "Code", KindText},
		{"org", "Organization", KindText},
		{"scope", "Scope", KindText},
		{"scopeId", "Scope id", KindText},
		{"scopeName", "Scope name", KindText},
		{"secretId", "Secret", KindText},
		{"fieldKey", "Field", KindText},
		{"detail", "Detail", KindText},
		{"actorKind", "By a", KindText},
		{"actor", "By", KindText},
		{"actorName", "Name", KindText},
		{"actorOrg", "Of organization", KindText},
		{"keyId", "API key", KindText},
		{"count", "Count", KindNumber},
		{"until", "Until", KindTime},
		{"method", "Method", KindText},
		{"route", "Route", KindText},
		{"reason", "Reason", KindText},
		{"runId", "Run", KindText},
		{"requestId", "Request", KindText},
		{"traceId", "Trace", KindText},
		{"clientIp", "Address", KindText},
		{"userAgent", "Program", KindText},
	}
}

// placeText is the id of an access record.
func placeText(p domain.AccessPlace) string { return fmt.Sprintf("%d.%d", p.Position, p.Index) }

func (v *view) accessRow(a domain.AccessEntry) Row {
	return Row{
		Access: &a, Count: accessCount(a.Access), Since: a.Time,
		Values: []Value{
			Text(placeText(a.Place)), Time(a.Time), Text(a.Action), Text(a.Outcome), Text(a.Rule), Text(a.Code), Text(a.Target),
			Text(a.Scope.Kind), Text(a.Scope.ID), Text(v.names[a.Scope]), Text(a.Secret), Text(a.Field), Text(a.Detail),
			Text(a.Actor.Kind), Text(a.Actor.ID), v.actorName(a.Actor), Text(a.Org), Text(a.Actor.KeyID),
			Number(accessCount(a.Access)), Time(a.Until), Text(a.Method), Text(a.Route), Text(a.Origin.Reason),
			Text(a.Origin.RunID), Text(a.Origin.RequestID), Text(a.TraceID), Text(a.Origin.ClientIP), Text(a.Origin.UserAgent),
		},
	}
}
