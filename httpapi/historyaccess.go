package httpapi

import (
	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// getAuditedHistory answers with what was done to a secret and who touched it:
// two logs, merged by time.
func (c *call) getAuditedHistory(q domain.HistoryQuery, p page, proofs bool) (answer, error) {
	var from places
	if p.after != "" {
		var ok bool
		if from, ok = parsePlaces(p.after); !ok {
			return answer{}, errCursor()
		}
	}
	c.access.Detail = cut(c.asked())
	err := c.authorize(domain.AccessAudit, func(p domain.Principal) domain.Decision {
		if d := p.May(domain.ActionHistory, q.Ref.Scope); !d.Allowed {
			return d
		}
		return p.MayAudit(p.Org)
	})
	if err != nil {
		return answer{}, err
	}
	if err := c.hasHistory(q.Ref); err != nil {
		return answer{}, err
	}
	m, err := c.loadMerge(q, from)
	if err != nil {
		return answer{}, err
	}
	rows := []wire.HistoryRow{}
	for len(rows) < q.Limit {
		event, access := m.take()
		if event == nil && access == nil {
			break
		}
		row, err := c.historyRow(event, access, proofs)
		if err != nil {
			return answer{}, err
		}
		rows = append(rows, row)
	}
	a := success(rows)
	if next, more := m.next(); more {
		a.page = p.next(next.String())
	}
	return a, c.allowed()
}

// loadMerge reads a page of each log that goes on behind from.
func (c *call) loadMerge(q domain.HistoryQuery, from places) (*merge, error) {
	m := &merge{ascending: q.Ascending, from: from}
	if !from.noEvents {
		q.After = from.version
		var err error
		m.moreEvents, err = c.config.State.History(q, func(e *domain.HistoryEntry) error {
			m.events = append(m.events, *e)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if !from.noAccess {
		found, err := c.config.Access.Access(c.ctx, domain.AccessQuery{
			Target: q.Ref.Org, Scope: q.Ref.Scope, Secret: q.Ref.ID,
			After: from.access, Ascending: q.Ascending, Limit: q.Limit, Examine: maxExamined,
		})
		if err != nil {
			return nil, err
		}
		m.access, m.moreAccess, m.nextAccess = found.Entries, found.More, found.Next
	}
	return m, nil
}

func (c *call) historyRow(event *domain.HistoryEntry, access *domain.AccessEntry, proofs bool) (wire.HistoryRow, error) {
	if access != nil {
		row := c.accessRecord(*access)
		row.Kind = wire.KindAccess
		return wire.HistoryRow{Access: &row}, nil
	}
	row := c.historyEntry(event, nil)
	row.Kind = wire.KindEvent
	if proofs {
		if err := c.prove(&row, event.Stream); err != nil {
			return wire.HistoryRow{}, err
		}
	}
	return wire.HistoryRow{Event: &row}, nil
}

// prove adds an entry's leaf and the proof that it is in the log.
func (c *call) prove(e *wire.HistoryEntry, stream domain.Stream) error {
	leaf, index, proof, err := c.config.Proofs.EventProof(c.ctx, stream, e.Position)
	if err != nil {
		return err
	}
	e.Leaf, e.Index, e.Proof = leaf, &index, proof
	return nil
}
