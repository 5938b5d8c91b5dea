package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
)

// TestAuditStartAndStop: every start and orderly stop stands in the access
// log of the first organization, with the program's version.
func TestAuditStartAndStop(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, func(c *server.Config) { c.Version = "v9.9.9-test" })
	w.restart(t)
	w.restart(t)
	var got []string
	for _, r := range w.access(t, "order", "asc") {
		if r.Action != "start" && r.Action != "stop" {
			continue
		}
		got = append(got, r.Action)
		if r.Outcome != "allowed" || r.Org != "" || r.Action == "start" && !strings.Contains(r.Detail, "v9.9.9-test") {
			t.Errorf("recorded as %+v", r)
		}
	}
	if diff := cmp.Diff([]string{"start", "stop", "start", "stop", "start"}, got); diff != "" {
		t.Errorf("want (-), recorded (+):\n%s", diff)
	}
}

// TestAuditPresentedKeys: a failed authentication keeps the lookup id of a key
// that could be one, and nothing of any other.
func TestAuditPresentedKeys(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	id, revoked := w.newKey(t, w.writer.id, obj{})
	w.admin.do(t, http.MethodDelete, w.inOrg("agents", w.writer.id, "keys", id), nil).ok(t, 200)
	archived := w.newAgent(t, "archived")
	w.archive(t, true, "agents", archived.id)
	lookup := revoked.key[len("chy_") : len("chy_")+12]
	spoilt := revoked.key[:20] + strings.Repeat("0", 10) + revoked.key[30:]
	for name, tt := range map[string]struct {
		key  string
		keep string
	}{
		"revoked": {revoked.key, lookup}, "of an archived agent": {archived.key, archived.key[4:16]}, "a wrong checksum": {spoilt, ""}, "nonsense": {"chy_" + lookup, ""},
	} {
		t.Run(name, func(t *testing.T) {
			request := "presented-" + strings.ReplaceAll(name, " ", "-")
			caller{w.URL, tt.key}.do(t, http.MethodGet, w.team.path(), nil, header("X-Request-Id", request)).code(t, "unauthenticated")
			rows := of(w.access(t, "type", "authenticate"), request)
			if len(rows) != 1 {
				t.Fatalf("%d records", len(rows))
			}
			all := fmt.Sprintf("%+v %+v", rows[0], rows[0].Actor)
			if tt.keep != "" && !strings.Contains(all, tt.keep) {
				t.Errorf("the lookup id %s is missing: %s", tt.keep, all)
			}
			if tt.keep == "" && strings.Contains(all, lookup) {
				t.Errorf("part of a key that could not be one is recorded: %s", all)
			}
			if len(tt.key) > 30 && strings.Contains(all, tt.key[len(tt.key)-20:]) {
				t.Errorf("the key is recorded: %s", all)
			}
		})
	}
}

// TestAuditOfStrangers: what an agent of another organization tries on this
// one's directory stands in the access log of the organization that it tried it
// on. A scope in a path of the agent API is one of the caller's own organization,
// whatever its id: trying it concerns nobody else.
func TestAuditOfStrangers(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	w.writer.create(t, w.team, "s", keyed("f", plain("x")))
	org2 := w.add(t, "/admin/orgs", obj{"name": "Elsewhere"})
	id := w.add(t, "/admin/orgs/"+org2+"/agents", obj{"name": "far"})
	key := w.admin.do(t, http.MethodPost, "/admin/orgs/"+org2+"/agents/"+id+"/keys", obj{}).ok(t, 201)
	far := caller{w.URL, stringOf(t, key, "apiKey")}
	for i, target := range []string{w.team.path("s"), w.inOrg("agents")} {
		request := fmt.Sprint("far-", i)
		far.do(t, http.MethodGet, target, nil, header("X-Request-Id", request)).code(t, "forbidden")
		tried := of(w.access(t, "actor", id, "outcome", "denied"), request)
		own := of(accessOf(t, w.auditor.caller, "/admin/orgs/"+org2+"/access"), request)
		if len(tried) != i || len(own) != 1-i {
			t.Errorf("%s is recorded for the organization tried as %+v, for its own as %+v", target, tried, own)
		}
	}
}

// TestAuditLargestRecords: with every member as long as it may be, in
// characters of four bytes, a message of the log stays under 60 KiB however
// many records wait together.
func TestAuditLargestRecords(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	secret, field := strings.Repeat("s", 128), strings.Repeat("f", 128)
	w.writer.create(t, w.team, secret, keyed(field, plain("x")))
	long := strings.Repeat("\U0001F600", 300)
	const n = 400
	answers := together(n, func(i int) reply {
		return w.writer.do(t, http.MethodGet, w.team.field(secret, field), nil, header("Chancery-Reason", long), header("Chancery-Run-Id", long), header("User-Agent", long), header("X-Request-Id", fmt.Sprintf("%0128d", i)))
	})
	for _, r := range answers() {
		r.ok(t, 200)
	}
	rows := w.access(t, "type", "read", "limit", "1000")
	if len(rows) != n {
		t.Fatalf("%d records, want %d", len(rows), n)
	}
	want := strings.Repeat("\U0001F600", 256)
	for _, r := range rows {
		if r.Reason != want || r.RunID != want || r.UserAgent != want || r.SecretID != secret || r.FieldKey != field {
			t.Fatalf("recorded as %+v", r)
		}
	}
	size := w.accessSigned(t)
	eventually(t, "a checkpoint over the accesses", func() bool { return w.accessSigned(t) > size })
	w.checkTiles(t)
}

// TestAuditValuesInAnswersOfWrites: an answer that shows plaintext values that
// the request did not bring leaves a record of the read, also when it answers
// a change that was stored: else a rename reads without being recorded.
func TestAuditValuesInAnswersOfWrites(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	const value = "canary-1f"
	w.writer.create(t, w.team, "s", keyed("f", plain(value)))
	r := w.writer.rename(t, w.team, "s", "another", header("X-Request-Id", "writes-1")).ok(t, 200)
	if rows := of(w.access(t), "writes-1"); strings.Contains(string(r.raw), value) && len(rows) == 0 {
		t.Error("the answer of a PATCH shows a value, and no read is recorded")
	}
}

// TestAuditRecordsAreReadable: a denial on an organization that does not exist
// is shown to the auditors of the first organization, since it concerns no
// other.
func TestAuditRecordsAreReadable(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	target := "/admin/orgs/org_" + ulidOfNobody
	w.writer.do(t, http.MethodGet, target+"/teams", nil, header("X-Request-Id", "nobody-1")).code(t, "forbidden")
	if rows := of(w.access(t), "nobody-1"); len(rows) != 1 {
		r := w.auditor.send(t, http.MethodGet, target+"/access", nil)
		t.Errorf("%d records for the first organization's auditor; asked for the other organization: %d", len(rows), r.status)
	}
}
