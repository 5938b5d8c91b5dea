package server_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestContractFlow walks an agent's whole way, each step on what the step
// before left: from its first question who it is to the second incarnation of
// a secret it deleted.
func TestContractFlow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := &flow{world: w, at: w.teamA, secret: "db-main"}
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"whoami", f.whoami},
		{"scopes, most specific first", f.scopes},
		{"a data key before its secret exists", f.mintBefore},
		{"create with a plaintext and an encrypted field", f.createSecret},
		{"read back exactly", f.readBack},
		{"open", f.open},
		{"patch", f.patch},
		{"set a field", f.setField},
		{"get a field", f.getField},
		{"replace an encrypted field", f.replace},
		{"remove a field", f.removeField},
		{"history", f.seeHistory},
		{"delete", f.deleteSecret},
		{"create again", f.createAgain},
		{"versions and history run on", f.runOn},
	} {
		if !t.Run(step.name, step.run) {
			t.FailNow() // the rest stands on this
		}
	}
}

type flow struct {
	*world
	at     place
	secret string
	minted mintedKey
	sealed envelope
	older  envelope // what "password" held before
}

func (f *flow) whoami(t *testing.T) {
	who := into[identity](t, f.ada.do(t, http.MethodGet, "/agent/identity/whoami", nil).ok(t, 200))
	if !slices.Contains(who.Permissions, "secrets:read") {
		t.Errorf("permissions %q lack secrets:read", who.Permissions)
	}
	who.Permissions = nil
	want := identity{AgentID: f.ada.id, OrgID: f.org.id, TenantID: f.org.id, Name: "ada"}
	if diff := cmp.Diff(want, who); diff != "" {
		t.Error(diff)
	}
}

type scopeRow struct {
	Scope   string `json:"scope"`
	ScopeID string `json:"scopeId"`
	Name    string `json:"name"`
	Role    string `json:"role"`
}

func (c caller) scopes(t testing.TB) []scopeRow {
	t.Helper()
	return into[[]scopeRow](t, c.do(t, http.MethodGet, "/agent/secrets/scopes", nil).ok(t, 200))
}

func (f *flow) scopes(t *testing.T) {
	got := f.ada.scopes(t)
	if len(got) != 4 {
		t.Fatalf("scopes: %+v", got)
	}
	got[3].Name = "" // the first start chose it
	want := []scopeRow{
		{"agent", f.ada.id, "ada", "writer"},
		{"project", f.projA.id, "Project A", "writer"},
		{"team", f.teamA.id, "Team A", "writer"},
		{"org", f.org.id, "", "reader"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// dataKeyText is the base64 text of the 142 bytes of a data key ciphertext.
var dataKeyText = regexp.MustCompile(`^[A-Za-z0-9+/]{190}==$`)

func (f *flow) mintBefore(t *testing.T) {
	f.unchanged(t, func() {
		r := f.ada.tryMint(t, f.at, f.secret, "password").ok(t, 200)
		members(t, r.data, "plaintextKey", "dataKeyCiphertext", "keyId")
		f.minted = into[mintedKey](t, r)
		if n := len(unbase64(t, f.minted.PlaintextKey)); n != 32 || f.minted.KeyID == "" {
			t.Errorf("a key of %d bytes with keyId %q", n, f.minted.KeyID)
		}
		if !dataKeyText.MatchString(f.minted.DataKeyCiphertext) {
			t.Errorf("dataKeyCiphertext %q is not the base64 of 142 bytes", f.minted.DataKeyCiphertext)
		}
		if other := f.ada.mint(t, f.at, f.secret, "password"); other.PlaintextKey == f.minted.PlaintextKey {
			t.Error("two mints gave the same key")
		}
		if got := f.ada.released(t, f.at, f.secret, "password", f.minted.DataKeyCiphertext); got != f.minted.PlaintextKey {
			t.Error("a fresh mint is released as another key")
		}
	})
	f.sealed = f.minted.seal(t, "s3cret 🗝")
}

func (f *flow) createSecret(t *testing.T) {
	body := obj{
		"secretName": "Main database", "category": "database", "tags": []string{"prod", "eu"},
		"fields": []obj{keyed("user", plain("app")), keyed("password", encrypted(f.sealed))},
	}
	r := f.ada.do(t, http.MethodPut, f.at.path(f.secret), body).ok(t, 201).etag(t, 1)
	if head := f.head(t); r.position(t) != head {
		t.Errorf("position %d, the head is %d", r.position(t), head)
	}
	members(t, r.data, "secretId", "scope", "scopeId", "secretName", "category", "tags", "version",
		"createdAt", "createdBy", "updatedAt", "updatedBy", "fields")
	f.checkCreated(t, into[aggregate](t, r))
}

func (f *flow) checkCreated(t *testing.T, a aggregate) {
	instant(t, a.CreatedAt)
	user := "app"
	stamp := fieldState{Version: 1, UpdatedAt: a.CreatedAt, UpdatedBy: f.ada.id}
	want := aggregate{
		SecretID: f.secret, Scope: "team", ScopeID: f.at.id, SecretName: "Main database", Category: "database",
		Tags: []string{"eu", "prod"}, Version: 1, CreatedAt: a.CreatedAt, CreatedBy: f.ada.id,
		UpdatedAt: a.CreatedAt, UpdatedBy: f.ada.id, Fields: []fieldState{stamp, stamp},
	}
	want.Fields[0].Key, want.Fields[0].Sensitivity = "password", "encrypted"
	want.Fields[1].Key, want.Fields[1].Sensitivity, want.Fields[1].Value = "user", "plaintext", &user
	slices.SortFunc(a.Fields, func(x, y fieldState) int { return strings.Compare(x.Key, y.Key) })
	if diff := cmp.Diff(want, a); diff != "" {
		t.Error(diff)
	}
}

func (f *flow) readBack(t *testing.T) {
	r := f.alan.do(t, http.MethodGet, f.at.path(f.secret), nil).ok(t, 200).etag(t, 1)
	members(t, r.data, "aggregate", "envelopes")
	view := into[secretView](t, r)
	f.checkCreated(t, view.Aggregate)
	if diff := cmp.Diff(map[string]envelope{"password": f.sealed}, view.Envelopes); diff != "" {
		t.Errorf("the envelope did not come back as given:\n%s", diff)
	}
}

func (f *flow) open(t *testing.T) {
	for _, m := range []member{f.ada, f.alan} {
		view := m.get(t, f.at, f.secret)
		if got := m.unseal(t, f.at, f.secret, "password", view.Envelopes["password"]); got != "s3cret 🗝" {
			t.Errorf("%s opened %q", m.name, got)
		}
	}
}

func (f *flow) patch(t *testing.T) {
	before := f.ada.get(t, f.at, f.secret).Aggregate
	r := f.alan.do(t, http.MethodPatch, f.at.path(f.secret), obj{"secretName": "Primary", "category": "sql", "tags": []string{"z", "a"}})
	after := into[aggregate](t, r.ok(t, 200).etag(t, 2))
	want := before
	want.SecretName, want.Category, want.Tags = "Primary", "sql", []string{"a", "z"}
	want.Version, want.UpdatedBy, want.UpdatedAt = 2, f.alan.id, after.UpdatedAt
	if diff := cmp.Diff(want, after); diff != "" {
		t.Error(diff)
	}
	if instant(t, after.UpdatedAt).Before(instant(t, before.UpdatedAt)) {
		t.Error("time went backwards")
	}
}

func (f *flow) setField(t *testing.T) {
	r := f.ada.set(t, f.at, f.secret, "host", plain("db.internal")).ok(t, 200).etag(t, 3)
	got := into[fieldState](t, r)
	if got.Key != "host" || got.Sensitivity != "plaintext" || got.Value == nil || *got.Value != "db.internal" || got.Envelope != nil {
		t.Errorf("field %+v", got)
	}
}

func (f *flow) getField(t *testing.T) {
	r := f.alan.do(t, http.MethodGet, f.at.field(f.secret, "host"), nil).ok(t, 200).etag(t, 3)
	members(t, r.data, "key", "sensitivity", "value", "version", "updatedAt", "updatedBy")
	r = f.alan.do(t, http.MethodGet, f.at.field(f.secret, "password"), nil).ok(t, 200).etag(t, 3)
	members(t, r.data, "key", "sensitivity", "envelope", "version", "updatedAt", "updatedBy")
	if got := into[fieldState](t, r); got.Envelope == nil || *got.Envelope != f.sealed || got.UpdatedBy != f.ada.id {
		t.Errorf("field %+v", got)
	}
}

func (f *flow) replace(t *testing.T) {
	f.older, f.sealed = f.sealed, f.alan.seal(t, f.at, f.secret, "password", "second")
	f.alan.set(t, f.at, f.secret, "password", encrypted(f.sealed)).ok(t, 200).etag(t, 4)
	view := f.ada.get(t, f.at, f.secret)
	if got := f.ada.unseal(t, f.at, f.secret, "password", view.Envelopes["password"]); got != "second" {
		t.Errorf("opened %q", got)
	}
	f.ada.release(t, f.at, f.secret, "password", f.older.DataKey).code(t, "data_key_mismatch")
}

func (f *flow) removeField(t *testing.T) {
	r := f.ada.do(t, http.MethodDelete, f.at.field(f.secret, "host"), nil).ok(t, 200).etag(t, 5)
	members(t, r.data, "secretId", "fieldKey", "version")
	if stringOf(t, r, "secretId") != f.secret || stringOf(t, r, "fieldKey") != "host" {
		t.Errorf("data %s", r.data)
	}
	f.ada.do(t, http.MethodGet, f.at.field(f.secret, "host"), nil).code(t, "field_not_found")
	f.ada.do(t, http.MethodDelete, f.at.field(f.secret, "host"), nil).code(t, "field_not_found")
}

func (f *flow) seeHistory(t *testing.T) {
	f.checkHistory(t, []string{"secret.created", "secret.renamed", "secret.field_set", "secret.field_set", "secret.field_removed"})
}

// checkHistory compares the history, oldest first, with these event types.
func (f *flow) checkHistory(t *testing.T, want []string) {
	t.Helper()
	entries := f.alan.history(t, f.at, f.secret)
	slices.Reverse(entries)
	var types []string
	for i, e := range entries {
		types = append(types, e.Type)
		if e.Version != i+1 {
			t.Errorf("entry %d has version %d", i, e.Version)
		}
		if i > 0 && (e.Position <= entries[i-1].Position || e.Time < entries[i-1].Time) {
			t.Errorf("entry %d lies before entry %d", i, i-1)
		}
	}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Error(diff)
	}
}

func (f *flow) deleteSecret(t *testing.T) {
	r := f.ada.do(t, http.MethodDelete, f.at.path(f.secret), nil).ok(t, 200)
	members(t, r.data, "secretId", "deletedAt", "version", "keyDestroyed")
	var done struct {
		SecretID     string `json:"secretId"`
		DeletedAt    string `json:"deletedAt"`
		Version      int    `json:"version"`
		KeyDestroyed bool   `json:"keyDestroyed"`
	}
	if err := json.Unmarshal(r.data, &done); err != nil {
		t.Fatal(err)
	}
	instant(t, done.DeletedAt)
	if done.SecretID != f.secret || done.Version != 6 || !done.KeyDestroyed {
		t.Errorf("deleted: %+v", done)
	}
	f.ada.do(t, http.MethodGet, f.at.path(f.secret), nil).code(t, "secret_not_found")
	f.ada.do(t, http.MethodGet, f.at.field(f.secret, "user"), nil).code(t, "secret_not_found")
	f.ada.do(t, http.MethodDelete, f.at.path(f.secret), nil).code(t, "secret_not_found")
	f.ada.release(t, f.at, f.secret, "password", f.sealed.DataKey).code(t, "data_key_mismatch")
	if rows := into[[]aggregate](t, f.ada.do(t, http.MethodGet, f.at.path(), nil).ok(t, 200)); len(rows) != 0 {
		t.Errorf("the list still has %+v", rows)
	}
}

func (f *flow) createAgain(t *testing.T) {
	f.ada.do(t, http.MethodPut, f.at.path(f.secret), newSecret("Reborn", keyed("password", encrypted(f.sealed)))).code(t, "data_key_mismatch")
	fresh := f.alan.seal(t, f.at, f.secret, "password", "third")
	r := f.alan.do(t, http.MethodPut, f.at.path(f.secret), newSecret("Reborn", keyed("password", encrypted(fresh)))).ok(t, 201).etag(t, 7)
	if a := into[aggregate](t, r); a.Version != 7 || a.CreatedBy != f.alan.id {
		t.Errorf("aggregate %+v", a)
	}
	if got := f.ada.unseal(t, f.at, f.secret, "password", fresh); got != "third" {
		t.Errorf("opened %q", got)
	}
	for _, gone := range []envelope{f.older, f.sealed} {
		f.ada.release(t, f.at, f.secret, "password", gone.DataKey).code(t, "data_key_mismatch")
		f.ada.set(t, f.at, f.secret, "password", encrypted(gone)).code(t, "data_key_mismatch")
	}
}

func (f *flow) runOn(t *testing.T) {
	f.checkHistory(t, []string{
		"secret.created", "secret.renamed", "secret.field_set", "secret.field_set", "secret.field_removed",
		"secret.deleted", "secret.created",
	})
	for i, name := range []string{"Main database", "Primary", "Primary", "Primary", "Primary", "", "Reborn"} {
		version := i + 1
		target := f.at.path(f.secret) + "?version=" + strconv.Itoa(version)
		if name == "" {
			f.ada.do(t, http.MethodGet, target, nil).code(t, "secret_not_found")
			continue
		}
		r := f.ada.do(t, http.MethodGet, target, nil).ok(t, 200)
		members(t, r.data, "aggregate")
		view := into[secretView](t, r)
		if view.Aggregate.SecretName != name || view.Aggregate.Version != version {
			t.Errorf("as of version %d: %+v", version, view.Aggregate)
		}
		for _, field := range view.Aggregate.Fields {
			if field.Value != nil {
				t.Errorf("as of version %d field %s has a value", version, field.Key)
			}
		}
	}
	f.checkAsOfTime(t)
}

// checkAsOfTime asks for each event's own time, which includes it and all
// others of the same millisecond.
func (f *flow) checkAsOfTime(t *testing.T) {
	entries := f.ada.history(t, f.at, f.secret) // newest first
	latest := map[string]historyEntry{}
	for _, e := range slices.Backward(entries) {
		latest[e.Time] = e
	}
	for at, e := range latest {
		r := f.ada.do(t, http.MethodGet, f.at.path(f.secret)+"?at="+url.QueryEscape(at), nil)
		if e.Type == "secret.deleted" {
			r.code(t, "secret_not_found")
		} else if got := into[secretView](t, r.ok(t, 200)).Aggregate.Version; got != e.Version {
			t.Errorf("as of %s version %d, want %d", at, got, e.Version)
		}
	}
	f.ada.do(t, http.MethodGet, f.at.path(f.secret)+"?at=2001-02-03T04:05:06.789Z", nil).code(t, "secret_not_found")
}
