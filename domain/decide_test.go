package domain_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chancery-dev/chancery/domain"
)

// fieldsOf gives n plaintext fields named f00, f01, ….
func fieldsOf(n int) []domain.Field {
	var fields []domain.Field
	for i := range n {
		fields = append(fields, domain.Field{Key: domain.FieldKey(fmt.Sprintf("f%02d", i)), Value: domain.NewPlaintext("x")})
	}
	return fields
}

// statesOfSecret gives the states that a command can meet, each at version 1
// or more but for "missing".
func statesOfSecret(t *testing.T) map[string]domain.Secret {
	t.Helper()
	after := func(commands ...domain.SecretCommand) domain.Secret {
		l := newSecretLog()
		l.must(t, commands...)
		return l.state
	}
	small := domain.CreateSecret{Name: "N", Category: "c", Tags: []string{"t"}, Fields: []domain.Field{
		{Key: "open", Value: domain.NewPlaintext("x")}, {Key: "shut", Value: envelopeOf("x")},
	}}
	almost, full := small, small
	almost.Fields, full.Fields = fieldsOf(domain.MaxFields-1), fieldsOf(domain.MaxFields)
	full.Fields[0].Value = envelopeOf("x")
	return map[string]domain.Secret{
		"missing": {Ref: secretRef()},
		"deleted": after(small, domain.DeleteSecret{}),
		"small":   after(small),
		"almost":  after(almost),
		"full":    after(full),
		"empty":   after(domain.CreateSecret{Name: "N", Category: "c"}),
	}
}

func envelopeOf(s string) domain.Envelope {
	return domain.Envelope{Ciphertext: []byte(s), DataKey: "dk-" + s}
}

func create(name string, fields ...domain.Field) domain.CreateSecret {
	return domain.CreateSecret{Name: name, Category: "c", Tags: []string{"t"}, Fields: fields}
}

func set(key domain.FieldKey, v domain.Value) domain.SetField {
	return domain.SetField{Field: domain.Field{Key: key, Value: v}}
}

// The checks run in the wire contract's order: not found, version mismatch,
// identical, then exists, downgrade, too many fields. Each line fails every
// later check that it can, so only the order decides. "" means an event,
// "same" none.
func TestDecideOrderOfChecks(t *testing.T) {
	states := statesOfSecret(t)
	open := domain.Field{Key: "open", Value: domain.NewPlaintext("x")}
	shut := domain.Field{Key: "shut", Value: envelopeOf("x")}
	changedOpen := domain.Field{Key: "open", Value: domain.NewPlaintext("y")}
	pt := domain.NewPlaintext("x")
	renamed := domain.UpdateMetadata{Name: new("M")}
	unchanged := domain.UpdateMetadata{Name: new("N"), Category: new("c"), Tags: new([]string{"t"})}
	for _, tc := range []struct {
		state   string
		command domain.SecretCommand
		ifMatch string // "", "*", "right", "stale"
		want    domain.Code
	}{
		// Create of what is not there: any If-Match is a mismatch, first.
		{"missing", create("N", open), "", ""},
		{"missing", create("N", open), "*", domain.CodeVersionMismatch},
		{"missing", create("N", open), "stale", domain.CodeVersionMismatch},
		{"missing", create("N", fieldsOf(65)...), "*", domain.CodeVersionMismatch},
		{"missing", create("N", fieldsOf(65)...), "", domain.CodeTooManyFields},
		{"missing", create("N", fieldsOf(64)...), "", ""},
		{"deleted", create("N", open), "", ""},
		{"deleted", create("N", open), "*", domain.CodeVersionMismatch},
		{"deleted", create("N", open), "right", domain.CodeVersionMismatch},
		{"deleted", create("N", open), "stale", domain.CodeVersionMismatch},

		// Create of what is there.
		{"small", create("N", open, shut), "", "same"},
		{"small", create("N", shut, open), "", "same"},
		{"small", create("N", open, shut), "*", "same"},
		{"small", create("N", open, shut), "right", "same"},
		{"small", create("N", open, shut), "stale", domain.CodeVersionMismatch},
		{"small", create("M", open, shut), "", domain.CodeSecretExists},
		{"small", create("M", open, shut), "*", domain.CodeSecretExists},
		{"small", create("M", open, shut), "right", domain.CodeSecretExists},
		{"small", create("M", open, shut), "stale", domain.CodeVersionMismatch},
		{"small", create("N", changedOpen, shut), "", domain.CodeSecretExists},
		{"small", create("N", open), "", domain.CodeSecretExists},
		{"small", create("N"), "", domain.CodeSecretExists},
		{"small", create("N", open, shut, domain.Field{Key: "more", Value: pt}), "", domain.CodeSecretExists},
		{"small", create("N", open, domain.Field{Key: "shut", Value: pt}), "", domain.CodeSecretExists},
		{"small", create("N", fieldsOf(65)...), "", domain.CodeSecretExists},
		{"small", domain.CreateSecret{Name: "N", Category: "d", Tags: []string{"t"}, Fields: []domain.Field{open, shut}}, "", domain.CodeSecretExists},
		{"small", domain.CreateSecret{Name: "N", Category: "c", Fields: []domain.Field{open, shut}}, "", domain.CodeSecretExists},

		// A field's value.
		{"missing", set("open", pt), "", domain.CodeSecretNotFound},
		{"missing", set("open", pt), "stale", domain.CodeSecretNotFound},
		{"deleted", set("open", pt), "*", domain.CodeSecretNotFound},
		{"deleted", set("open", pt), "stale", domain.CodeSecretNotFound},
		{"small", set("open", pt), "", "same"},
		{"small", set("open", pt), "stale", domain.CodeVersionMismatch},
		{"small", set("open", domain.NewPlaintext("y")), "", ""},
		{"small", set("open", domain.NewPlaintext("y")), "right", ""},
		{"small", set("open", domain.NewPlaintext("y")), "stale", domain.CodeVersionMismatch},
		{"small", set("open", envelopeOf("x")), "", ""},
		{"small", set("shut", envelopeOf("x")), "", "same"},
		{"small", set("shut", envelopeOf("y")), "", ""},
		{"small", set("shut", pt), "", domain.CodeSensitivityDowngrade},
		{"small", set("shut", pt), "right", domain.CodeSensitivityDowngrade},
		{"small", set("shut", pt), "stale", domain.CodeVersionMismatch},
		{"small", set("more", pt), "", ""},
		{"almost", set("more", pt), "", ""},
		{"full", set("more", pt), "", domain.CodeTooManyFields},
		{"full", set("more", pt), "*", domain.CodeTooManyFields},
		{"full", set("more", pt), "stale", domain.CodeVersionMismatch},
		{"full", set("f01", pt), "", "same"},
		{"full", set("f01", domain.NewPlaintext("y")), "", ""},
		{"full", set("f00", pt), "", domain.CodeSensitivityDowngrade},

		// Removing.
		{"missing", domain.RemoveField{Key: "open"}, "stale", domain.CodeSecretNotFound},
		{"deleted", domain.RemoveField{Key: "open"}, "", domain.CodeSecretNotFound},
		{"small", domain.RemoveField{Key: "open"}, "", ""},
		{"small", domain.RemoveField{Key: "open"}, "right", ""},
		{"small", domain.RemoveField{Key: "open"}, "stale", domain.CodeVersionMismatch},
		{"small", domain.RemoveField{Key: "nope"}, "", domain.CodeFieldNotFound},
		{"small", domain.RemoveField{Key: "nope"}, "stale", domain.CodeFieldNotFound},
		{"empty", domain.RemoveField{Key: "open"}, "", domain.CodeFieldNotFound},

		// Metadata.
		{"missing", renamed, "", domain.CodeSecretNotFound},
		{"missing", renamed, "stale", domain.CodeSecretNotFound},
		{"deleted", unchanged, "*", domain.CodeSecretNotFound},
		{"small", renamed, "", ""},
		{"small", renamed, "right", ""},
		{"small", renamed, "stale", domain.CodeVersionMismatch},
		{"small", unchanged, "", "same"},
		{"small", unchanged, "right", "same"},
		{"small", unchanged, "stale", domain.CodeVersionMismatch},
		{"small", domain.UpdateMetadata{Tags: new([]string(nil))}, "", ""},
		{"empty", domain.UpdateMetadata{Tags: new([]string{})}, "", "same"},

		// Deleting.
		{"missing", domain.DeleteSecret{}, "", domain.CodeSecretNotFound},
		{"missing", domain.DeleteSecret{}, "stale", domain.CodeSecretNotFound},
		{"deleted", domain.DeleteSecret{}, "right", domain.CodeSecretNotFound},
		{"small", domain.DeleteSecret{}, "", ""},
		{"small", domain.DeleteSecret{}, "*", ""},
		{"small", domain.DeleteSecret{}, "right", ""},
		{"small", domain.DeleteSecret{}, "stale", domain.CodeVersionMismatch},
	} {
		t.Run(fmt.Sprintf("%s/%T/%s/%s", tc.state, tc.command, tc.ifMatch, tc.want), func(t *testing.T) {
			state := states[tc.state]
			expect := map[string]domain.Expectation{
				"": {}, "*": {Any: true}, "right": {Version: state.Version}, "stale": {Version: state.Version + 1},
			}[tc.ifMatch]
			event, err := domain.Decide(state, withExpectation(tc.command, expect))
			got := domain.CodeOf(err)
			if err == nil && event == nil {
				got = "same"
			}
			if got != tc.want {
				t.Errorf("%q (%v), want %q", got, err, tc.want)
			}
			if err != nil && event != nil {
				t.Errorf("a refusal with an event: %v", event)
			}
		})
	}
}

// What each command leads to.
func TestDecideEvents(t *testing.T) {
	states := statesOfSecret(t)
	name, category, tags := "N", "c", []string{"t"}
	for what, tc := range map[string]struct {
		state   string
		command domain.SecretCommand
		want    domain.Event
	}{
		"create sorts fields": {
			"missing", create("N", domain.Field{Key: "b", Value: envelopeOf("x")}, domain.Field{Key: "B", Value: domain.NewPlaintext("")}),
			domain.SecretCreated{Name: "N", Category: "c", Tags: []string{"t"}, Fields: []domain.Field{
				{Key: "B", Value: domain.NewPlaintext("")}, {Key: "b", Value: envelopeOf("x")},
			}},
		},
		"set":               {"small", set("new", envelopeOf("x")), domain.FieldSet{Field: domain.Field{Key: "new", Value: envelopeOf("x")}}},
		"remove encrypted":  {"small", domain.RemoveField{Key: "shut"}, domain.FieldRemoved{Key: "shut", Sensitivity: domain.SensitivityEncrypted}},
		"remove plaintext":  {"small", domain.RemoveField{Key: "open"}, domain.FieldRemoved{Key: "open", Sensitivity: domain.SensitivityPlaintext}},
		"delete names keys": {"small", domain.DeleteSecret{}, domain.SecretDeleted{KekIDs: []domain.KekID{{1, 1}}}},
		"rename alone": {
			"small",
			domain.UpdateMetadata{Name: new("M"), Category: new("c")},
			domain.SecretRenamed{Changes: domain.Changes{Name: &domain.Change[string]{From: &name, To: "M"}}},
		},
		"rename with the rest": {
			"small",
			domain.UpdateMetadata{Name: new("M"), Category: new("d"), Tags: new([]string{"a", "b"})},
			domain.SecretRenamed{Changes: domain.Changes{
				Name:     &domain.Change[string]{From: &name, To: "M"},
				Category: &domain.Change[string]{From: &category, To: "d"},
				Tags:     &domain.Change[[]string]{From: &tags, To: []string{"a", "b"}},
			}},
		},
		"category alone": {
			"small",
			domain.UpdateMetadata{Name: new("N"), Category: new("d")},
			domain.SecretReclassified{Changes: domain.Changes{Category: &domain.Change[string]{From: &category, To: "d"}}},
		},
		"tags alone, to none": {
			"small",
			domain.UpdateMetadata{Tags: new([]string(nil))},
			domain.SecretReclassified{Changes: domain.Changes{Tags: &domain.Change[[]string]{From: &tags, To: nil}}},
		},
	} {
		event, err := domain.Decide(states[tc.state], tc.command)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if diff := cmp.Diff(tc.want, event, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

// Removing an encrypted field first is the way from encrypted to plaintext,
// and removing the last field is allowed.
func TestDowngradeByRemoval(t *testing.T) {
	l := newSecretLog()
	l.must(
		t,
		create("N", domain.Field{Key: "a", Value: envelopeOf("x")}),
		domain.RemoveField{Key: "a"},
		set("a", domain.NewPlaintext("x")),
	)
	if f, ok := l.state.Field("a"); !ok || f.Sensitivity != domain.SensitivityPlaintext || !f.DekID.IsZero() {
		t.Errorf("the field is %+v", f)
	}
}
