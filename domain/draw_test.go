package domain_test

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// secretRef is the path of the one secret that most tests are about.
func secretRef() domain.SecretRef {
	return domain.SecretRef{Org: home, Scope: scopes()["proj"], ID: "db-password"}
}

// Small alphabets, so that commands often ask for what is already so.

func drawPlaintext(t *rapid.T) domain.Plaintext {
	return domain.NewPlaintext(rapid.SampledFrom([]string{"", "x", "y", "🔑\x00"}).Draw(t, "plaintext"))
}

func drawEnvelope(t *rapid.T) domain.Envelope {
	return domain.Envelope{
		IV:         [domain.EnvelopeIVLen]byte{byte(rapid.IntRange(0, 1).Draw(t, "iv"))},
		Ciphertext: []byte(rapid.SampledFrom([]string{"", "c"}).Draw(t, "ciphertext")),
		AuthTag:    [domain.EnvelopeTagLen]byte{byte(rapid.IntRange(0, 1).Draw(t, "tag"))},
		DataKey:    rapid.SampledFrom([]string{"dk1", "dk2"}).Draw(t, "data key"),
	}
}

func drawGiven(t *rapid.T) domain.Value {
	if rapid.Bool().Draw(t, "encrypted") {
		return drawEnvelope(t)
	}
	return drawPlaintext(t)
}

func drawFieldKey(t *rapid.T) domain.FieldKey {
	return rapid.SampledFrom([]domain.FieldKey{"a", "b", "B.1", "z"}).Draw(t, "field key")
}

func drawFields(t *rapid.T) []domain.Field {
	keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]domain.FieldKey{"a", "b", "B.1", "z"}), 0, 4, rapid.ID).Draw(t, "field keys")
	var fields []domain.Field
	for _, k := range keys {
		fields = append(fields, domain.Field{Key: k, Value: drawGiven(t)})
	}
	return fields
}

func drawTags(t *rapid.T) []string {
	tags := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"blue", "green", "🔑"}), 0, 3, rapid.ID).Draw(t, "tags")
	if len(tags) == 0 {
		return nil
	}
	slices.Sort(tags)
	return tags
}

func drawName(t *rapid.T) string { return rapid.SampledFrom([]string{"N", "M"}).Draw(t, "name") }

func drawCategory(t *rapid.T) string {
	return rapid.SampledFrom([]string{"c", "d"}).Draw(t, "category")
}

// drawRotateEvery gives one of few, from the least.
func drawRotateEvery(t *rapid.T, least int) domain.RotateEvery {
	return domain.RotateEvery(rapid.IntRange(least, 2).Draw(t, "rotate every"))
}

func drawExpiry(t *rapid.T, none bool) time.Time {
	if n := rapid.IntRange(0, 2).Draw(t, "expiry"); n > 0 || !none {
		return genesis().Add(time.Duration(n) * time.Hour)
	}
	return time.Time{}
}

func drawExpectation(t *rapid.T, version uint64) domain.Expectation {
	switch rapid.IntRange(0, 9).Draw(t, "expectation") {
	case 0:
		return domain.Expectation{Any: true}
	case 1:
		return domain.Expectation{Version: version}
	case 2:
		return domain.Expectation{Version: version + 1}
	default:
		return domain.Expectation{}
	}
}

func drawSecretCommand(t *rapid.T, version uint64) domain.SecretCommand {
	expect := drawExpectation(t, version)
	switch rapid.IntRange(0, 12).Draw(t, "command") {
	case 0:
		return domain.DeleteSecret{Expect: expect}
	case 1, 2, 3:
		return domain.CreateSecret{
			Name: drawName(t), Category: drawCategory(t), Tags: drawTags(t), Fields: drawFields(t), Expect: expect,
		}
	case 4, 5:
		return domain.RemoveField{Key: drawFieldKey(t), Expect: expect}
	case 6, 7, 8:
		c := domain.UpdateMetadata{Expect: expect}
		if rapid.Bool().Draw(t, "with name") {
			c.Name = new(drawName(t))
		}
		if rapid.Bool().Draw(t, "with category") {
			c.Category = new(drawCategory(t))
		}
		if rapid.Bool().Draw(t, "with tags") {
			c.Tags = new(drawTags(t))
		}
		if rapid.Bool().Draw(t, "with rotation") {
			c.RotateEvery = new(drawRotateEvery(t, 0))
		}
		if rapid.Bool().Draw(t, "with expiry") {
			c.ExpiresAt = new(drawExpiry(t, true))
		}
		return c
	default:
		return domain.SetField{Field: domain.Field{Key: drawFieldKey(t), Value: drawGiven(t)}, Expect: expect}
	}
}

// withExpectation gives the command with another precondition.
func withExpectation(c domain.SecretCommand, x domain.Expectation) domain.SecretCommand {
	switch c := c.(type) {
	case domain.CreateSecret:
		c.Expect = x
		return c
	case domain.SetField:
		c.Expect = x
		return c
	case domain.RemoveField:
		c.Expect = x
		return c
	case domain.UpdateMetadata:
		c.Expect = x
		return c
	case domain.DeleteSecret:
		c.Expect = x
		return c
	}
	return c
}

// verified stands in for the sealer: it claims a key for a new incarnation
// and names the data keys. Plaintext values stay open, as Decide reads them.
func verified(event domain.Event, version uint64) domain.Event {
	name := func(f domain.Field) domain.Field {
		if e, ok := f.Value.(domain.Envelope); ok {
			sum := sha256.Sum256([]byte(e.DataKey))
			f.DekID = domain.DekID(sum[:16])
		}
		return f
	}
	switch e := event.(type) { //nolint:gochecksumtype // the sealer changes these two alone.
	case domain.SecretCreated:
		e.KekIDs = []domain.KekID{{byte(version), 1}}
		e.Fields = slices.Clone(e.Fields)
		for i := range e.Fields {
			e.Fields[i] = name(e.Fields[i])
		}
		return e
	case domain.FieldSet:
		e.Field = name(e.Field)
		return e
	default:
		return event
	}
}

// secretLog is one secret with the events that led to it.
type secretLog struct {
	chronicle
	state  domain.Secret
	events []domain.Recorded
}

func newSecretLog() *secretLog { return &secretLog{state: domain.Secret{Ref: secretRef()}} }

// do decides and records.
func (l *secretLog) do(c domain.SecretCommand) (domain.Event, error) {
	event, err := domain.Decide(l.state, c)
	if err != nil || event == nil {
		return nil, err
	}
	r := l.record(domain.SecretStream{Ref: l.state.Ref}, l.state.Version+1, verified(event, l.state.Version+1))
	l.events = append(l.events, r)
	l.state.Apply(r)
	return event, nil
}

// must is do for commands that have to lead to an event.
func (l *secretLog) must(t rapid.TB, commands ...domain.SecretCommand) {
	t.Helper()
	for _, c := range commands {
		if event, err := l.do(c); err != nil || event == nil {
			t.Fatalf("%T: event %v, error %v", c, event, err)
		}
	}
}

// deepValue copies what Clone may share.
func deepValue(v domain.Value) domain.Value {
	switch v := v.(type) {
	case domain.Envelope:
		v.Ciphertext = slices.Clone(v.Ciphertext)
		return v
	case domain.Sealed:
		v.Box = slices.Clone(v.Box)
		return v
	case domain.Plaintext:
		return domain.NewPlaintext(strings.Clone(v.Reveal()))
	}
	return nil
}

func deepFields(fields []domain.Field) []domain.Field {
	fields = slices.Clone(fields)
	for i := range fields {
		fields[i].Value = deepValue(fields[i].Value)
	}
	return fields
}

func deepSecret(s domain.Secret) domain.Secret {
	s = s.Clone()
	for i := range s.Fields {
		s.Fields[i].Value = deepValue(s.Fields[i].Value)
	}
	return s
}

func deepCommand(c domain.SecretCommand) domain.SecretCommand {
	switch c := c.(type) {
	case domain.CreateSecret:
		c.Tags, c.Fields = slices.Clone(c.Tags), deepFields(c.Fields)
		return c
	case domain.SetField:
		c.Field = deepFields([]domain.Field{c.Field})[0]
		return c
	case domain.UpdateMetadata:
		if c.Name != nil {
			c.Name = new(*c.Name)
		}
		if c.Category != nil {
			c.Category = new(*c.Category)
		}
		if c.Tags != nil {
			c.Tags = new(slices.Clone(*c.Tags))
		}
		if c.RotateEvery != nil {
			c.RotateEvery = new(*c.RotateEvery)
		}
		if c.ExpiresAt != nil {
			c.ExpiresAt = new(*c.ExpiresAt)
		}
		return c
	case domain.RemoveField, domain.DeleteSecret:
	}
	return c
}
