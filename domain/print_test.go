package domain_test

import (
	"bytes"
	"context"
	"encoding"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/chancery-dev/chancery/domain"
)

const canary = "c4NaRy-\x01🔑-tWeeT"

// knownTraces lists what the canary can look like in a line of text.
var knownTraces = sync.OnceValue(func() map[string]string {
	each := func(format, between string) string {
		var parts []string
		for _, b := range []byte(canary) {
			parts = append(parts, fmt.Sprintf(format, b))
		}
		return strings.Join(parts, between)
	}
	whole := canary[:len(canary)/3*3] // what base64 gives whatever comes behind
	return map[string]string{
		"text":         canary,
		"start":        canary[:7],
		"end":          canary[len(canary)-6:],
		"quoted":       strings.Trim(fmt.Sprintf("%q", canary), `"`),
		"quoted ASCII": strings.Trim(fmt.Sprintf("%+q", canary), `"`),
		"hex":          hex.EncodeToString([]byte(canary)),
		"HEX":          strings.ToUpper(hex.EncodeToString([]byte(canary))),
		"hex apart":    each("%x", " "),
		"0xhex":        each("0x%x", " "),
		"Go bytes":     each("0x%x", ", "),
		"base64":       base64.StdEncoding.EncodeToString([]byte(whole)),
		"base64url":    base64.URLEncoding.EncodeToString([]byte(whole)),
		"decimal":      each("%d", " "),
		"JSON bytes":   each("%d", ","),
		"octal":        each("%o", " "),
		"binary":       each("%b", " "),
		"characters":   each("%c", " "),
		"code points":  each("%U", " "),
		"quoted runes": each("%q", " "),
	}
})

func leak(text string) (how string, leaks bool) {
	for how, trace := range knownTraces() {
		if strings.Contains(text, trace) {
			return how, true
		}
	}
	return "", false
}

// The detector finds the canary in everything that fmt makes of plain text
// and bytes; else the tests below could not fail.
func TestTheCanaryDetectorSings(t *testing.T) {
	for _, verb := range "sqvxXdobcU" {
		for _, holder := range []any{[]byte(canary), struct{ B []byte }{[]byte(canary)}, struct{ s string }{canary}} {
			text := fmt.Sprintf("%"+string(verb), holder)
			if _, ok := leak(text); !ok {
				t.Errorf("%%%c of %T goes unnoticed: %s", verb, holder, text)
			}
		}
	}
}

// values gives each kind of value with the canary in every part of it.
func canaryValues() map[string]domain.Value {
	e := domain.Envelope{Ciphertext: []byte(canary), DataKey: canary}
	copy(e.IV[:], canary)
	copy(e.AuthTag[:], canary)
	return map[string]domain.Value{
		"Plaintext": domain.NewPlaintext(canary),
		"Envelope":  e,
		"Sealed":    domain.Sealed{Box: []byte(canary)},
	}
}

// holders gives everything in the domain that can hold the value.
func holders(v domain.Value) map[string]any {
	field := domain.Field{Key: "k", Value: v}
	state := domain.SecretField{Key: "k", Value: v}
	secret := domain.Secret{Ref: secretRef(), Exists: true, Fields: []domain.SecretField{state}}
	created := domain.SecretCreated{Name: "N", Fields: []domain.Field{field}}
	recorded := domain.Recorded{Stream: domain.SecretStream{Ref: secretRef()}, Version: 1, Event: created}
	create := domain.CreateSecret{Name: "N", Fields: []domain.Field{field}}
	return map[string]any{
		"value":           v,
		"pointer":         &v,
		"slice":           []domain.Value{v, v},
		"map":             map[string]domain.Value{"k": v},
		"any":             []any{v},
		"Field":           field,
		"*Field":          &field,
		"[]Field":         []domain.Field{field},
		"SecretField":     state,
		"Secret":          secret,
		"*Secret":         &secret,
		"SecretCreated":   created,
		"FieldSet":        domain.FieldSet{Field: field},
		"Body":            domain.BodyOf(created),
		"Proposed":        domain.Proposed{Event: created},
		"Recorded":        recorded,
		"*Recorded":       &recorded,
		"CreateSecret":    create,
		"SetField":        domain.SetField{Field: field},
		"SecretRequest":   domain.SecretRequest{Command: create},
		"SecretResult":    domain.SecretResult{Secret: secret},
		"EffectiveSecret": domain.EffectiveSecret{Secret: secret},
		"DirectoryResult": domain.DirectoryResult{Event: created},
		"HistoryEntry":    domain.Metadata(recorded),
	}
}

// everyHolder runs f for each holder of each kind of value.
func everyHolder(t *testing.T, f func(t *testing.T, holder any)) {
	t.Helper()
	for kind, v := range canaryValues() {
		for name, holder := range holders(v) {
			t.Run(kind+"/"+name, func(t *testing.T) { f(t, holder) })
		}
	}
}

func refuseLeak(t *testing.T, what, text string) {
	t.Helper()
	if how, ok := leak(text); ok {
		t.Fatalf("%s shows the value as %s: %q", what, how, text)
	}
}

// formats lists every verb with the flags. Without p and w, which fmt settles
// before it asks a type: see TestPlaintextHidesFromReflection.
func formats(flags ...string) []string {
	var list []string
	for _, flags := range flags {
		for verb := 'A'; verb <= 'z'; verb++ {
			if (verb <= 'Z' || verb >= 'a') && verb != 'p' && verb != 'w' {
				list = append(list, "%"+flags+string(verb))
			}
		}
	}
	return list
}

// Invariant 3: a value never prints, whatever the verb and whatever holds it.
func TestValuesNeverPrint(t *testing.T) {
	everyHolder(t, func(t *testing.T, holder any) {
		for _, format := range formats("", "+", "#") {
			refuseLeak(t, format, fmt.Sprintf(format, holder))
		}
		refuseLeak(t, "Sprint", fmt.Sprint(holder))
		refuseLeak(t, "Sprintln", fmt.Sprintln(holder, holder))
		refuseLeak(t, "an extra argument", fmt.Sprintf(strings.Clone("no verb"), holder))
		refuseLeak(t, "an error", fmt.Errorf("of %v", holder).Error())
		refuseLeak(t, "a refusal", domain.Errorf(domain.CodeInvalidRequest, "of %+v", holder).Error())
	})
}

// A value alone prints as nothing but the redaction, so not even its length
// shows.
func TestValuesPrintRedacted(t *testing.T) {
	for kind, v := range canaryValues() {
		for _, format := range formats("", "+", "#", "-", " ", "0", "# ", "60", ".3", "+#60.40") {
			if format[len(format)-1] == 'T' {
				continue
			}
			if got := fmt.Sprintf(format, v); got != domain.Redacted {
				t.Errorf("%s of %s: %q", format, kind, got)
			}
		}
		s, isStringer := v.(fmt.Stringer)
		g, isGoStringer := v.(fmt.GoStringer)
		l, isLogValuer := v.(slog.LogValuer)
		if !isStringer || !isGoStringer || !isLogValuer {
			t.Fatalf("%s lacks a method", kind)
		}
		for _, got := range []string{s.String(), g.GoString(), l.LogValue().String()} {
			if got != domain.Redacted {
				t.Errorf("%s: %q", kind, got)
			}
		}
	}
}

// A plaintext stays hidden where fmt goes by reflection and asks no method:
// in an unexported member, and after a verb that it refuses.
func TestPlaintextHidesFromReflection(t *testing.T) {
	p := domain.NewPlaintext(canary)
	field := domain.Field{Key: "k", Value: p}
	for name, holder := range map[string]any{
		"value":  p,
		"member": struct{ p domain.Plaintext }{p},
		"deep":   struct{ f []domain.Field }{[]domain.Field{field}},
		"map":    struct{ m map[string]domain.Value }{map[string]domain.Value{"k": p}},
	} {
		for _, format := range append(formats("", "+", "#", " ", ".3"), "%p", "%w", "%+w", "%#p") {
			refuseLeak(t, format+" of "+name, fmt.Sprintf(format, holder))
			refuseLeak(t, format+" in an error of "+name, fmt.Errorf(format, holder).Error())
		}
		for handler, log := range logOf(t, slog.Any("holder", holder)) {
			refuseLeak(t, handler+" of "+name, log)
		}
	}
}

// logOf gives what the standard handlers write for an attribute.
func logOf(t *testing.T, attr slog.Attr) map[string]string {
	t.Helper()
	var text, js bytes.Buffer
	options := &slog.HandlerOptions{AddSource: true, Level: slog.LevelDebug}
	for _, h := range []slog.Handler{slog.NewTextHandler(&text, options), slog.NewJSONHandler(&js, options)} {
		logger := slog.New(h)
		logger.LogAttrs(t.Context(), slog.LevelError, "alone", attr)
		logger.WithGroup("group").With(attr).LogAttrs(t.Context(), slog.LevelDebug, "with", slog.GroupAttrs("inner", attr))
	}
	if !strings.Contains(text.String(), "alone") || !strings.Contains(js.String(), "alone") {
		t.Fatal("nothing was logged")
	}
	return map[string]string{"text": text.String(), "JSON": js.String()}
}

func TestValuesAreNotLogged(t *testing.T) {
	everyHolder(t, func(t *testing.T, holder any) {
		for handler, log := range logOf(t, slog.Any("holder", holder)) {
			refuseLeak(t, handler, log)
		}
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Log(context.Background(), slog.LevelInfo, "args", "holder", holder)
		refuseLeak(t, "arguments", out.String())
	})
}

// Generic encoders fail on whatever holds a value, and their errors do not
// show it. A history entry holds none and encodes.
func TestValuesAreNotEncoded(t *testing.T) {
	everyHolder(t, func(t *testing.T, holder any) {
		out, err := json.Marshal(holder)
		_, isEntry := holder.(domain.HistoryEntry)
		if (err == nil) != isEntry {
			t.Errorf("json.Marshal: error %v", err)
		}
		refuseLeak(t, "json.Marshal", string(out))
		if err != nil {
			refuseLeak(t, "its error", err.Error())
		}
	})
	for kind, v := range canaryValues() {
		m, ok := v.(encoding.TextMarshaler)
		if !ok {
			t.Fatalf("%s has no MarshalText", kind)
		}
		text, err := m.MarshalText()
		if err == nil || text != nil {
			t.Errorf("MarshalText of %s: %q, %v", kind, text, err)
		}
		refuseLeak(t, "the error", err.Error())
	}
}

// No refusal repeats what was sent.
func TestRefusalsNeverRepeatInput(t *testing.T) {
	parsers := map[string]func(string) error{
		"SecretID":    func(s string) error { _, err := domain.ParseSecretID(s); return err },
		"FieldKey":    func(s string) error { _, err := domain.ParseFieldKey(s); return err },
		"OrgID":       func(s string) error { _, err := domain.ParseOrgID(s); return err },
		"prefixed":    func(s string) error { _, err := domain.ParseOrgID(domain.OrgPrefix + s); return err },
		"AgentID":     func(s string) error { _, err := domain.ParseAgentID(s); return err },
		"APIKeyID":    func(s string) error { _, err := domain.ParseAPIKeyID(s); return err },
		"KekID":       func(s string) error { _, err := domain.ParseKekID(s); return err },
		"DekID":       func(s string) error { _, err := domain.ParseDekID(s); return err },
		"Role":        func(s string) error { _, err := domain.ParseRole(s); return err },
		"ScopeKind":   func(s string) error { _, err := domain.ParseScopeKind(s); return err },
		"Scope":       func(s string) error { _, err := domain.ParseScope("org", s); return err },
		"Stream":      func(s string) error { _, err := domain.ParseStream(s); return err },
		"Sensitivity": func(s string) error { _, err := domain.ParseSensitivity(s); return err },
		"Name":        func(s string) error { _, err := domain.ParseName(s); return err },
		"Category":    func(s string) error { _, err := domain.ParseCategory(s); return err },
		"Tag":         func(s string) error { _, err := domain.ParseTag(s); return err },
		"Tags":        func(s string) error { _, err := domain.ParseTags([]string{"a", s}); return err },
		"Note":        func(s string) error { _, err := domain.ParseNote(s); return err },
	}
	for name, parse := range parsers {
		for _, input := range []string{canary, strings.Repeat(canary, 300)} {
			err := parse(input)
			if err == nil {
				t.Errorf("%s accepts a control character", name)
				continue
			}
			if _, ok := errors.AsType[*domain.Error](err); !ok {
				t.Errorf("%s: not a refusal: %v", name, err)
			}
			refuseLeak(t, name, fmt.Sprintf("%+v", err))
		}
	}
}

// No refusal of Decide repeats a value.
func TestDecideNeverRepeatsValues(t *testing.T) {
	refusals := 0
	for _, v := range canaryValues() {
		for _, given := range canaryValues() {
			s := domain.Secret{Ref: secretRef(), Version: 1, Exists: true, Name: "N", Fields: []domain.SecretField{
				{Key: "k", Sensitivity: v.Sensitivity(), Value: v},
			}}
			field := domain.Field{Key: "k", Value: given}
			for _, c := range []domain.SecretCommand{
				domain.SetField{Field: field},
				domain.SetField{Field: field, Expect: domain.Expectation{Version: 2}},
				domain.CreateSecret{Name: "M", Fields: []domain.Field{field}},
				domain.CreateSecret{Name: "N", Fields: []domain.Field{field}},
			} {
				if _, err := domain.Decide(s, c); err != nil {
					refusals++
					refuseLeak(t, "a refusal", fmt.Sprintf("%+v", err))
				}
			}
		}
	}
	if refusals == 0 {
		t.Error("nothing was refused")
	}
}
