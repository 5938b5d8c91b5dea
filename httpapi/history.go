package httpapi

import (
	"strconv"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

const (
	// includeAccess asks for the access records among the entries.
	includeAccess = "access"
	// maxProofs is the largest page with proofs: a leaf has up to 60 KiB.
	maxProofs = 100
)

// getHistory answers with what was done to a secret, over all its
// incarnations.
func getHistory(c *call) (answer, error) {
	ref, err := c.ref()
	if err != nil {
		return answer{}, err
	}
	ascending, err := c.ascending()
	if err != nil {
		return answer{}, err
	}
	include, err := c.oneOf(paramInclude, []string{includeAccess})
	if err != nil {
		return answer{}, err
	}
	proof, err := c.oneOf(paramProof, []string{"1"})
	if err != nil {
		return answer{}, err
	}
	bound := []string{strconv.FormatBool(ascending)}
	if include != "" {
		bound = append(bound, include)
	}
	p, err := c.page(rowsLimit, bound...)
	if err != nil {
		return answer{}, err
	}
	if proof != "" {
		p.limit = min(p.limit, maxProofs)
	}
	q := domain.HistoryQuery{Ref: ref, Ascending: ascending, Limit: p.limit}
	if include != "" {
		return c.getAuditedHistory(q, p, proof != "")
	}
	if p.after != "" {
		var ok bool
		if q.After, ok = wire.ParseUint(p.after); !ok {
			return answer{}, errCursor()
		}
	}
	if err := c.may(domain.ActionHistory, ref.Scope); err != nil {
		return answer{}, err
	}
	if err := c.hasHistory(ref); err != nil {
		return answer{}, err
	}
	var last uint64
	var fields []wire.HistoryField
	rows := c.newItems()
	more, err := c.config.State.History(q, func(e *domain.HistoryEntry) error {
		row := c.historyEntry(e, fields[:0])
		if proof != "" {
			if err := c.prove(&row, e.Stream); err != nil {
				return err
			}
		}
		rows.text = row.AppendJSON(rows.next())
		last, fields = e.Version, row.Fields
		return nil
	})
	if err != nil {
		return answer{}, err
	}
	a := answer{items: rows}
	if more {
		a.page = p.next(strconv.FormatUint(last, 10))
	}
	return a, c.allowed()
}

func (c *call) hasHistory(ref domain.SecretRef) error {
	s, err := c.config.State.SecretMetadata(ref)
	if err == nil && s.Version == 0 {
		err = errSecretNotFound()
	}
	return err
}

// historyEntry encodes an entry, its fields into fields.
func (c *call) historyEntry(e *domain.HistoryEntry, fields []wire.HistoryField) wire.HistoryEntry {
	row := wire.HistoryEntry{
		Position: e.Position, EventID: e.ID.String(), Type: string(e.Type), Time: wire.NewTime(e.At),
		Actor:   wire.Actor{Kind: string(e.Actor.Kind), ID: e.Actor.ID, Name: e.Actor.ID, KeyID: string(e.Actor.KeyID)},
		Version: e.Version, Changes: changesOf(e.Details.Changes),
		RequestID: e.Origin.RequestID, ClientIP: e.Origin.ClientIP, UserAgent: e.Origin.UserAgent,
		Reason: e.Origin.Reason, RunID: e.Origin.RunID, Fields: fields,
	}
	if e.Actor.Kind == domain.ActorAgent {
		row.Actor.Name = c.config.State.AgentName(c.principal.Org, domain.AgentID(e.Actor.ID))
	}
	for _, f := range e.Details.Fields {
		row.Fields = append(row.Fields, wire.HistoryField{Key: string(f.Key), Sensitivity: string(f.Sensitivity)})
	}
	return row
}

func changesOf(c domain.Changes) *wire.Changes {
	if c == (domain.Changes{}) {
		return nil
	}
	w := &wire.Changes{Name: changeOf(c.Name), Category: changeOf(c.Category)}
	if c.Tags != nil {
		w.Tags = &wire.TagsSet{To: append([]string{}, c.Tags.To...)}
		if c.Tags.From != nil {
			w.Tags.From = append([]string{}, *c.Tags.From...)
		}
	}
	if r := c.RotateEvery; r != nil {
		w.RotateEvery = &wire.Removable[string]{To: textOrNil(r.To)}
		if r.From != nil {
			w.RotateEvery.From = textOrNil(*r.From)
		}
	}
	if e := c.ExpiresAt; e != nil {
		w.ExpiresAt = &wire.Removable[wire.Time]{To: wire.TimeOrNil(e.To)}
		if e.From != nil {
			w.ExpiresAt.From = wire.TimeOrNil(*e.From)
		}
	}
	return w
}

func textOrNil(r domain.RotateEvery) *string {
	if r == 0 {
		return nil
	}
	return new(r.String())
}

func changeOf(c *domain.Change[string]) *wire.Change {
	if c == nil {
		return nil
	}
	return &wire.Change{From: c.From, To: c.To}
}

// getSecretAsOf answers with a secret's metadata as it stood at a time or a
// version.
func getSecretAsOf(c *call, ref domain.SecretRef) (answer, error) {
	look, err := c.asOf(ref)
	if err != nil {
		return answer{}, err
	}
	if err := c.may(domain.ActionHistory, ref.Scope); err != nil {
		return answer{}, err
	}
	s, ok, err := look()
	if err != nil {
		return answer{}, err
	}
	if !ok || !s.Exists {
		return answer{}, domain.Errorf(domain.CodeSecretNotFound, "there was no such secret then")
	}
	return answer{data: wire.SecretAsOf{Aggregate: metadataOf(s)}, version: s.Version}, c.allowed()
}

// asOf reads the one of at and version that is there.
func (c *call) asOf(ref domain.SecretRef) (func() (domain.Secret, bool, error), error) {
	if !c.query.Has(paramVersion) {
		at, err := wire.ParseTime(c.query.Get(paramAt))
		if err != nil {
			return nil, asQuery(err)
		}
		return func() (domain.Secret, bool, error) { return c.config.State.SecretAtTime(ref, at.Time) }, nil
	}
	version, ok := wire.ParseUint(c.query.Get(paramVersion))
	if !ok || version == 0 || c.query.Has(paramAt) {
		return nil, domain.Errorf(domain.CodeInvalidQuery, "give one of at and version; a version is a number from 1")
	}
	return func() (domain.Secret, bool, error) { return c.config.State.SecretAtVersion(ref, version) }, nil
}
