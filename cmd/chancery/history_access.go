package main

import (
	"io"

	"github.com/chancery-dev/chancery/client"
)

// auditedHistory shows what was done to a secret and who touched it.
func (a *app) auditedHistory(s session, ref client.SecretRef, q client.HistoryQuery, limit int) error {
	rows := []client.HistoryRow{}
	for r, err := range s.AuditedHistory(s.ctx, ref, q, s.opts...) {
		if err != nil {
			return err
		}
		if rows = append(rows, r); len(rows) == limit {
			break
		}
	}
	return a.emit(rows, func(w io.Writer) error {
		t := newTable("TIME", "VERSION", "WHAT HAPPENED", "BY", "WHAT", "OUTCOME", "REASON")
		for _, r := range rows {
			if e := r.Event; e != nil {
				t.add(timeCell(&e.Time), versionCell(e.Version), e.Type, actorCell(&e.Actor), what(*e), "", e.Reason)
				continue
			}
			t.add(timeCell(&r.Access.Time), "", r.Access.Action, actorCell(r.Access.Actor), r.Access.FieldKey, outcome(*r.Access), r.Access.Reason)
		}
		return a.print(w, t)
	})
}
