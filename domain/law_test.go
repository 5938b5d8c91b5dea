package domain_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// drawSecretLog gives a secret with a random past.
func drawSecretLog(t *rapid.T) *secretLog {
	l := newSecretLog()
	for range rapid.IntRange(0, 12).Draw(t, "past") {
		_, _ = l.do(drawSecretCommand(t, l.state.Version)) // a refusal is as good a step
	}
	return l
}

// Invariant 2: an identical command appends nothing. A repeated removal has
// nothing to remove.
func TestIdenticalCommandAppendsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawSecretLog(t)
		c := drawSecretCommand(t, l.state.Version)
		if _, err := l.do(c); err != nil {
			return
		}
		again := withExpectation(c, rapid.SampledFrom([]domain.Expectation{{}, {Version: l.state.Version}}).Draw(t, "expectation"))
		var want domain.Code
		switch c.(type) {
		case domain.RemoveField:
			want = domain.CodeFieldNotFound
		case domain.DeleteSecret:
			want = domain.CodeSecretNotFound
		case domain.CreateSecret, domain.SetField, domain.UpdateMetadata:
		}
		event, err := domain.Decide(l.state, again)
		if event != nil || domain.CodeOf(err) != want {
			t.Fatalf("%T again: event %v, error %v", c, event, err)
		}
	})
}

// Decide is pure: neither it nor the Apply of its event changes the state and
// the command that it was given, and it decides the same again.
func TestDecideMutatesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawSecretLog(t)
		c := drawSecretCommand(t, l.state.Version)
		state, stateBefore, commandBefore := l.state, deepSecret(l.state), deepCommand(c)
		event, err := domain.Decide(state, c)
		check := func(when string) {
			t.Helper()
			if diff := cmp.Diff(stateBefore, state); diff != "" {
				t.Fatalf("%s changed the state:\n%s", when, diff)
			}
			if diff := cmp.Diff(commandBefore, c); diff != "" {
				t.Fatalf("%s changed the command:\n%s", when, diff)
			}
		}
		check("Decide")
		again, errAgain := domain.Decide(state, c)
		if diff := cmp.Diff(event, again); diff != "" || domain.CodeOf(err) != domain.CodeOf(errAgain) {
			t.Fatalf("decided differently (%v, then %v):\n%s", err, errAgain, diff)
		}
		_, _ = l.do(c)
		check("Apply")
	})
}

// Decide needs no more stored values than Compared names: with those open and
// all others sealed it decides as with all open. With one of those sealed it
// is an internal fault or a decision that did not need it, never another one.
func TestComparedIsWhatDecideReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawSecretLog(t)
		c := drawSecretCommand(t, l.state.Version)
		compared := domain.Compared(l.state, c)
		partly, shut := deepSecret(l.state), deepSecret(l.state)
		for i, f := range l.state.Fields {
			if f.Sensitivity != domain.SensitivityPlaintext {
				continue
			}
			shut.Fields[i].Value = domain.Sealed{Box: []byte("sealed")}
			if !slices.Contains(compared, f.Key) {
				partly.Fields[i].Value = shut.Fields[i].Value
			}
		}
		want, wantErr := domain.Decide(l.state, c)
		got, err := domain.Decide(partly, c)
		if diff := cmp.Diff(want, got); diff != "" || domain.CodeOf(err) != domain.CodeOf(wantErr) {
			t.Fatalf("%T with %v open: %v, want %v\n%s", c, compared, err, wantErr, diff)
		}
		got, err = domain.Decide(shut, c)
		if domain.CodeOf(err) == domain.CodeInternal && len(compared) > 0 {
			return
		}
		if diff := cmp.Diff(want, got); diff != "" || domain.CodeOf(err) != domain.CodeOf(wantErr) {
			t.Fatalf("%T with nothing open: %v, want %v\n%s", c, err, wantErr, diff)
		}
	})
}

// Compared asks for nothing that is not a stored plaintext given again.
func TestCompared(t *testing.T) {
	state := statesOfSecret(t)["small"]
	for what, tc := range map[string]struct {
		command domain.SecretCommand
		want    []domain.FieldKey
	}{
		"plaintext again":     {set("open", domain.NewPlaintext("y")), []domain.FieldKey{"open"}},
		"plaintext over shut": {set("shut", domain.NewPlaintext("y")), nil},
		"envelope over open":  {set("open", envelopeOf("y")), nil},
		"a new field":         {set("new", domain.NewPlaintext("y")), nil},
		"create": {
			create("N", domain.Field{Key: "open", Value: domain.NewPlaintext("y")}, domain.Field{Key: "shut", Value: domain.NewPlaintext("y")}),
			[]domain.FieldKey{"open"},
		},
		"remove": {domain.RemoveField{Key: "open"}, nil},
		"update": {domain.UpdateMetadata{Name: new("M")}, nil},
		"delete": {domain.DeleteSecret{}, nil},
	} {
		if got := domain.Compared(state, tc.command); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", what, got, tc.want)
		}
	}
}

// SameContent is reflexive for decided events, and two commands on one state
// mean the same exactly if they lead to the same secret.
func TestSameContentMeansSameOutcome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawSecretLog(t)
		version := l.state.Version + 1
		stream := domain.SecretStream{Ref: l.state.Ref}
		outcome := func() (domain.Event, domain.Secret) {
			event, err := domain.Decide(l.state, drawSecretCommand(t, l.state.Version))
			if err != nil || event == nil {
				t.SkipNow()
			}
			log, state := l.chronicle, l.state.Clone()
			state.Apply(log.record(stream, version, verified(event, version)))
			return event, state
		}
		first, firstState := outcome()
		if !domain.SameContent(first, first) || !domain.SameContent(first, verified(first, version)) {
			t.Fatalf("%s is not the same as itself", first.Type())
		}
		second, secondState := outcome()
		want := cmp.Equal(firstState, secondState)
		if domain.SameContent(first, second) != want || domain.SameContent(second, first) != want {
			t.Fatalf("%s and %s: SameContent is not %t", first.Type(), second.Type(), want)
		}
	})
}

// SameContent of a secret's events sees each member of a request.
func TestSameContentSeesEachMember(t *testing.T) {
	state := statesOfSecret(t)["small"]
	decide := func(s domain.Secret, c domain.SecretCommand) domain.Event {
		event, err := domain.Decide(s, c)
		if err != nil || event == nil {
			t.Fatalf("%T: event %v, error %v", c, event, err)
		}
		return event
	}
	missing := domain.Secret{Ref: secretRef()}
	field := func(key domain.FieldKey, v domain.Value) domain.Field { return domain.Field{Key: key, Value: v} }
	iv, tag := envelopeOf("x"), envelopeOf("x")
	iv.IV[0], tag.AuthTag[0] = 1, 1
	different := map[string][]domain.Event{
		"create": {
			decide(missing, create("N", field("a", envelopeOf("x")))),
			decide(missing, create("M", field("a", envelopeOf("x")))),
			decide(missing, create("N", field("b", envelopeOf("x")))),
			decide(missing, create("N", field("a", envelopeOf("y")))),
			decide(missing, create("N", field("a", iv))),
			decide(missing, create("N", field("a", tag))),
			decide(missing, create("N", field("a", domain.NewPlaintext("x")))),
			decide(missing, create("N", field("a", domain.NewPlaintext("")))),
			decide(missing, create("N")),
			decide(missing, create("N", field("a", envelopeOf("x")), field("b", envelopeOf("x")))),
			decide(missing, domain.CreateSecret{Name: "N", Category: "d", Tags: []string{"t"}, Fields: []domain.Field{field("a", envelopeOf("x"))}}),
			decide(missing, domain.CreateSecret{Name: "N", Category: "c", Fields: []domain.Field{field("a", envelopeOf("x"))}}),
		},
		"change": {
			decide(state, domain.UpdateMetadata{Name: new("M")}),
			decide(state, domain.UpdateMetadata{Name: new("O")}),
			decide(state, domain.UpdateMetadata{Name: new("M"), Category: new("d")}),
			decide(state, domain.UpdateMetadata{Category: new("d")}),
			decide(state, domain.UpdateMetadata{Category: new("e")}),
			decide(state, domain.UpdateMetadata{Tags: new([]string{"u"})}),
			decide(state, domain.UpdateMetadata{Tags: new([]string{})}),
			decide(state, domain.UpdateMetadata{Tags: new([]string{}), RotateEvery: new(domain.RotateEvery(1))}),
			decide(state, domain.UpdateMetadata{RotateEvery: new(domain.RotateEvery(1))}),
			decide(state, domain.UpdateMetadata{RotateEvery: new(domain.RotateEvery(2))}),
			decide(state, domain.UpdateMetadata{RotateEvery: new(domain.RotateEvery(1)), ExpiresAt: new(genesis())}),
			decide(state, domain.UpdateMetadata{ExpiresAt: new(genesis())}),
			decide(state, domain.UpdateMetadata{ExpiresAt: new(genesis().Add(time.Millisecond))}),
			decide(state, set("open", domain.NewPlaintext("y"))),
			decide(state, set("open", domain.NewPlaintext("z"))),
			decide(state, set("other", domain.NewPlaintext("y"))),
			decide(state, domain.RemoveField{Key: "open"}),
			decide(state, domain.RemoveField{Key: "shut"}),
			decide(state, domain.DeleteSecret{}),
		},
	}
	for what, events := range different {
		for i, a := range events {
			for j, b := range events {
				if got := domain.SameContent(a, b); got != (i == j) {
					t.Errorf("%s %d and %d: %t", what, i, j, got)
				}
			}
			if domain.SameContent(a, nil) || domain.SameContent(nil, a) {
				t.Errorf("%s %d is the same as nothing", what, i)
			}
		}
	}
	if domain.SameContent(nil, nil) {
		t.Error("nothing is the same as nothing: no request appends it")
	}
}
