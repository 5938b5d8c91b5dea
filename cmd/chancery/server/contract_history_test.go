package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestContractHistory: what an entry says and does not say, both orders,
// paging, and the headers that are recorded.
func TestContractHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA

	t.Run("entries", func(t *testing.T) {
		headers := []tweak{
			header("X-Request-Id", "req:1.a_B-c"), header("User-Agent", "agent/1"),
			header("Chancery-Reason", "because ä"), header("Chancery-Run-Id", "run 7"),
		}
		sealed := w.ada.seal(t, at, "h", "e", "x")
		body := obj{"secretName": "H", "category": "c1", "fields": []obj{keyed("p", plain("y")), keyed("e", encrypted(sealed))}}
		made := w.ada.do(t, http.MethodPut, at.path("h"), body, headers...).ok(t, 201)
		w.alan.do(t, http.MethodPatch, at.path("h"), obj{"secretName": "I", "tags": []string{"b", "a"}}).ok(t, 200)
		w.alan.do(t, http.MethodDelete, at.field("h", "e"), nil).ok(t, 200)
		w.ada.do(t, http.MethodDelete, at.path("h"), nil).ok(t, 200)

		r := w.alan.do(t, http.MethodGet, at.path("h", "history"), nil).ok(t, 200)
		checkMembers(t, r)
		entries := into[[]historyEntry](t, r)
		slices.Reverse(entries)
		first := entries[0]
		if first.Position != made.position(t) || first.RequestID != "req:1.a_B-c" || first.UserAgent != "agent/1" ||
			first.Reason != "because ä" || first.RunID != "run 7" || first.ClientIP != "127.0.0.1" || first.EventID == "" {
			t.Errorf("entry %+v", first)
		}
		if first.Actor.Kind != "agent" || first.Actor.ID != w.ada.id || first.Actor.Name != "ada" || first.Actor.KeyID != w.ada.keyID {
			t.Errorf("actor %+v", first.Actor)
		}
		if second := entries[1]; second.Reason != "" || second.RunID != "" || second.Actor.ID != w.alan.id {
			t.Errorf("entry %+v", second)
		}
		checkFields(t, first, "e encrypted", "p plaintext")
		checkFields(t, entries[2], "e encrypted")
		checkFields(t, entries[3])
		want := map[string]fromTo{
			"name": {json.RawMessage(`"H"`), json.RawMessage(`"I"`)}, "tags": {json.RawMessage(`[]`), json.RawMessage(`["a","b"]`)},
		}
		if diff := cmp.Diff(want, entries[1].Changes); diff != "" {
			t.Error(diff)
		}
		checkDelete := entries[3]
		if checkDelete.Type != "secret.deleted" || checkDelete.Version != 4 {
			t.Errorf("entry %+v", checkDelete)
		}
	})
	t.Run("orders and pages", func(t *testing.T) {
		w.ada.create(t, at, "pages")
		for i := range 6 {
			w.ada.rename(t, at, "pages", fmt.Sprint(i)).ok(t, 200)
		}
		for _, tt := range []struct {
			query []string
			want  []int
		}{
			{nil, []int{7, 6, 5, 4, 3, 2, 1}},
			{[]string{"order", "desc"}, []int{7, 6, 5, 4, 3, 2, 1}},
			{[]string{"order", "asc"}, []int{1, 2, 3, 4, 5, 6, 7}},
		} {
			for _, limit := range []string{"1", "3", "7", "1000"} {
				var got []int
				for _, page := range w.alan.pages(t, at.path("pages", "history"), append(slices.Clone(tt.query), "limit", limit)...) {
					for _, e := range into[[]historyEntry](t, page) {
						got = append(got, e.Version)
					}
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("%q limit %s: %s", tt.query, limit, diff)
				}
			}
		}
		for _, q := range [][]string{{"order", "up"}, {"order", ""}, {"order", "ASC"}, {"limit", "0"}, {"limit", "1001"}} {
			w.ada.do(t, http.MethodGet, at.path("pages", "history")+query(q...), nil).code(t, "invalid_query")
		}
	})
	t.Run("of a secret that never was", func(t *testing.T) {
		w.ada.do(t, http.MethodGet, at.path("never", "history"), nil).code(t, "secret_not_found")
	})
}

// checkMembers holds every entry against the members of the contract.
func checkMembers(t *testing.T, r reply) {
	t.Helper()
	var rows []json.RawMessage
	if err := json.Unmarshal(r.data, &rows); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		got := members(t, row, "position", "eventId", "type", "time", "actor", "version", "fields?", "changes?",
			"requestId", "clientIp", "userAgent?", "reason?", "runId?")
		members(t, got["actor"], "kind", "id", "name", "keyId")
		var at string
		if err := json.Unmarshal(got["time"], &at); err != nil {
			t.Fatal(err)
		}
		instant(t, at)
	}
}

func checkFields(t *testing.T, e historyEntry, want ...string) {
	t.Helper()
	var got []string
	for _, f := range e.Fields {
		got = append(got, f.Key+" "+f.Sensitivity)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields of %s: %s", e.Type, diff)
	}
}

// TestContractRecordedHeaders: what a client says about itself is bounded,
// and cannot carry what a log line must not.
func TestContractRecordedHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	write := func(t *testing.T, tweaks ...tweak) (reply, historyEntry) {
		t.Helper()
		id := w.id()
		r := w.ada.do(t, http.MethodPut, at.path(id), newSecret("n"), tweaks...).ok(t, 201)
		return r, w.ada.history(t, at, id)[0]
	}
	t.Run("a request id is taken over", func(t *testing.T) {
		for _, id := range []string{"a", "A.b_c:d-9", strings.Repeat("r", 128)} {
			r, e := write(t, header("X-Request-Id", id))
			if r.header.Get("X-Request-Id") != id || e.RequestID != id {
				t.Errorf("%q: answered %q, recorded %q", id, r.header.Get("X-Request-Id"), e.RequestID)
			}
		}
		r := w.ada.do(t, http.MethodGet, at.path("nosuch"), nil, header("X-Request-Id", "mine")).code(t, "secret_not_found")
		if r.problem.Instance != "mine" {
			t.Errorf("instance %q", r.problem.Instance)
		}
	})
	t.Run("a bad request id is replaced", func(t *testing.T) {
		seen := map[string]bool{}
		for _, id := range []string{"", "a b", "ä", "a/b", "a,b", strings.Repeat("r", 129), "<x>"} {
			r, e := write(t, header("X-Request-Id", id))
			got := r.header.Get("X-Request-Id")
			if got == id || seen[got] || e.RequestID != got {
				t.Errorf("%q: answered %q, recorded %q", id, got, e.RequestID)
			}
			seen[got] = true
		}
	})
	t.Run("a user agent is replaced where it is bad", func(t *testing.T) {
		for sent, want := range map[string]string{
			"plain/1.0": "plain/1.0", "über/1 😀": "über/1 😀",
			strings.Repeat("u", 300): strings.Repeat("u", 256), strings.Repeat("😀", 300): strings.Repeat("😀", 256),
		} {
			if _, e := write(t, header("User-Agent", sent)); e.UserAgent != want {
				t.Errorf("%.20q is recorded as %.20q (%d bytes)", sent, e.UserAgent, len(e.UserAgent))
			}
		}
		for _, sent := range []string{"a\tb", "a\xffb", "a\xed\xa0\x80b", "a\u0085b"} {
			_, e := write(t, header("User-Agent", sent))
			if !strings.HasPrefix(e.UserAgent, "a") || !strings.HasSuffix(e.UserAgent, "b") || strings.ContainsAny(e.UserAgent, "\t\u0085") ||
				len(e.UserAgent) < 3 {
				t.Errorf("%q is recorded as %q", sent, e.UserAgent)
			}
		}
	})
	for _, name := range []string{"Chancery-Reason", "Chancery-Run-Id"} {
		t.Run(name, func(t *testing.T) {
			recorded := func(sent string) string {
				_, e := write(t, header(name, sent))
				if name == "Chancery-Reason" {
					return e.Reason
				}
				return e.RunID
			}
			for _, sent := range []string{"r", "a, b; c", "ä 😀", strings.Repeat("😀", 256)} {
				if got := recorded(sent); got != sent {
					t.Errorf("%.20q is recorded as %.20q", sent, got)
				}
			}
			if got := recorded(strings.Repeat("😀", 257)); got != strings.Repeat("😀", 256) {
				t.Errorf("257 characters are recorded as %d bytes", len(got))
			}
			w.unchanged(t, func() {
				for _, sent := range []string{"a\tb", "a\xffb", "a\xed\xa0\x80b", "a\u0085b"} {
					w.ada.do(t, http.MethodPut, at.path("bad"), newSecret("n"), header(name, sent)).code(t, "invalid_request")
				}
			})
		})
	}
}

// TestContractAsOf: a secret as it stood at a version or a time.
func TestContractAsOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	w.ada.create(t, at, "s", keyed("p", plain("1")), keyed("e", encrypted(w.ada.seal(t, at, "s", "e", "x"))))
	w.ada.set(t, at, "s", "p", plain("2")).ok(t, 200)
	w.ada.do(t, http.MethodDelete, at.field("s", "e"), nil).ok(t, 200)
	viewer := w.newAgent(t, "viewer")
	w.grant(t, viewer, at, "viewer")
	asOf := func(q string) reply { return viewer.do(t, http.MethodGet, at.path("s")+q, nil) }

	t.Run("a viewer sees no value", func(t *testing.T) {
		for version, keys := range map[string]int{"1": 2, "2": 2, "3": 1} {
			r := asOf("?version="+version).ok(t, 200)
			members(t, r.data, "aggregate")
			a := into[secretView](t, r).Aggregate
			if len(a.Fields) != keys {
				t.Errorf("version %s: %+v", version, a.Fields)
			}
			for _, f := range a.Fields {
				if f.Value != nil || f.Envelope != nil {
					t.Errorf("version %s shows a value of %s", version, f.Key)
				}
			}
		}
		viewer.do(t, http.MethodGet, at.path("s"), nil).code(t, "forbidden")
	})
	t.Run("never there", func(t *testing.T) {
		asOf("?version=4").code(t, "secret_not_found")
		asOf("?version=18446744073709551615").refused(t, 404, "secret_not_found")
		viewer.do(t, http.MethodGet, at.path("never")+"?version=1", nil).code(t, "secret_not_found")
		viewer.do(t, http.MethodGet, at.path("never")+"?at=2030-01-01T00:00:00.000Z", nil).code(t, "secret_not_found")
	})
	t.Run("the time of an event includes it, the time before does not", func(t *testing.T) {
		made := instant(t, w.ada.history(t, at, "s")[2].Time)
		asOf("?at="+made.Format("2006-01-02T15:04:05.000Z")).ok(t, 200)
		asOf("?at="+made.Add(-1e6).Format("2006-01-02T15:04:05.000Z")).code(t, "secret_not_found")
		if v := into[secretView](t, asOf("?at=2999-01-01T00:00:00.000Z").ok(t, 200)).Aggregate.Version; v != 3 {
			t.Errorf("version %d", v)
		}
	})
	t.Run("bad questions", func(t *testing.T) {
		for _, q := range []string{
			"?version=1&at=2026-01-01T00:00:00.000Z", "?version=0", "?version=-1", "?version=x", "?version=", "?version=1.0", "?version=v1",
			"?version=1&version=1", "?at=", "?at=yesterday", "?at=2026-01-01", "?at=1767225600", "?at=2026-13-01T00:00:00.000Z",
			"?at=" + url.QueryEscape("2026-01-01 00:00:00"), "?version=18446744073709551616", "?limit=1", "?order=asc",
		} {
			asOf(q).code(t, "invalid_query")
		}
	})
}
