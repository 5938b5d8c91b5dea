package httpapi_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

func envelope(ciphertext string) wire.Envelope {
	return wire.NewEnvelope(domain.Envelope{Ciphertext: []byte("sealed"), DataKey: ciphertext})
}

func encode(t *world, e wire.Envelope) string {
	t.Helper()
	return `{"version":1,"iv":"` + e.IV + `","ciphertext":"` + e.Ciphertext + `","authTag":"` + e.AuthTag + `","dataKeyCiphertext":"` + e.DataKeyCiphertext + `"}`
}

// TestAgentFlow walks a secret's life: create, read, seal, rename, remove,
// history, delete, create again.
func TestAgentFlow(t *testing.T) {
	w := newWorld(t)
	path := w.path(w.project, "db")
	resp := w.want(201, request{method: "PUT", path: path, as: w.writer, body: createBody})
	if resp.Header.Get("Etag") != `"v1"` || resp.Header.Get("Chancery-Position") != strconv.FormatUint(w.store.Position(), 10) {
		t.Errorf("headers %v", resp.Header)
	}
	made := data[wire.Aggregate](w, resp)
	if diff := cmp.Diff([]string{"a", "b"}, made.Tags); diff != "" || made.Version != 1 || *made.Fields[0].Value != "alice" || made.CreatedBy != string(w.writer.id) {
		t.Errorf("got %+v %s", made, diff)
	}
	w.want(200, request{method: "PUT", path: path, as: w.writer, body: createBody})
	w.refused(domain.CodeSecretExists, request{method: "PUT", path: path, as: w.writer, body: strings.Replace(createBody, "alice", "bob", 1), header: map[string]string{"If-None-Match": "*"}})

	mint := data[wire.DataKey](w, w.want(200, request{
		method: "POST", path: "/agent/secrets/generate-data-key", as: w.writer,
		body: `{"scope":"project","scopeId":"` + w.project.ID + `","secretId":"db","fieldKey":"p.w"}`,
	}))
	if string(mint.PlaintextKey) != "19fX19fX19fX19fX19fX19fX19fX19fX19fX19fX19c=" || mint.KeyID != "01000000000000000000000000000000" {
		t.Errorf("got %q, %s", string(mint.PlaintextKey), mint.KeyID)
	}
	e := envelope(mint.DataKeyCiphertext)
	resp = w.want(200, request{method: "PUT", path: path + "/fields/p.w", as: w.writer, body: `{"sensitivity":"encrypted","envelope":` + encode(w, e) + `}`})
	if f := data[wire.Field](w, resp); f.Key != "p.w" || f.Version != 2 || *f.Envelope != e || resp.Header.Get("Etag") != `"v2"` {
		t.Errorf("got %+v", f)
	}
	release := `{"scope":"project","scopeId":"` + w.project.ID + `","secretId":"db","fieldKey":"p.w","dataKeyCiphertext":"` + mint.DataKeyCiphertext + `"}`
	if k := data[wire.PlaintextKey](w, w.want(200, request{method: "POST", path: "/agent/secrets/decrypt-data-key", as: w.writer, body: release})); k.PlaintextKey != mint.PlaintextKey {
		t.Error("another key was released")
	}
	for _, other := range []string{strings.Replace(release, `"db"`, `"none"`, 1), strings.Replace(release, "p.w", "user", 1), strings.Replace(release, mint.DataKeyCiphertext, "", 1)} {
		w.refused(domain.CodeDataKeyMismatch, request{method: "POST", path: "/agent/secrets/decrypt-data-key", as: w.writer, body: other})
	}
	w.refused(domain.CodeSensitivityDowngrade, request{method: "PUT", path: path + "/fields/p.w", as: w.writer, body: `{"sensitivity":"plaintext","value":"x"}`})

	w.want(200, request{method: "PATCH", path: path, as: w.writer, body: `{"secretName":"New","tags":[]}`, header: map[string]string{"If-Match": `"v2"`}})
	w.refused(domain.CodeVersionMismatch, request{method: "PATCH", path: path, as: w.writer, body: `{"secretName":"Newer"}`, header: map[string]string{"If-Match": `"v2"`}})
	got := w.want(200, request{method: "GET", path: path, as: w.writer})
	s := data[wire.Secret](w, got)
	if s.Aggregate.SecretName != "New" || len(s.Aggregate.Tags) != 0 || s.Envelopes["p.w"] != e || len(s.Envelopes) != 1 || got.Header.Get("Etag") != `"v3"` {
		t.Errorf("got %+v", s)
	}
	if f := data[wire.Field](w, w.want(200, request{method: "GET", path: path + "/fields/user", as: w.writer})); *f.Value != "alice" || f.Version != 1 {
		t.Errorf("got %+v", f)
	}
	w.refused(domain.CodeFieldNotFound, request{method: "GET", path: path + "/fields/none", as: w.writer})
	removed := data[wire.RemovedField](w, w.want(200, request{method: "DELETE", path: path + "/fields/user", as: w.writer}))
	if diff := cmp.Diff(wire.RemovedField{SecretID: "db", FieldKey: "user", Version: 4}, removed); diff != "" {
		t.Error(diff)
	}
	w.clock.advance(time.Minute)
	deleted := data[wire.DeletedSecret](w, w.want(200, request{method: "DELETE", path: path, as: w.writer, header: map[string]string{"If-Match": "*"}}))
	if !deleted.KeyDestroyed || deleted.Version != 5 || deleted.DeletedAt != wire.NewTime(w.clock.now()) {
		t.Errorf("got %+v", deleted)
	}
	w.refused(domain.CodeSecretNotFound, request{method: "GET", path: path, as: w.writer})
	w.refused(domain.CodeVersionMismatch, request{method: "PUT", path: path, as: w.writer, body: createBody, header: map[string]string{"If-Match": "*"}})
	if a := data[wire.Aggregate](w, w.want(201, request{method: "PUT", path: path, as: w.writer, body: `{"secretName":"n","category":"c"}`})); a.Version != 6 || len(a.Fields) != 0 {
		t.Errorf("got %+v", a)
	}
}

// TestHistory verifies pages in both orders, members, and that history
// outlives the secret.
func TestHistory(t *testing.T) {
	w := newWorld(t)
	path := w.path(w.project, "db")
	header := map[string]string{"Chancery-Reason": "why ö", "Chancery-Run-Id": "run 1", "User-Agent": "agent/1", "X-Request-Id": "req-1"}
	w.want(201, request{method: "PUT", path: path, as: w.writer, body: createBody, header: header})
	w.want(200, request{method: "PATCH", path: path, as: w.writer, body: `{"category":"other","tags":["z"]}`})
	w.want(200, request{method: "DELETE", path: path, as: w.writer})
	history := path + "/history"
	for order, want := range map[string][]uint64{"": {3, 2, 1}, "order=desc&": {3, 2, 1}, "order=asc&": {1, 2, 3}} {
		var got []uint64
		for query := history + "?" + order + "limit=2"; query != ""; {
			entries, next := page[[]wire.HistoryEntry](w, w.want(200, request{method: "GET", path: query, as: w.viewer}))
			for _, e := range entries {
				got = append(got, e.Version)
			}
			query = ""
			if next != "" {
				query = history + "?" + order + "limit=1&cursor=" + next
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", order, diff)
		}
	}
	entries := data[[]wire.HistoryEntry](w, w.want(200, request{method: "GET", path: history + "?order=asc", as: w.auditor}))
	first := entries[0]
	first.EventID, first.Position = "", 0
	want := wire.HistoryEntry{
		Type: "secret.created", Time: wire.NewTime(w.clock.now()), Version: 1,
		Actor:  wire.Actor{Kind: "agent", ID: string(w.writer.id), Name: "writer", KeyID: first.Actor.KeyID},
		Fields: []wire.HistoryField{{Key: "user", Sensitivity: "plaintext"}},
		Changes: &wire.Changes{
			Name: &wire.Change{To: "Name"}, Category: &wire.Change{To: "login"}, Tags: &wire.TagsSet{To: []string{"a", "b"}},
		},
		RequestID: "req-1", ClientIP: "127.0.0.1", UserAgent: "agent/1", Reason: "why ö", RunID: "run 1",
	}
	if diff := cmp.Diff(want, first); diff != "" || !strings.HasPrefix(first.Actor.KeyID, "key_") {
		t.Error(diff)
	}
	if c := entries[1].Changes; *c.Category.From != "login" || c.Tags.From[1] != "b" || c.Name != nil {
		t.Errorf("got %+v", c)
	}
	w.refused(domain.CodeSecretNotFound, request{method: "GET", path: w.path(w.project, "none", "history"), as: w.viewer})
}

// TestAsOf verifies as-of reads by version and time, before, within and after
// a secret's life, without values.
func TestAsOf(t *testing.T) {
	w := newWorld(t)
	path := w.path(w.project, "db")
	before := wire.NewTime(w.clock.now().Add(-time.Millisecond)).String()
	w.create(w.project, "db")
	created := wire.NewTime(w.clock.now()).String()
	w.clock.advance(time.Second)
	w.want(200, request{method: "PATCH", path: path, as: w.writer, body: `{"secretName":"New"}`})
	w.clock.advance(time.Second)
	w.want(200, request{method: "DELETE", path: path, as: w.writer})
	for query, name := range map[string]string{"version=1": "Name", "version=2": "New", "at=" + created: "Name", "at=2026-05-01T12:00:01.5Z": "New"} {
		resp := w.want(200, request{method: "GET", path: path + "?" + query, as: w.viewer})
		s := data[wire.SecretAsOf](w, resp)
		if s.Aggregate.SecretName != name || len(s.Aggregate.Fields) != 1 || s.Aggregate.Fields[0].Value != nil {
			t.Errorf("%s: got %+v", query, s)
		}
	}
	for _, query := range []string{"version=3", "version=4", "at=" + before, "at=2027-01-01T00:00:00Z"} {
		w.refused(domain.CodeSecretNotFound, request{method: "GET", path: path + "?" + query, as: w.viewer})
	}
	for _, query := range []string{"version=0", "version=01", "version=x", "version=", "at=", "at=now", "at=2026-05-01T12:00:00%2B00:00", "at=" + created + "&version=1", "version=1&version=1"} {
		w.refused(domain.CodeInvalidQuery, request{method: "GET", path: path + "?" + query, as: w.viewer})
	}
}

// TestContentLength: every answer says how long it is, also those whose length
// is left to net/http.
func TestContentLength(t *testing.T) {
	w := newWorld(t)
	path := w.path(w.project, "s")
	w.want(201, request{method: "PUT", path: path, as: w.writer, body: `{"secretName":"N","category":"c"}`})
	field := request{method: "PUT", path: path + "/fields/k", as: w.writer, body: `{"sensitivity":"plaintext","value":""}`}
	empty := len(w.want(200, field).body)
	var lengths []int
	for _, length := range []int{empty + 1, 2<<10 - 1, 2 << 10, 2<<10 + 1, 9000} {
		field.body = `{"sensitivity":"plaintext","value":"` + strings.Repeat("v", length-empty) + `"}`
		for _, got := range []response{w.want(200, field), w.want(200, request{method: "GET", path: field.path, as: w.writer})} {
			lengths = append(lengths, len(got.body))
			if got.ContentLength != int64(len(got.body)) || len(got.TransferEncoding) > 0 {
				t.Errorf("%d bytes, Content-Length %d, %v", len(got.body), got.ContentLength, got.TransferEncoding)
			}
		}
	}
	if !slices.Contains(lengths, 2<<10) || !slices.Contains(lengths, 2<<10+1) {
		t.Errorf("the lengths are %v", lengths)
	}
	if got := w.want(404, request{method: "GET", path: path + "x", as: w.writer}); got.ContentLength != int64(len(got.body)) {
		t.Errorf("a refusal of %d bytes, Content-Length %d", len(got.body), got.ContentLength)
	}
}

// TestListWithoutFields: a row's lists are lists also where they are empty,
// whatever row stands before it.
func TestListWithoutFields(t *testing.T) {
	w := newWorld(t)
	field := `,"fields":[{"key":"k","sensitivity":"plaintext","value":"v"}]`
	for i, fields := range []string{"", field, ""} {
		body := `{"secretName":"N","category":"c"` + fields + `}`
		w.want(201, request{method: "PUT", path: w.path(w.project, "s"+strconv.Itoa(i)), as: w.writer, body: body})
	}
	rows, _ := page[[]wire.Aggregate](w, w.want(200, request{method: "GET", path: w.path(w.project), as: w.viewer}))
	for i, want := range []int{0, 1, 0} {
		if len(rows) != 3 || rows[i].Fields == nil || len(rows[i].Fields) != want || rows[i].Tags == nil {
			t.Errorf("row %d: %+v", i, rows)
		}
	}
}

// TestList verifies filters and paging of a scope's secrets.
func TestList(t *testing.T) {
	w := newWorld(t)
	for i, tags := range []string{`["x"]`, `["x","y"]`, `["y"]`, `[]`, `["x","y","z"]`} {
		body := `{"secretName":"Name ` + strconv.Itoa(i) + `","category":"c` + strconv.Itoa(i%2) + `","tags":` + tags + `,"fields":[{"key":"k","sensitivity":"plaintext","value":"v"}]}`
		w.want(201, request{method: "PUT", path: w.path(w.project, "s"+strconv.Itoa(i)), as: w.writer, body: body})
	}
	list := w.path(w.project)
	for query, want := range map[string]string{
		"": "s0 s1 s2 s3 s4", "category=c1": "s1 s3", "tag=x": "s0 s1 s4", "tag=x&tag=y": "s1 s4", "tag=x&tag=x": "s0 s1 s4",
		"q=name+3": "", "q=Name+3": "s3", "q=s2": "s2", "tag=y&category=c0&q=s": "s2 s4", "limit=2": "s0 s1 s2 s3 s4", "tag=none": "",
	} {
		var got []string
		for path := list + "?" + query; path != ""; {
			rows, next := page[[]wire.Aggregate](w, w.want(200, request{method: "GET", path: path, as: w.viewer}))
			for _, row := range rows {
				got = append(got, row.SecretID)
				if row.Fields[0].Value != nil {
					t.Error("a list shows a value")
				}
			}
			path = ""
			if next != "" {
				path = list + "?" + query + "&cursor=" + next
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: got %v, want %s", query, got, want)
		}
	}
}

// TestResolve verifies which scope wins, what it shadows, and that a winner
// the caller may not read is refused and not passed over.
func TestResolve(t *testing.T) {
	w := newWorld(t)
	org := domain.Scope{Kind: domain.ScopeOrg, ID: string(w.org)}
	boss := w.newMember(w.org, "boss", org, domain.RoleWriter)
	second := domain.Scope{Kind: domain.ScopeProject, ID: newULID("proj_")}
	w.decide(w.org, domain.CreateScope{Scope: second, Name: "Second"})
	for _, scope := range []domain.Scope{w.team, w.project, second} {
		w.decide(w.org, domain.GrantMembership{Agent: boss.id, Scope: scope, Role: domain.RoleWriter})
	}
	put := func(scope domain.Scope, id string) {
		w.want(201, request{method: "PUT", path: w.path(scope, id), as: boss, body: createBody})
	}
	put(org, "a")
	put(w.team, "a")
	put(w.project, "a")
	put(org, "b")
	put(w.project, "c")
	put(second, "c")
	put(org, "c")

	resp := w.want(200, request{method: "GET", path: "/agent/secrets/resolve/a", as: w.writer})
	got := data[wire.ResolvedSecret](w, resp)
	want := []wire.Scope{{Scope: "team", ScopeID: w.team.ID, Name: "Team"}, {Scope: "org", ScopeID: string(w.org), Name: "Org"}}
	if diff := cmp.Diff(want, got.Shadowed); diff != "" || got.ResolvedFrom.ScopeID != w.project.ID || *got.Aggregate.Fields[0].Value != "alice" || resp.Header.Get("Etag") != `"v1"` {
		t.Errorf("got %+v %s", got, diff)
	}
	if got := data[wire.ResolvedSecret](w, w.want(200, request{method: "GET", path: "/agent/secrets/resolve/b", as: w.writer})); got.ResolvedFrom.Scope != "org" || len(got.Shadowed) != 0 {
		t.Errorf("got %+v", got)
	}
	w.refused(domain.CodeForbidden, request{method: "GET", path: "/agent/secrets/resolve/a", as: w.viewer})
	w.refused(domain.CodeSecretNotFound, request{method: "GET", path: "/agent/secrets/resolve/none", as: w.writer})
	p := w.refused(domain.CodeAmbiguousScope, request{method: "GET", path: "/agent/secrets/resolve/c", as: boss})
	if !strings.Contains(p.Detail, w.project.ID) || !strings.Contains(p.Detail, second.ID) {
		t.Errorf("the detail names not both: %s", p.Detail)
	}
	rows, next := page[[]wire.EffectiveSecret](w, w.want(200, request{method: "GET", path: "/agent/secrets/resolve?limit=2", as: boss}))
	more := data[[]wire.EffectiveSecret](w, w.want(200, request{method: "GET", path: "/agent/secrets/resolve?limit=2&cursor=" + next, as: boss}))
	rows = append(rows, more...)
	if len(rows) != 3 || rows[0].ResolvedFrom.ScopeID != w.project.ID || len(rows[0].Shadowed) != 2 || rows[0].Aggregate.Fields[0].Value != nil ||
		rows[2].Aggregate != nil || len(rows[2].Ambiguous) != 2 || rows[2].SecretID != "c" || len(rows[2].Shadowed) != 1 {
		t.Errorf("got %+v", rows)
	}
}

// TestWhoami verifies what a caller is told about itself.
func TestWhoami(t *testing.T) {
	w := newWorld(t)
	got := data[wire.Whoami](w, w.want(200, request{method: "GET", path: "/agent/identity/whoami", as: w.writer}))
	want := wire.Whoami{
		AgentID: string(w.writer.id), OrgID: string(w.org), TenantID: string(w.org), Name: "writer",
		Permissions: []string{"secrets:list", "secrets:read", "secrets:write"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	scopes := data[[]wire.ScopeRole](w, w.want(200, request{method: "GET", path: "/agent/secrets/scopes", as: w.writer}))
	wantScopes := []wire.ScopeRole{
		{Scope: "agent", ScopeID: string(w.writer.id), Name: "writer", Role: "writer"},
		{Scope: "project", ScopeID: w.project.ID, Name: "Project", Role: "writer"},
		{Scope: "team", ScopeID: w.team.ID, Name: "Team", Role: "reader"},
		{Scope: "org", ScopeID: string(w.org), Name: "Org", Role: "reader"},
	}
	if diff := cmp.Diff(wantScopes, scopes); diff != "" {
		t.Error(diff)
	}
}

// TestIdempotency verifies that a repeated write answers as the first did.
func TestIdempotency(t *testing.T) {
	w := newWorld(t)
	key := map[string]string{"Idempotency-Key": "k-1"}
	path := w.path(w.project, "db")
	first := w.want(201, request{method: "PUT", path: path, as: w.writer, body: createBody, header: key})
	w.want(200, request{method: "PATCH", path: path, as: w.writer, body: `{"category":"other"}`})
	again := w.want(201, request{method: "PUT", path: path, as: w.writer, body: createBody, header: key})
	for _, name := range []string{"Etag", "Chancery-Position"} {
		if first.Header.Get(name) != again.Header.Get(name) {
			t.Errorf("%s: %s and %s", name, first.Header.Get(name), again.Header.Get(name))
		}
	}
	for _, bad := range []string{"a b", "ä", strings.Repeat("x", 129)} {
		w.refused(domain.CodeInvalidRequest, request{method: "PUT", path: path, as: w.writer, body: createBody, header: map[string]string{"Idempotency-Key": bad}})
	}
	w.refused(domain.CodeInvalidRequest, request{method: "PUT", path: path, as: w.writer, body: createBody, add: http.Header{"Idempotency-Key": {"a", "b"}}})
}
