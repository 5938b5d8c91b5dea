package eventstore_test

import (
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// TestSecretLife: every command answers with exactly the state it led to, the
// event, its position, version and folded time; what is already so appends
// nothing; and this node shows the change before the answer.
func TestSecretLife(t *testing.T) {
	onEachLog(t, func(t *testing.T, w *world) {
		n := w.node()
		c, ref := n.as(alice), secretRef("db")
		n.as(bob).do(secretRef("other"), create()) // so that versions are not positions
		want := domain.Secret{Ref: ref}
		// step carries out a command whose event changes what is wanted, then
		// the same again where it asks for a state.
		step := func(command domain.SecretCommand, kind domain.EventType, change func(position, version uint64)) domain.SecretResult {
			t.Helper()
			w.wait(1500 * time.Microsecond)
			at := w.clock().Truncate(time.Millisecond)
			res := c.do(ref, command)
			version, position := want.Version+1, uint64(len(w.events()))
			want.Version, want.Head = version, position
			if want.Exists || kind == domain.TypeSecretCreated {
				want.UpdatedAt, want.UpdatedBy = at, string(alice)
			}
			change(position, version)
			result := domain.SecretResult{Secret: want, Event: kind, Position: position, Version: version, At: at}
			same(t, "the state of "+string(kind), want, n.opened(ref))
			if kind == domain.TypeFieldSet {
				// Only the field that was set is open.
				field := to[domain.SetField](command).Field
				sealed, err := n.state.Secret(ref)
				if err != nil {
					t.Fatal(err)
				}
				result.Secret = sealed.WithValues([]domain.Field{field})
			}
			if kind == domain.TypeFieldRemoved {
				result.Secret, _ = n.state.Secret(ref)
			}
			result.KeyDestroyed = kind == domain.TypeSecretDeleted
			same(t, string(kind), result, res)
			return res
		}
		again := func(command domain.SecretCommand) {
			t.Helper()
			w.wait(time.Millisecond)
			w.unchanged(func() {
				res := c.do(ref, command)
				if res.Event != "" || res.Version != want.Version || res.Position != n.state.Position() || !res.At.Equal(want.UpdatedAt) || res.Replayed {
					t.Errorf("%T again: %+v", command, res)
				}
				same(t, "the same again", want.Name, res.Secret.Name)
			})
		}
		field := func(f domain.Field, at time.Time, version uint64, dek domain.DekID) domain.SecretField {
			return domain.SecretField{
				Key: f.Key, Sensitivity: f.Value.Sensitivity(), Version: version, UpdatedAt: at, UpdatedBy: string(alice), DekID: dek, Value: f.Value,
			}
		}
		dekOf := func(key domain.FieldKey) domain.DekID {
			s, _ := n.state.Secret(ref)
			f, _ := s.Field(key)
			return f.DekID
		}

		user, password := plain("user", "alice"), c.encrypted(ref, "password", "hunter2")
		first := create(user, password) // not in the order of keys
		step(first, domain.TypeSecretCreated, func(position, version uint64) {
			at, stored := w.clock().Truncate(time.Millisecond), n.opened(ref)
			if len(stored.KekIDs) != 1 || dekOf("password").IsZero() {
				t.Fatalf("keys %v", stored.KekIDs)
			}
			want = domain.Secret{
				Ref: ref, Version: version, Head: position, Exists: true, Name: "Name", Category: "api", Tags: []string{"a", "b"},
				KekIDs: stored.KekIDs, CreatedAt: at, CreatedBy: string(alice), UpdatedAt: at, UpdatedBy: string(alice), Incarnation: 1,
				Fields: []domain.SecretField{field(password, at, 1, dekOf("password")), field(user, at, 1, domain.DekID{})},
			}
		})
		again(first)
		user = plain("user", "bob")
		step(set(user), domain.TypeFieldSet, func(_, version uint64) {
			want.Fields[1] = field(user, want.UpdatedAt, version, domain.DekID{})
		})
		again(set(user))
		password = c.encrypted(ref, "password", "correct horse")
		step(set(password), domain.TypeFieldSet, func(_, version uint64) {
			want.Fields[0] = field(password, want.UpdatedAt, version, dekOf("password"))
		})
		again(set(password))
		if value, err := n.as(bob).reveal(ref, "password", to[domain.Envelope](password.Value)); err != nil || value != "correct horse" {
			t.Errorf("the envelope opens as %q, %v", value, err)
		}
		patch := domain.UpdateMetadata{Name: ptr("Other"), Category: ptr("database"), Tags: ptr([]string(nil))}
		step(patch, domain.TypeSecretRenamed, func(_, _ uint64) { want.Name, want.Category, want.Tags = "Other", "database", nil })
		again(patch)
		step(domain.UpdateMetadata{Tags: ptr([]string{"z"})}, domain.TypeSecretReclassified, func(_, _ uint64) { want.Tags = []string{"z"} })
		step(domain.RemoveField{Key: "user"}, domain.TypeFieldRemoved, func(_, _ uint64) { want.Fields = want.Fields[:1] })
		keys := want.KekIDs
		deleted := step(domain.DeleteSecret{}, domain.TypeSecretDeleted, func(position, version uint64) {
			want = domain.Secret{Ref: ref, Version: version, Head: position, DeletedAt: w.clock().Truncate(time.Millisecond)}
		})
		if w.stored(keys[0]) || n.deleted.Load() != 1 {
			t.Error("the key is there, or nobody was told")
		}
		recreated := c.do(ref, create(plain("user", "carol")))
		if recreated.Version != deleted.Version+1 || recreated.Secret.Incarnation != recreated.Version || recreated.Secret.KekIDs[0] == keys[0] {
			t.Errorf("made again: %+v", recreated)
		}
		same(t, "the log", []domain.EventType{
			domain.TypeSecretCreated, domain.TypeFieldSet, domain.TypeFieldSet, domain.TypeSecretRenamed, domain.TypeSecretReclassified,
			domain.TypeFieldRemoved, domain.TypeSecretDeleted, domain.TypeSecretCreated,
		}, types(w.stream(stream(ref))))
	})
}

// TestRefusals: what Decide refuses passes through and appends nothing, in
// the order of the wire contract.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	c, ref, missing := w.node().as(alice), secretRef("s"), secretRef("missing")
	c.do(ref, create(plain("p", "x"), c.encrypted(ref, "e", "y")))
	wrong := domain.Expectation{Version: 9}
	used := to[domain.Envelope](c.opened(ref).Fields[0].Value)
	for _, tt := range []struct {
		name    string
		ref     domain.SecretRef
		command domain.SecretCommand
		code    domain.Code
	}{
		{"set in none", missing, set(plain("p", "x")), domain.CodeSecretNotFound},
		{"remove in none", missing, domain.RemoveField{Key: "p"}, domain.CodeSecretNotFound},
		{"update none", missing, rename("n"), domain.CodeSecretNotFound},
		{"delete none", missing, domain.DeleteSecret{Expect: wrong}, domain.CodeSecretNotFound},
		{"match none", missing, domain.CreateSecret{Name: "n", Category: "c", Expect: domain.Expectation{Any: true}}, domain.CodeVersionMismatch},
		{"remove no field", ref, domain.RemoveField{Key: "none", Expect: wrong}, domain.CodeFieldNotFound},
		{"set at another version", ref, domain.SetField{Field: plain("p", "x"), Expect: wrong}, domain.CodeVersionMismatch},
		{"delete at another version", ref, domain.DeleteSecret{Expect: wrong}, domain.CodeVersionMismatch},
		{"another secret", ref, create(), domain.CodeSecretExists},
		{"downgrade", ref, set(plain("e", "y")), domain.CodeSensitivityDowngrade},
		{"exists before mismatch", ref, create(domain.Field{Key: "e", Value: domain.Envelope{DataKey: "none"}}), domain.CodeSecretExists},
		{"no data key", ref, set(domain.Field{Key: "e", Value: domain.Envelope{DataKey: "none"}}), domain.CodeDataKeyMismatch},
		{"another field's data key", ref, set(domain.Field{Key: "f", Value: used}), domain.CodeDataKeyMismatch},
		{"a used data key", ref, set(domain.Field{Key: "e", Value: domain.Envelope{DataKey: used.DataKey}}), domain.CodeDataKeyReused},
	} {
		t.Run(tt.name, func(*testing.T) { c.refused(tt.ref, tt.command, tt.code) })
	}
	full := secretRef("full")
	many := create()
	for i := range domain.MaxFields {
		many.Fields = append(many.Fields, plain(domain.FieldKey("f"+string(rune('A'+i/26))+string(rune('a'+i%26))), "v"))
	}
	c.do(full, many)
	c.refused(full, set(plain("one", "more")), domain.CodeTooManyFields)
	if res := c.do(full, set(plain("fAa", "w"))); res.Version != 2 {
		t.Errorf("replacing a field of a full secret: %+v", res)
	}
}
