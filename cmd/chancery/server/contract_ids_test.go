package server_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// badIDs are no ids, as they stand in a path: percent-encoded where a URL
// needs it.
var badIDs = map[string]string{
	"dot": ".", "dots": "..", "dot encoded": "%2e", "dots encoded": "%2E%2e", "star": "*", "star encoded": "%2A", "greater": ">", "greater encoded": "%3E",
	"NUL": "%00", "NUL inside": "a%00b", "newline": "a%0Ab", "return": "a%0D%0Ab", "tab": "%09", "escape": "%1B", "delete": "a%7F", "space": "a%20b", "trailing space": "a%20",
	"plus": "a+b", "4 KB": strings.Repeat("a", 4096), "129": strings.Repeat("a", 129), "4 KB of stars": strings.Repeat("*", 4096), "umlaut": "%C3%A4", "emoji": "%F0%9F%98%80",
	"invalid UTF-8": "%FF", "overlong": "%C0%AF", "fullwidth": "%EF%BC%A1", "zero width": "a%E2%80%8Bb", "right to left": "%E2%80%AEa", "dash first": "-a", "underscore first": "_a",
	"dot first": ".a", "dollar": "$JS", "quote": "%22", "tick": "'", "backslash": "%5C", "percent": "%25", "encoded twice": "%252e", "colon": "a:b", "at": "@", "tilde": "~", "semicolon": "a;b",
	"comma": "a,b", "equals": "a=b", "ampersand": "a&b", "hash": "%23", "question": "a%3Fb", "bracket": "%7Ba%7D", "bang": "a!", "wildcard subject": "a.%3E", "template": "$%7Ba%7D",
}

// TestContractIDs: what is no id is 400 in every place that takes one, and
// changes nothing; what is one is taken as it is.
func TestContractIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	w.ada.create(t, at, "s", keyed("f", plain("x")))
	base := "/agent/secrets/team/"
	for name, bad := range badIDs {
		w.unchanging(t, name, func(t *testing.T) {
			refuse := func(c caller, method, target string, body any) {
				t.Helper()
				if r := c.do(t, method, target, body); r.problem.Code != "invalid_id" {
					t.Errorf("%s %.60s: %d %s", method, target, r.status, r.problem.Code)
				}
			}
			in := at.path() + "/" + bad
			refuse(w.ada.caller, "GET", base+bad, nil)
			refuse(w.ada.caller, "GET", base+bad+"/s", nil)
			refuse(w.ada.caller, "PUT", base+bad+"/s", newSecret("n"))
			refuse(w.ada.caller, "GET", in, nil)
			refuse(w.ada.caller, "PUT", in, newSecret("n"))
			refuse(w.ada.caller, "PATCH", in, obj{"secretName": "n"})
			refuse(w.ada.caller, "DELETE", in, nil)
			refuse(w.ada.caller, "GET", in+"/history", nil)
			refuse(w.ada.caller, "PUT", in+"/fields/f", plain("x"))
			refuse(w.ada.caller, "GET", "/agent/secrets/resolve/"+bad, nil)
			refuse(w.admin, "PATCH", w.inOrg("teams", bad), obj{"name": "n"})
			refuse(w.admin, "GET", "/admin/orgs/"+bad+"/teams", nil)
			refuse(w.admin, "PUT", w.inOrg("agents", bad, "memberships", "team", at.id), obj{"role": "reader"})
			refuse(w.admin, "PUT", w.inOrg("agents", w.ada.id, "memberships", "team", bad), obj{"role": "reader"})
			refuse(w.admin, "DELETE", w.inOrg("agents", w.ada.id, "keys", bad), nil)
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				var body any
				if method == "PUT" {
					body = plain("x")
				}
				refuse(w.ada.caller, method, at.path("s")+"/fields/"+bad, body)
			}
		})
	}
	t.Run("in a body", func(t *testing.T) {
		for _, bad := range []string{"", ".", "..", "*", ">", "\x00", "a\nb", "a/b", "ä", "a b", "-a", strings.Repeat("a", 129), strings.Repeat("a", 4096), "a\u202eb"} {
			for _, member := range []string{"scopeId", "secretId", "fieldKey"} {
				body := mintBody(at, "s", "f")
				body[member] = bad
				for _, path := range []string{"/agent/secrets/generate-data-key", "/agent/secrets/decrypt-data-key"} {
					if strings.Contains(path, "decrypt") {
						body["dataKeyCiphertext"] = "x"
					}
					w.ada.do(t, http.MethodPost, path, body).code(t, "invalid_id", "invalid_request")
				}
			}
			w.unchanged(t, func() {
				w.ada.do(t, http.MethodPut, at.path("new"), newSecret("n", keyed(bad, plain("x")))).code(t, "invalid_id", "invalid_request")
			})
		}
	})
	t.Run("scopes that are none", func(t *testing.T) {
		for _, scope := range []string{"planet", "Team", "teams", "organization", "*", "%00", "user", "directory"} {
			w.ada.do(t, http.MethodGet, "/agent/secrets/"+scope+"/"+at.id, nil).code(t, "invalid_id", "invalid_request")
			w.ada.do(t, http.MethodGet, "/agent/secrets/"+scope+"/"+at.id+"/s", nil).code(t, "invalid_id", "invalid_request")
			body := mintBody(at, "s", "f")
			body["scope"] = scope
			w.ada.do(t, http.MethodPost, "/agent/secrets/generate-data-key", body).code(t, "invalid_id", "invalid_request")
		}
	})
	t.Run("an encoded slash never reaches another route", func(t *testing.T) {
		for _, target := range []string{at.path() + "/s%2Fhistory", at.path() + "/s%2Ffields%2Ff", base + at.id + "%2Fs", "/agent%2Fidentity%2Fwhoami", at.path("s") + "%2f..%2fs"} {
			for _, method := range []string{"GET", "DELETE"} {
				r := w.ada.do(t, method, target, nil)
				if c := r.problem.Code; c != "invalid_id" && c != "route_not_found" && c != "method_not_allowed" {
					t.Errorf("%s %s: %d %s", method, target, r.status, c)
				}
			}
		}
	})
	t.Run("an empty segment", func(t *testing.T) {
		for _, target := range []string{base + "/s", at.path() + "/", at.path() + "//history", at.path("s") + "/fields/"} {
			if r := w.ada.do(t, http.MethodGet, target, nil); r.problem.Code != "route_not_found" && r.problem.Code != "invalid_id" {
				t.Errorf("%s: %d %s", target, r.status, r.problem.Code)
			}
		}
	})
	t.Run("what no URL may hold", func(t *testing.T) {
		for _, target := range []string{"/agent/secrets/team/%zz", "/agent/secrets/team/%", "/agent/secrets/team/a b", "/agent/secrets/team/\x01", "*", "agent"} {
			conn, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", target, w.ada.key)
			if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 4") {
				t.Errorf("%q: %q, %v", target, line, err)
			}
		}
	})
	t.Run("ids that are some", func(t *testing.T) {
		for _, id := range []string{"0", "Z", "a-", "a_", "9-_-9", strings.Repeat("z", 128), "history", "fields", "resolve", "scopes", "generate-data-key", "events", "constructor"} {
			w.ada.create(t, at, id, keyed(id, plain("x")), keyed("a.b", plain("y")), keyed("0..", plain("z")))
			if got := w.ada.get(t, at, id).Aggregate; got.SecretID != id || len(got.Fields) != 3 {
				t.Errorf("%s: %+v", id, got)
			}
			w.ada.do(t, http.MethodGet, at.field(id, "a.b"), nil).ok(t, 200)
			w.ada.set(t, at, id, "0..", plain("x")).ok(t, 200)
			w.ada.do(t, http.MethodGet, at.path(id, "history"), nil).ok(t, 200)
		}
		w.ada.do(t, http.MethodGet, at.path("Z"), nil).ok(t, 200)
		w.ada.do(t, http.MethodGet, at.path("z"), nil).code(t, "secret_not_found") // no folding of case
		// What a path encodes without need is the same id.
		if got := into[secretView](t, w.ada.do(t, http.MethodGet, at.path()+"/%5A", nil).ok(t, 200)); got.Aggregate.SecretID != "Z" {
			t.Errorf("%+v", got)
		}
	})
}
