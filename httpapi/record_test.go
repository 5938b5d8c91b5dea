package httpapi_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// reads are the calls that are recorded, with the action that they are
// recorded as.
func reads(w *world) map[string]request {
	secret := w.path(w.project, "db")
	mint := `{"scope":"project","scopeId":"` + w.project.ID + `","secretId":"db","fieldKey":"pw"`
	admin := "/admin/orgs/" + string(w.org)
	agent := admin + "/agents/" + string(w.writer.id)
	return map[string]request{
		"read secret":  {method: "GET", path: secret, as: w.writer},
		"read field":   {method: "GET", path: secret + "/fields/user", as: w.writer},
		"read resolve": {method: "GET", path: "/agent/secrets/resolve/db", as: w.writer},
		"list":         {method: "GET", path: w.path(w.project), as: w.writer},
		"list all":     {method: "GET", path: "/agent/secrets/resolve", as: w.writer},
		"history":      {method: "GET", path: secret + "/history", as: w.writer},
		"history asof": {method: "GET", path: secret + "?version=1", as: w.writer},
		"mint":         {method: "POST", path: "/agent/secrets/generate-data-key", as: w.writer, body: mint + "}"},
		"release": {
			method: "POST", path: "/agent/secrets/decrypt-data-key", as: w.writer,
			body: mint + `,"dataKeyCiphertext":"` + w.wrapped("pw") + `"}`,
		},
		"admin orgs": {method: "GET", path: "/admin/orgs", as: w.root}, "admin teams": {method: "GET", path: admin + "/teams", as: w.root},
		"admin memberships": {method: "GET", path: agent + "/memberships", as: w.root}, "admin keys": {method: "GET", path: agent + "/keys", as: w.root},
		"audit access":   {method: "GET", path: admin + "/access", as: w.auditor},
		"audit history":  {method: "GET", path: secret + "/history?include=access", as: w.auditor},
		"report names":   {method: "GET", path: admin + "/reports", as: w.auditor},
		"report":         {method: "GET", path: admin + "/reports/changes", as: w.auditor},
		"export key":     {method: "GET", path: "/log/key", as: w.auditor},
		"export note":    {method: "GET", path: "/log/access/checkpoint", as: w.auditor},
		"export tile":    {method: "GET", path: "/log/events/tile/0/000", as: w.auditor},
		"export part":    {method: "GET", path: "/log/events/tile/0/000.p/7", as: w.auditor},
		"export leaves":  {method: "GET", path: "/log/events/tile/entries/000", as: w.auditor},
		"read identical": {method: "PUT", path: secret, as: w.writer, body: createBody, header: idem("once")},
		"read no change": {method: "PATCH", path: secret, as: w.writer, body: `{"category":"login"}`},
		"read same":      {method: "PUT", path: secret + "/fields/user", as: w.writer, body: `{"sensitivity":"plaintext","value":"alice"}`},
	}
}

const trace = "4bf92f3577b34da6a3ce929d0e0e4736"

func traceOf(r request) string {
	if r.header["Traceparent"] == "" {
		return ""
	}
	return trace
}

func (w *world) wrapped(field domain.FieldKey) string {
	return wrapping(domain.SecretRef{Org: w.org, Scope: w.project, ID: "db"}, field)
}

// withSecret is a world with a secret that has both kinds of fields.
func withSecret(t *testing.T) *world {
	w := newWorld(t)
	w.want(201, request{method: "PUT", path: w.path(w.project, "db"), as: w.writer, body: createBody, header: idem("once")})
	w.want(200, request{
		method: "PUT", path: w.path(w.project, "db") + "/fields/pw", as: w.writer,
		body: `{"sensitivity":"encrypted","envelope":` + encode(w, envelope(w.wrapped("pw"))) + `}`,
	})
	w.recorder.take()
	return w
}

// TestReadsAreRecorded verifies invariant 5: each call that shows something
// makes one record of who did what where, by which rule; a change that was
// appended makes none, unless its answer shows values that it did not bring.
func TestReadsAreRecorded(t *testing.T) {
	w := withSecret(t)
	for name, r := range reads(w) {
		if name == "release" || name == "mint" {
			r.header = map[string]string{"Chancery-Reason": "because", "Traceparent": "00-" + trace + "-00f067aa0ba902b7-01"}
		}
		got := w.send(r)
		if got.StatusCode > 201 {
			t.Fatalf("%s: %s", name, got.body)
		}
		records := w.recorder.take()
		if len(records) != 1 {
			t.Errorf("%s: %d records", name, len(records))
			continue
		}
		a := records[0]
		action, _, _ := strings.Cut(name, " ")
		if a.Action != action || a.Outcome != "allowed" || a.Org != w.org || a.TraceID != traceOf(r) || a.Actor.ID != string(r.as.id) || a.Actor.KeyID == "" || a.Method != r.method || a.Time != w.clock.now() ||
			a.Origin.RequestID != got.Header.Get("X-Request-Id") || a.Origin.Reason != r.header["Chancery-Reason"] {
			t.Errorf("%s: recorded %+v", name, a)
		}
		if action == "read" || action == "mint" || action == "release" || action == "history" {
			if diff := cmp.Diff(w.project, a.Scope); diff != "" || a.Secret != "db" || a.Rule != domain.RuleDirectMembership {
				t.Errorf("%s: recorded %+v", name, a)
			}
		}
	}
	w.want(200, request{method: "PATCH", path: w.path(w.project, "db"), as: w.writer, body: `{"category":"new"}`})
	if records := w.recorder.take(); len(records) != 1 || records[0].Action != "read" || records[0].Secret != "db" {
		t.Errorf("a PATCH, which shows the secret, recorded %+v", records)
	}
	for _, r := range []request{
		{method: "PUT", path: w.path(w.project, "db") + "/fields/host", as: w.writer, body: `{"sensitivity":"plaintext","value":"h"}`},
		{method: "DELETE", path: w.path(w.project, "db") + "/fields/host", as: w.writer},
		{method: "DELETE", path: w.path(w.project, "db"), as: w.writer},
	} {
		w.want(200, r)
		if records := w.recorder.take(); len(records) > 0 {
			t.Errorf("an appended change was recorded: %+v", records)
		}
	}
}

// TestUnrecordedReleasesNothing verifies invariant 5: when the record fails,
// so does the call, whatever it would have answered.
func TestUnrecordedReleasesNothing(t *testing.T) {
	w := withSecret(t)
	calls := reads(w)
	calls["denied"] = request{method: "GET", path: w.path(w.project, "db"), as: w.viewer}
	calls["unauthenticated"] = request{method: "GET", path: w.path(w.project, "db")}
	calls["mismatch"] = calls["release"]
	mismatch := calls["mismatch"]
	mismatch.body = `{"scope":"project","scopeId":"` + w.project.ID + `","secretId":"db","fieldKey":"pw","dataKeyCiphertext":"x"}`
	calls["mismatch"] = mismatch
	w.recorder.fail = true
	for _, r := range calls {
		w.refused(domain.CodeUnavailable, r)
	}
}

// TestRefusedReleaseIsRecorded verifies that an attempt to open another
// field's key is kept.
func TestRefusedReleaseIsRecorded(t *testing.T) {
	w := withSecret(t)
	r := reads(w)["release"]
	r.body = `{"scope":"project","scopeId":"` + w.project.ID + `","secretId":"db","fieldKey":"user","dataKeyCiphertext":"` + w.wrapped("pw") + `"}`
	w.refused(domain.CodeDataKeyMismatch, r)
	if records := w.recorder.take(); len(records) != 1 || records[0].Outcome != "failed" || records[0].Code != domain.CodeDataKeyMismatch || records[0].Field != "user" {
		t.Errorf("recorded %+v", records)
	}
}

// TestStaleNode verifies that a node which has lost the log releases neither
// values nor keys and changes nothing, and still shows metadata.
func TestStaleNode(t *testing.T) {
	w := withSecret(t)
	w.store.stale = errors.New("91 s")
	for name, r := range reads(w) {
		switch name {
		case "read secret", "read field", "read resolve", "mint", "release", "read identical", "read no change", "read same":
			w.refused(domain.CodeUnavailable, r)
		default:
			if got := w.send(r); got.StatusCode > 201 {
				t.Errorf("%s: %s", name, got.body)
			}
		}
	}
}

// TestNothingChangesOnAStaleNode verifies that rights which may be long
// revoked change nothing.
func TestNothingChangesOnAStaleNode(t *testing.T) {
	w := withSecret(t)
	w.store.stale = errors.New("91 s")
	head := w.store.Position()
	org := "/admin/orgs/" + string(w.org)
	for _, r := range []request{
		{method: "PATCH", path: w.path(w.project, "db"), as: w.writer, body: `{"category":"other"}`},
		{method: "DELETE", path: w.path(w.project, "db"), as: w.writer},
		{method: "PUT", path: w.path(w.project, "new"), as: w.writer, body: createBody},
		{method: "POST", path: org + "/teams", as: w.root, body: `{"name":"n"}`},
		{method: "PATCH", path: org, as: w.root, body: `{"archived":true}`},
	} {
		w.refused(domain.CodeUnavailable, r)
	}
	if w.store.Position() != head {
		t.Error("something was stored")
	}
}

// TestStoredIsNeverAFailure verifies that a change of the directory which was
// stored is answered as done, also where the state cannot be asked about it.
func TestStoredIsNeverAFailure(t *testing.T) {
	for name, status := range map[string]int{"POST teams": 201, "PATCH org": 200, "PUT membership": 200, "DELETE key": 200} {
		w := withSecret(t)
		org := "/admin/orgs/" + string(w.org)
		id := data[wire.IssuedKey](w, w.want(201, request{method: "POST", path: org + "/agents/" + string(w.writer.id) + "/keys", as: w.root, body: "{}"})).ID
		r := map[string]request{
			"POST teams":     {method: "POST", path: org + "/teams", body: `{"name":"n"}`},
			"PATCH org":      {method: "PATCH", path: org, body: `{"name":"renamed"}`},
			"PUT membership": {method: "PUT", path: org + "/agents/" + string(w.writer.id) + "/memberships/" + w.team.String(), body: `{"role":"viewer"}`},
			"DELETE key":     {method: "DELETE", path: org + "/agents/" + string(w.writer.id) + "/keys/" + id},
		}[name]
		r.as = w.root
		w.store.lost = errors.New("gone")
		if got := w.send(r); got.StatusCode != status {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
}

// TestNodeThatCatchesUp verifies that a node which does not know the API keys
// yet says that it is unavailable, not that a key is wrong: a client gives up
// on a 401.
func TestNodeThatCatchesUp(t *testing.T) {
	w := withSecret(t)
	w.store.behind = errors.New("catching up")
	r := reads(w)["read secret"]
	r.as = member{token: "chy_unknown"}
	w.refused(domain.CodeUnavailable, r)
}
