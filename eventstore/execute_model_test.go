package eventstore_test

import (
	"cmp"
	"slices"

	"github.com/chancery-dev/chancery/domain"
)

// model is what one secret should be: the wire contract's rules over a map,
// written without the domain's own.
type model struct {
	exists               bool
	version, incarnation uint64
	name, category       string
	tags                 []string
	fields               map[domain.FieldKey]domain.Value
	// used are the data keys of this secret, by the incarnation that took
	// them.
	used map[string]uint64
}

func (m model) clone() model {
	fields, used := map[domain.FieldKey]domain.Value{}, map[string]uint64{}
	for k, v := range m.fields {
		fields[k] = v
	}
	for k, v := range m.used {
		used[k] = v
	}
	m.fields, m.used = fields, used
	return m
}

// do gives what a command comes to: the state after it, the event ("" for
// none) and the refusal ("" for none). A refused command changes nothing.
func (m model) do(command domain.SecretCommand) (after model, event domain.EventType, refusal domain.Code) {
	none := func(code domain.Code) (model, domain.EventType, domain.Code) { return m, "", code }
	after = m.clone()
	var written []domain.Field
	switch c := command.(type) {
	case domain.CreateSecret:
		switch {
		case !m.exists && c.Expect != domain.Expectation{}:
			return none(domain.CodeVersionMismatch)
		case m.exists && m.missed(c.Expect):
			return none(domain.CodeVersionMismatch)
		case m.exists && m.is(c):
			return none("")
		case m.exists:
			return none(domain.CodeSecretExists)
		}
		event, written = domain.TypeSecretCreated, c.Fields
		after.exists, after.incarnation, after.fields = true, m.version+1, map[domain.FieldKey]domain.Value{}
		after.name, after.category, after.tags = c.Name, c.Category, c.Tags
	case domain.SetField:
		old := m.fields[c.Field.Key]
		switch {
		case !m.exists:
			return none(domain.CodeSecretNotFound)
		case m.missed(c.Expect):
			return none(domain.CodeVersionMismatch)
		case old != nil && sameValue(old, c.Field.Value):
			return none("")
		case old != nil && old.Sensitivity() == domain.SensitivityEncrypted && c.Field.Value.Sensitivity() == domain.SensitivityPlaintext:
			return none(domain.CodeSensitivityDowngrade)
		}
		event, written = domain.TypeFieldSet, []domain.Field{c.Field}
	case domain.RemoveField:
		switch {
		case !m.exists:
			return none(domain.CodeSecretNotFound)
		case m.fields[c.Key] == nil:
			return none(domain.CodeFieldNotFound)
		case m.missed(c.Expect):
			return none(domain.CodeVersionMismatch)
		}
		event = domain.TypeFieldRemoved
		delete(after.fields, c.Key)
	case domain.UpdateMetadata:
		switch {
		case !m.exists:
			return none(domain.CodeSecretNotFound)
		case m.missed(c.Expect):
			return none(domain.CodeVersionMismatch)
		}
		if c.Category != nil && *c.Category != m.category {
			event, after.category = domain.TypeSecretReclassified, *c.Category
		}
		if c.Tags != nil && !slices.Equal(*c.Tags, m.tags) {
			event, after.tags = domain.TypeSecretReclassified, *c.Tags
		}
		if c.Name != nil && *c.Name != m.name {
			event, after.name = domain.TypeSecretRenamed, *c.Name
		}
		if event == "" {
			return none("")
		}
	case domain.DeleteSecret:
		switch {
		case !m.exists:
			return none(domain.CodeSecretNotFound)
		case m.missed(c.Expect):
			return none(domain.CodeVersionMismatch)
		}
		event = domain.TypeSecretDeleted
		after = model{used: after.used}
	}
	if code := after.write(written); code != "" {
		return m, "", code
	}
	after.version = m.version + 1
	return after, event, ""
}

// write stores fields; a data key serves once, and only in its incarnation.
func (m *model) write(fields []domain.Field) domain.Code {
	reused := domain.Code("")
	for _, f := range fields {
		if e, ok := f.Value.(domain.Envelope); ok {
			switch by, taken := m.used[e.DataKey]; {
			case taken && by != m.incarnation:
				return domain.CodeDataKeyMismatch
			case taken:
				reused = domain.CodeDataKeyReused
			}
			m.used[e.DataKey] = m.incarnation
		}
		m.fields[f.Key] = f.Value
	}
	return reused
}

func (m model) missed(x domain.Expectation) bool { return x.Version != 0 && x.Version != m.version }

func (m model) is(c domain.CreateSecret) bool {
	if m.name != c.Name || m.category != c.Category || !slices.Equal(m.tags, c.Tags) || len(m.fields) != len(c.Fields) {
		return false
	}
	return !slices.ContainsFunc(c.Fields, func(f domain.Field) bool {
		return m.fields[f.Key] == nil || !sameValue(m.fields[f.Key], f.Value)
	})
}

func sameValue(a, b domain.Value) bool {
	switch a := a.(type) {
	case domain.Plaintext:
		b, ok := b.(domain.Plaintext)
		return ok && a.Reveal() == b.Reveal()
	case domain.Envelope:
		b, ok := b.(domain.Envelope)
		return ok && a.Equal(b)
	case domain.Sealed:
	}
	return false
}

// gone says whether what an earlier request wrote is gone, so that its key
// has expired.
func (m model) gone(command domain.SecretCommand, incarnation uint64) bool {
	switch c := command.(type) {
	case domain.RemoveField, domain.DeleteSecret:
		return false
	case domain.SetField:
		if m.fields[c.Field.Key] == nil {
			return true
		}
	case domain.CreateSecret, domain.UpdateMetadata:
	}
	return !m.exists || m.incarnation != incarnation
}

// shown is what of a secret's state the model knows.
type shown struct {
	Exists               bool
	Version, Incarnation uint64
	Name, Category       string
	Tags                 []string
	Fields               []domain.Field
}

func (m model) shown() shown {
	s := shown{Exists: m.exists, Version: m.version, Incarnation: m.incarnation, Name: m.name, Category: m.category, Tags: m.tags}
	for k, v := range m.fields {
		s.Fields = append(s.Fields, domain.Field{Key: k, Value: v})
	}
	slices.SortFunc(s.Fields, func(a, b domain.Field) int { return cmp.Compare(a.Key, b.Key) })
	return s
}

func show(secret domain.Secret) shown {
	s := shown{
		Exists: secret.Exists, Version: secret.Version, Incarnation: secret.Incarnation,
		Name: secret.Name, Category: secret.Category, Tags: secret.Tags,
	}
	for _, f := range secret.Fields {
		s.Fields = append(s.Fields, domain.Field{Key: f.Key, Value: f.Value})
	}
	return s
}
