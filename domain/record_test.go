package domain_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// recordTable says which members a record and its body have, by event type.
// One with a question mark may be missing; one that is not listed is refused.
const recordTable = `
secret.created       scope secretId kekIds name category tags? fields? bodyFields?
secret.field_set     scope secretId fields bodyFields
secret.field_removed scope secretId fields
secret.renamed       scope secretId name category? tags? rotateEvery? expiry?
secret.reclassified  scope secretId category? tags? rotateEvery? expiry?
secret.scheduled     scope secretId rotateEvery? expiry?
secret.deleted       scope secretId kekIds
org.created          scope name
org.renamed          scope name
org.archived         scope
org.restored         scope
team.created         scope name
team.renamed         scope name
team.archived        scope
team.restored        scope
project.created      scope name team?
project.renamed      scope name
project.archived     scope
project.restored     scope
agent.registered     scope name
agent.renamed        scope name
agent.archived       scope
agent.restored       scope
membership.granted   scope agent role
membership.revoked   scope agent role
apikey.issued        agent keyId expiresAt? note? lookupId hash?
apikey.revoked       agent keyId
key.destroyed        scope secretId kekIds
`

// members of a record are set to something strange, or taken out.
func members() map[string]struct {
	add, drop func(*domain.Details, *domain.Body)
} {
	type pair = struct {
		add, drop func(*domain.Details, *domain.Body)
	}
	stray := func() *domain.Change[string] { return &domain.Change[string]{To: "stray"} }
	sealed := domain.Field{Key: "stray", Value: domain.Sealed{Box: []byte("stray")}}
	return map[string]pair{
		"scope": {
			func(d *domain.Details, _ *domain.Body) { d.Scope = scopes()["lone2"] },
			func(d *domain.Details, _ *domain.Body) { d.Scope = domain.Scope{Kind: d.Scope.Kind} },
		},
		"secretId": {
			func(d *domain.Details, _ *domain.Body) { d.SecretID = "stray" },
			func(d *domain.Details, _ *domain.Body) { d.SecretID = "" },
		},
		"kekIds": {
			func(d *domain.Details, _ *domain.Body) { d.KekIDs = []domain.KekID{{1}} },
			func(d *domain.Details, _ *domain.Body) { d.KekIDs = nil },
		},
		"fields": {
			func(d *domain.Details, _ *domain.Body) {
				d.Fields = append(slices.Clone(d.Fields), domain.FieldMetadata{Key: "stray", Sensitivity: domain.SensitivityPlaintext})
			},
			func(d *domain.Details, _ *domain.Body) { d.Fields = nil },
		},
		"bodyFields": {
			func(_ *domain.Details, b *domain.Body) { b.Fields = append(slices.Clone(b.Fields), sealed) },
			func(_ *domain.Details, b *domain.Body) { b.Fields = nil },
		},
		"name": {
			func(d *domain.Details, _ *domain.Body) { d.Changes.Name = stray() },
			func(d *domain.Details, _ *domain.Body) { d.Changes.Name = nil },
		},
		"category": {
			func(d *domain.Details, _ *domain.Body) { d.Changes.Category = stray() },
			func(d *domain.Details, _ *domain.Body) { d.Changes.Category = nil },
		},
		"tags": {
			func(d *domain.Details, _ *domain.Body) {
				d.Changes.Tags = &domain.Change[[]string]{To: []string{"stray"}}
			},
			func(d *domain.Details, _ *domain.Body) { d.Changes.Tags = nil },
		},
		"rotateEvery": {
			func(d *domain.Details, _ *domain.Body) {
				d.Changes.RotateEvery = &domain.Change[domain.RotateEvery]{To: 7}
			},
			func(d *domain.Details, _ *domain.Body) { d.Changes.RotateEvery = nil },
		},
		"expiry": {
			func(d *domain.Details, _ *domain.Body) {
				d.Changes.ExpiresAt = &domain.Change[time.Time]{To: genesis()}
			},
			func(d *domain.Details, _ *domain.Body) { d.Changes.ExpiresAt = nil },
		},
		"team": {
			func(d *domain.Details, _ *domain.Body) { d.TeamID = "team_stray" },
			func(d *domain.Details, _ *domain.Body) { d.TeamID = "" },
		},
		"agent": {
			func(d *domain.Details, _ *domain.Body) { d.Agent = bob },
			func(d *domain.Details, _ *domain.Body) { d.Agent = "" },
		},
		"role": {
			func(d *domain.Details, _ *domain.Body) { d.Role = domain.RoleViewer },
			func(d *domain.Details, _ *domain.Body) { d.Role = "" },
		},
		"keyId": {
			func(d *domain.Details, _ *domain.Body) { d.KeyID = keyTwo },
			func(d *domain.Details, _ *domain.Body) { d.KeyID = "" },
		},
		"expiresAt": {
			func(d *domain.Details, _ *domain.Body) { d.ExpiresAt = genesis() },
			func(d *domain.Details, _ *domain.Body) { d.ExpiresAt = time.Time{} },
		},
		"note": {
			func(d *domain.Details, _ *domain.Body) { d.Note = "stray" },
			func(d *domain.Details, _ *domain.Body) { d.Note = "" },
		},
		"lookupId": {
			func(_ *domain.Details, b *domain.Body) { b.LookupID = "stray" },
			func(_ *domain.Details, b *domain.Body) { b.LookupID = "" },
		},
		"hash": {
			func(_ *domain.Details, b *domain.Body) { b.Hash = [32]byte{9} },
			func(_ *domain.Details, b *domain.Body) { b.Hash = [32]byte{} },
		},
	}
}

// Compose inverts Describe and BodyOf for events of every type.
func TestComposeInverts(t *testing.T) {
	for _, typ := range eventTypes() {
		t.Run(string(typ), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				stream, event := streamFor(typ), drawEvent(t, typ)
				got, ok := domain.Compose(typ, stream, domain.Describe(stream, event), domain.BodyOf(event))
				if !ok {
					t.Fatal("refused")
				}
				if diff := cmp.Diff(event, got, cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("(-event +composed):\n%s", diff)
				}
			})
		})
	}
}

// Compose refuses a member that does not belong to the type, and one that is
// missing.
func TestComposeRefusesStrayAndMissingMembers(t *testing.T) {
	tried := 0
	for line := range strings.Lines(strings.TrimSpace(recordTable)) {
		words := strings.Fields(line)
		typ, listed := domain.EventType(words[0]), words[1:]
		tried++
		t.Run(words[0], func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				stream, event := streamFor(typ), drawEvent(t, typ)
				for name, member := range members() {
					d, b := domain.Describe(stream, event), domain.BodyOf(event)
					switch {
					case slices.Contains(listed, name):
						member.drop(&d, &b)
					case slices.Contains(listed, name+"?"):
						continue
					default:
						member.add(&d, &b)
					}
					if got, ok := domain.Compose(typ, stream, d, b); ok {
						t.Fatalf("%s is stray or missing, and was accepted: %+v", name, got)
					}
				}
			})
		})
	}
	if tried != len(eventTypes()) {
		t.Errorf("the table has %d types of %d", tried, len(eventTypes()))
	}
}

// Compose refuses a type on a kind of stream that it does not lie on, another
// type's members, and types that there are not.
func TestComposeRefusesWrongStreamsAndTypes(t *testing.T) {
	types := append(eventTypes(), "", "secret", "secret.created ", "Secret.Created", "org.registered", "agent.created")
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom(eventTypes()).Draw(t, "type")
		event, own := drawEvent(t, typ), streamFor(typ)
		d, b := domain.Describe(own, event), domain.BodyOf(event)
		for _, stream := range []domain.Stream{
			domain.SecretStream{Ref: secretRef()}, domain.DirectoryStream{Org: home}, domain.KeysStream{Org: home}, nil,
		} {
			if stream == own {
				continue
			}
			for _, d := range []domain.Details{d, domain.Describe(stream, event)} {
				if _, ok := domain.Compose(typ, stream, d, b); ok {
					t.Fatalf("%s was accepted on a %T", typ, stream)
				}
			}
		}
		for _, another := range types {
			if got, ok := domain.Compose(another, own, d, b); ok && !sameMembers(typ, another) {
				t.Fatalf("a %s was accepted as %s: %+v", typ, another, got)
			}
		}
	})
	for _, typ := range []domain.EventType{"", "secret.created", "unknown"} {
		for _, stream := range []domain.Stream{domain.SecretStream{}, domain.DirectoryStream{}, domain.KeysStream{}, nil} {
			d := domain.Details{Changes: domain.Changes{Name: &domain.Change[string]{To: "N"}}}
			if got, ok := domain.Compose(typ, stream, d, domain.Body{}); ok {
				t.Errorf("type %q on %T was accepted: %#v", typ, stream, got)
			}
		}
	}
}

// sameMembers holds for types whose records differ in nothing but the type:
// archived and restored of one kind, granted and revoked.
func sameMembers(a, b domain.EventType) bool {
	kindA, verbA, _ := strings.Cut(string(a), ".")
	kindB, verbB, _ := strings.Cut(string(b), ".")
	pair := func(x, y string) bool { return verbA == x && verbB == y || verbA == y && verbB == x }
	return a == b || kindA == kindB && (pair("archived", "restored") || pair("granted", "revoked"))
}

// A secret's events do not compose on another secret's stream.
func TestComposeRefusesAnotherSecretsStream(t *testing.T) {
	sibling, moved := secretRef(), secretRef()
	sibling.ID, moved.Scope = "another", scopes()["lone"]
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom(eventTypes()[:7]).Draw(t, "type")
		event := drawEvent(t, typ)
		d, b := domain.Describe(streamFor(typ), event), domain.BodyOf(event)
		for _, ref := range []domain.SecretRef{sibling, moved} {
			if _, ok := domain.Compose(typ, domain.SecretStream{Ref: ref}, d, b); ok {
				t.Fatalf("a %s of %s was accepted on the stream of %s", typ, secretRef(), ref)
			}
		}
	})
}

// Names of fields that the record and the body tell differently are refused,
// as are data keys where none belong and a created name that replaces one.
func TestComposeRefusesMismatchedFields(t *testing.T) {
	envelope := domain.Field{Key: "a", Value: domain.Envelope{DataKey: "dk"}, DekID: domain.DekID{1}}
	sealed := domain.Field{Key: "b", Value: domain.Sealed{Box: []byte("box")}}
	event := domain.SecretCreated{Name: "N", Category: "c", KekIDs: []domain.KekID{{1}}, Fields: []domain.Field{envelope, sealed}}
	stream := domain.SecretStream{Ref: secretRef()}
	for what, change := range map[string]func(*domain.Details, *domain.Body){
		"another key":             func(_ *domain.Details, b *domain.Body) { b.Fields[0].Key = "c" },
		"another order":           func(_ *domain.Details, b *domain.Body) { slices.Reverse(b.Fields) },
		"another sensitivity":     func(d *domain.Details, _ *domain.Body) { d.Fields[0].Sensitivity = domain.SensitivityPlaintext },
		"a missing value":         func(_ *domain.Details, b *domain.Body) { b.Fields[0].Value = nil },
		"fewer values":            func(_ *domain.Details, b *domain.Body) { b.Fields = b.Fields[:1] },
		"fewer fields":            func(d *domain.Details, _ *domain.Body) { d.Fields = d.Fields[:1] },
		"a plaintext's data key":  func(d *domain.Details, _ *domain.Body) { d.Fields[1].DekID = domain.DekID{2} },
		"a missing data key":      func(d *domain.Details, _ *domain.Body) { d.Fields[0].DekID = domain.DekID{} },
		"a name before the first": func(d *domain.Details, _ *domain.Body) { d.Changes.Name.From = new("M") },
	} {
		d := domain.Describe(stream, event)
		b := domain.BodyOf(event)
		b.Fields = slices.Clone(b.Fields)
		if _, ok := domain.Compose(domain.TypeSecretCreated, stream, d, b); !ok {
			t.Fatal("the unchanged event is refused")
		}
		change(&d, &b)
		if got, ok := domain.Compose(domain.TypeSecretCreated, stream, d, b); ok {
			t.Errorf("%s was accepted: %+v", what, got)
		}
	}
	if got, ok := domain.Compose(domain.TypeSecretReclassified, stream, domain.Details{Scope: secretRef().Scope, SecretID: secretRef().ID}, domain.Body{}); ok {
		t.Errorf("a change of nothing was accepted: %+v", got)
	}
	nameless := domain.Details{
		Scope: secretRef().Scope, SecretID: secretRef().ID, Fields: []domain.FieldMetadata{{Sensitivity: domain.SensitivityPlaintext}},
	}
	if got, ok := domain.Compose(domain.TypeFieldRemoved, stream, nameless, domain.Body{}); ok {
		t.Errorf("the removal of a field without a key was accepted: %+v", got)
	}
	zero, expired := domain.RotateEvery(0), time.Time{}
	for what, changes := range map[string]domain.Changes{
		"a rotation after none that is none": {RotateEvery: &domain.Change[domain.RotateEvery]{}},
		"a rotation after a zero one":        {RotateEvery: &domain.Change[domain.RotateEvery]{From: &zero, To: 1}},
		"an expiry after none that is none":  {ExpiresAt: &domain.Change[time.Time]{}},
		"an expiry after a zero one":         {ExpiresAt: &domain.Change[time.Time]{From: &expired, To: genesis()}},
	} {
		d := domain.Details{Scope: secretRef().Scope, SecretID: secretRef().ID, Changes: changes}
		if got, ok := domain.Compose(domain.TypeSecretScheduled, stream, d, domain.Body{}); ok {
			t.Errorf("%s was accepted: %+v", what, got)
		}
	}
	fromNothing := domain.Details{
		Scope: secretRef().Scope, SecretID: secretRef().ID, Changes: domain.Changes{Category: &domain.Change[string]{To: "d"}},
	}
	if got, ok := domain.Compose(domain.TypeSecretReclassified, stream, fromNothing, domain.Body{}); ok {
		t.Errorf("a category that replaces none was accepted: %+v", got)
	}
	bare := domain.Details{
		Scope: secretRef().Scope, SecretID: secretRef().ID,
		Fields: []domain.FieldMetadata{{Key: "a", Sensitivity: domain.SensitivityEncrypted, DekID: domain.DekID{1}}},
	}
	if got, ok := domain.Compose(domain.TypeFieldRemoved, stream, bare, domain.Body{}); ok {
		t.Errorf("a removal with a data key was accepted: %+v", got)
	}
}
