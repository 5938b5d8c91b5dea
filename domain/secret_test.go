package domain_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// Invariant 1: replay equals live. Folding the recorded events, taken apart
// into metadata and body and put together again, gives the state on which
// the next command was decided; their metadata alone give it without values.
func TestSecretReplayEqualsLive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newSecretLog()
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			_, _ = l.do(drawSecretCommand(t, l.state.Version)) // a refusal is as good a step
		}
		folded, metadata := domain.Secret{Ref: secretRef()}, domain.Secret{Ref: secretRef()}
		for _, r := range l.events {
			event, ok := domain.Compose(r.Event.Type(), r.Stream, domain.Describe(r.Stream, r.Event), domain.BodyOf(r.Event))
			if !ok {
				t.Fatalf("a recorded %s cannot be put together again", r.Event.Type())
			}
			r.Event = event
			folded.Apply(r)
			metadata.Replay(domain.Metadata(r))
		}
		if diff := cmp.Diff(l.state, folded); diff != "" {
			t.Fatalf("replay (-live +replayed):\n%s", diff)
		}
		bare := l.state.Clone()
		for i := range bare.Fields {
			bare.Fields[i].Value = nil
		}
		if diff := cmp.Diff(bare, metadata); diff != "" {
			t.Fatalf("replay of metadata (-live +replayed):\n%s", diff)
		}
	})
}

// model is what a caller believes a secret to be, from its own commands.
type model struct {
	exists         bool
	name, category string
	tags           []string
	fields         map[domain.FieldKey]domain.Value
}

func (m *model) obey(c domain.SecretCommand) {
	switch c := c.(type) {
	case domain.CreateSecret:
		*m = model{exists: true, name: c.Name, category: c.Category, tags: c.Tags, fields: map[domain.FieldKey]domain.Value{}}
		for _, f := range c.Fields {
			m.fields[f.Key] = f.Value
		}
	case domain.SetField:
		m.fields[c.Field.Key] = c.Field.Value
	case domain.RemoveField:
		delete(m.fields, c.Key)
	case domain.UpdateMetadata:
		if c.Name != nil {
			m.name = *c.Name
		}
		if c.Category != nil {
			m.category = *c.Category
		}
		if c.Tags != nil {
			m.tags = *c.Tags
		}
	case domain.DeleteSecret:
		*m = model{}
	}
}

func modelOf(s domain.Secret) model {
	m := model{exists: s.Exists, name: s.Name, category: s.Category, tags: s.Tags}
	if s.Exists {
		m.fields = map[domain.FieldKey]domain.Value{}
	}
	for _, f := range s.Fields {
		m.fields[f.Key] = f.Value
	}
	return m
}

// Every command that is not refused leaves the secret as its caller asked,
// whether or not it needed an event; a refused one changes nothing.
func TestCommandsDoWhatTheySay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newSecretLog()
		var believed model
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			c := drawSecretCommand(t, l.state.Version)
			before := len(l.events)
			event, err := l.do(c)
			if err == nil {
				believed.obey(c)
			}
			if appended := len(l.events) - before; appended != boolInt(event != nil) || err != nil && event != nil {
				t.Fatalf("%T: %d events, error %v", c, appended, err)
			}
			if diff := cmp.Diff(believed, modelOf(l.state), cmp.AllowUnexported(model{}), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%T (error %v) (-asked +is):\n%s", c, err, diff)
			}
		}
	})
}

// Versions are dense over deletions and new incarnations, and everything that
// carries one lies within the current incarnation.
func TestVersionsAreDense(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newSecretLog()
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			_, _ = l.do(drawSecretCommand(t, l.state.Version))
			s := l.state
			if s.Version != uint64(len(l.events)) || s.Head != l.position {
				t.Fatalf("version %d and head %d after %d events to position %d", s.Version, s.Head, len(l.events), l.position)
			}
			if !s.Exists {
				gone := domain.Secret{Ref: s.Ref, Version: s.Version, Head: s.Head, DeletedAt: s.DeletedAt}
				if diff := cmp.Diff(gone, s); diff != "" || s.DeletedAt.IsZero() != (s.Version == 0) {
					t.Fatalf("left of a deleted secret:\n%s", diff)
				}
				continue
			}
			born, last := l.events[s.Incarnation-1], l.events[len(l.events)-1]
			if !s.CreatedAt.Equal(born.At) || s.CreatedBy != born.Actor.ID || !s.DeletedAt.IsZero() {
				t.Fatalf("created %s by %s, deleted %s", s.CreatedAt, s.CreatedBy, s.DeletedAt)
			}
			if !s.UpdatedAt.Equal(last.At) || s.UpdatedBy != last.Actor.ID {
				t.Fatalf("updated %s by %s", s.UpdatedAt, s.UpdatedBy)
			}
			for i, f := range s.Fields {
				if i > 0 && s.Fields[i-1].Key >= f.Key {
					t.Fatalf("fields are out of order at %s", f.Key)
				}
				set := l.events[f.Version-1]
				if f.Version < s.Incarnation || !f.UpdatedAt.Equal(set.At) || f.UpdatedBy != set.Actor.ID {
					t.Fatalf("field %s: version %d, updated %s by %s", f.Key, f.Version, f.UpdatedAt, f.UpdatedBy)
				}
				if f.Sensitivity != f.Value.Sensitivity() || f.DekID.IsZero() != (f.Sensitivity == domain.SensitivityPlaintext) {
					t.Fatalf("field %s is %s with data key %s", f.Key, f.Sensitivity, f.DekID)
				}
			}
		}
	})
}

// Apply is total: no event in any order stops a fold, and none changes a copy
// that was taken before.
func TestSecretApplyIsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var log chronicle
		s := domain.Secret{Ref: secretRef()}
		for i := range rapid.IntRange(1, 20).Draw(t, "events") {
			event := drawEvent(t, rapid.SampledFrom(eventTypes()).Draw(t, "type"))
			r := log.record(domain.SecretStream{Ref: secretRef()}, uint64(i+1), event)
			shallow, deep := s, deepSecret(s)
			s.Apply(r)
			if s.Version != r.Version || s.Head != r.Position {
				t.Fatalf("version %d, head %d after %d at %d", s.Version, s.Head, r.Version, r.Position)
			}
			if diff := cmp.Diff(deep, shallow); diff != "" {
				t.Fatalf("%s changed a copy taken before:\n%s", event.Type(), diff)
			}
		}
	})
}

func TestSecretCloneSharesNothing(t *testing.T) {
	l := newSecretLog()
	l.must(t, domain.CreateSecret{
		Name: "N", Category: "c", Tags: []string{"t"},
		Fields: []domain.Field{{Key: "a", Value: domain.NewPlaintext("x")}},
	})
	c := l.state.Clone()
	if diff := cmp.Diff(l.state, c); diff != "" {
		t.Errorf("Clone (-original +clone):\n%s", diff)
	}
	c.Tags[0], c.KekIDs[0], c.Fields[0].Key = "changed", domain.KekID{9}, "changed"
	if s := l.state; s.Tags[0] != "t" || s.KekIDs[0] != (domain.KekID{1, 1}) || s.Fields[0].Key != "a" {
		t.Errorf("a change of the clone reached the original: %v", s)
	}
}

func TestSecretWithValues(t *testing.T) {
	l := newSecretLog()
	l.must(t, domain.CreateSecret{Name: "N", Category: "c", Fields: []domain.Field{
		{Key: "a", Value: domain.Sealed{Box: []byte("sealed a")}},
		{Key: "b", Value: domain.Sealed{Box: []byte("sealed b")}},
	}})
	before := deepSecret(l.state)
	got := l.state.WithValues([]domain.Field{
		{Key: "b", Value: domain.NewPlaintext("open")}, {Key: "unknown", Value: domain.NewPlaintext("lost")},
	})
	want := deepSecret(before)
	want.Fields[1].Value = domain.NewPlaintext("open")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("WithValues (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, l.state); diff != "" {
		t.Errorf("WithValues changed the original:\n%s", diff)
	}
	if f, ok := got.Field("unknown"); ok || !slices.Equal([]domain.FieldKey{"a", "b"}, []domain.FieldKey{got.Fields[0].Key, got.Fields[1].Key}) {
		t.Errorf("an unknown key was added: %v", f)
	}
}
