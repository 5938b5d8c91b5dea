package httpapi

import (
	"errors"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

func errSecretNotFound() error {
	return domain.Errorf(domain.CodeSecretNotFound, "there is no such secret")
}

const (
	// maxExamined is how many rows a page looks at.
	maxExamined = 10_000
	// secretsLimit and rowsLimit are the pages that nobody asked a size of.
	secretsLimit = 1000
	rowsLimit    = 200
)

// listSecrets answers with the metadata of a scope's secrets.
func listSecrets(c *call) (answer, error) {
	scope, err := c.scope()
	if err != nil {
		return answer{}, err
	}
	q := domain.SecretQuery{Org: c.principal.Org, Scope: scope, Examine: maxExamined}
	if err := c.filters(&q); err != nil {
		return answer{}, err
	}
	p, err := c.page(secretsLimit, append([]string{q.Category, q.Text}, q.Tags...)...)
	if err != nil {
		return answer{}, err
	}
	q.After, q.Limit = domain.SecretID(p.after), p.limit
	if err := c.may(domain.ActionList, scope); err != nil {
		return answer{}, err
	}
	fields := []wire.AggregateField{} // a list also where there are none
	rows := c.newItems()
	next, err := c.config.State.ListSecrets(c.ctx, q, func(s *domain.Secret) {
		row := metadataIn(s, fields[:0])
		rows.text = row.AppendJSON(rows.next())
		fields = row.Fields
	})
	if err != nil {
		return answer{}, err
	}
	return answer{items: rows, page: p.next(string(next))}, c.allowed()
}

// getSecret answers with a secret and all that it holds, or with its metadata
// as it stood once.
func getSecret(c *call) (answer, error) {
	ref, err := c.ref()
	if err != nil {
		return answer{}, err
	}
	if c.query.Has(paramAt) || c.query.Has(paramVersion) {
		return getSecretAsOf(c, ref)
	}
	if err := c.mayRead(ref); err != nil {
		return answer{}, err
	}
	s, err := c.load(ref, func(domain.SecretField) bool { return true })
	if err != nil {
		return answer{}, err
	}
	data, err := secretOf(s)
	if err != nil {
		return answer{}, err
	}
	return answer{data: data, version: s.Version}, c.allowed()
}

// getField answers with one field and its value.
func getField(c *call) (answer, error) {
	ref, key, err := c.fieldRef()
	if err != nil {
		return answer{}, err
	}
	c.access.Field = key
	if err := c.mayRead(ref); err != nil {
		return answer{}, err
	}
	s, err := c.load(ref, func(f domain.SecretField) bool { return f.Key == key })
	if err != nil {
		return answer{}, err
	}
	f, ok := s.Field(key)
	if !ok {
		return answer{}, domain.Errorf(domain.CodeFieldNotFound, "the secret has no such field")
	}
	data, err := fieldOf(f)
	if err != nil {
		return answer{}, err
	}
	return answer{data: data, version: s.Version}, c.allowed()
}

// mayRead authorizes the reading of values on this node.
func (c *call) mayRead(ref domain.SecretRef) error {
	if err := c.may(domain.ActionRead, ref.Scope); err != nil {
		return err
	}
	return c.fresh()
}

// load gives a living secret with the plaintext values open of which the
// caller wants to see.
func (c *call) load(ref domain.SecretRef, wanted func(domain.SecretField) bool) (domain.Secret, error) {
	s, err := c.config.State.Secret(ref)
	if err != nil {
		return domain.Secret{}, err
	}
	if !s.Exists {
		return domain.Secret{}, errSecretNotFound()
	}
	opened, err := c.open(s, wanted)
	if err == nil {
		return opened, nil
	}
	// A delete may have destroyed the keys since: then what was loaded is
	// gone, which is no fault.
	now, again := c.config.State.SecretMetadata(ref)
	switch {
	case again != nil:
		return domain.Secret{}, errors.Join(err, again)
	case !now.Exists:
		return domain.Secret{}, errSecretNotFound()
	case now.Incarnation != s.Incarnation:
		return domain.Secret{}, unavailable("the secret was replaced while it was read")
	}
	return domain.Secret{}, err
}

// open opens the plaintext values that are wanted, in place, and takes the
// other values away.
func (c *call) open(s domain.Secret, wanted func(domain.SecretField) bool) (domain.Secret, error) {
	sealed := make([]domain.Field, 0, len(s.Fields))
	places := make([]int, 0, len(s.Fields))
	for i, f := range s.Fields {
		if !wanted(f) {
			s.Fields[i].Value = nil
		} else if _, ok := f.Value.(domain.Sealed); ok {
			sealed, places = append(sealed, domain.Field{Key: f.Key, Value: f.Value}), append(places, i)
		}
	}
	opened, err := c.config.Keys.Open(c.ctx, s.Ref, sealed)
	if err != nil {
		return domain.Secret{}, err
	}
	for n, i := range places {
		s.Fields[i].Value = opened[n].Value
	}
	return s, nil
}
