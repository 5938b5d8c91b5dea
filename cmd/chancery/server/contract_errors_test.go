package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// oversized makes the body one byte too large.
func oversized(r *http.Request) {
	body := strings.Repeat(" ", 1<<20+1)
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	r.GetBody = nil
	if r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
}

// chunked sends the body without its length.
func chunked(r *http.Request) { r.ContentLength, r.TransferEncoding = -1, []string{"chunked"} }

// TestContractProblems: each code that a client can provoke, by itself. Those
// that a request of its own topic provokes are in that topic's test too.
func TestContractProblems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	sealed := w.ada.seal(t, at, "s", "e", "x")
	w.ada.do(t, http.MethodPut, at.path("s"), newSecret("n", keyed("p", plain("x")), keyed("e", encrypted(sealed)))).ok(t, 201)

	t.Run("route_not_found", func(t *testing.T) {
		for _, target := range []string{
			"/", "/agent", "/agent/", "/agent/secrets/team", "/agent/secrets", "/agent/nope", "/nope", "/admin", "/admin/nope",
			at.path("s", "nope"), at.path("s", "fields"), at.path("s", "history", "x"),
			"/agent/identity", "/agent/identity/whoami/x", "/agent/secrets/scopes/x/y/z/w", w.inOrg("nope"), "//agent/identity/whoami", "/AGENT/identity/whoami",
			"/agent/identity/whoami/", "/agent/secrets/scopes/", at.path("s") + "/",
		} {
			for _, c := range []caller{w.ada.caller, {url: w.URL}} { // before the key is looked at
				if r := c.do(t, http.MethodGet, target, nil); r.problem.Code != "route_not_found" {
					t.Errorf("GET %s: %d %s", target, r.status, r.problem.Code)
				}
			}
		}
	})
	t.Run("route_not_found/below the last segment of a route", func(t *testing.T) {
		for target, method := range map[string]string{
			at.path("s", "fields", "f", "x"): "GET", at.path("s", "fields", "f") + "/": "PUT", at.path("s", "fields", "f", "x", "y"): "DELETE",
			w.inOrg("teams", w.teamA.id, "x"): "PATCH", w.inOrg("projects", w.projA.id, "x"): "PATCH", w.inOrg("agents", w.ada.id, "x"): "PATCH",
			w.inOrg("agents", w.ada.id, "keys", w.ada.keyID, "x"): "DELETE", w.inOrg("agents", w.ada.id, "memberships", "team", w.teamA.id, "x"): "DELETE",
		} {
			for _, c := range []caller{w.admin, {url: w.URL}} {
				if r := c.do(t, method, target, nil); r.problem.Code != "route_not_found" {
					t.Errorf("%s %s: %d %s", method, target, r.status, r.problem.Code)
				}
			}
		}
	})
	t.Run("method_not_allowed", func(t *testing.T) {
		for target, allowed := range map[string]string{
			"/agent/identity/whoami": "GET", "/agent/secrets/scopes": "GET", at.path(): "GET", at.path("s"): "DELETE GET PATCH PUT",
			at.field("s", "p"): "DELETE GET PUT", at.path("s", "history"): "GET", "/agent/secrets/generate-data-key": "POST",
			"/agent/secrets/decrypt-data-key": "POST", "/agent/secrets/resolve": "GET", "/agent/secrets/resolve/s": "GET",
			"/admin/orgs": "GET POST", w.inOrg("teams"): "GET POST", w.inOrg("teams", w.teamA.id): "PATCH",
		} {
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
				if slices.Contains(strings.Fields(allowed), method) {
					continue
				}
				for _, c := range []caller{w.ada.caller, {url: w.URL}} {
					r := c.do(t, method, target, nil)
					if r.problem.Code != "method_not_allowed" {
						t.Errorf("%s %s: %d %s", method, target, r.status, r.problem.Code)
						continue
					}
					got := regexp.MustCompile(`[A-Z]+`).FindAllString(r.header.Get("Allow"), -1)
					for _, want := range strings.Fields(allowed) {
						if !slices.Contains(got, want) {
							t.Errorf("%s %s: Allow %q lacks %s", method, target, got, want)
						}
					}
					if slices.Contains(got, method) {
						t.Errorf("%s %s: Allow %q", method, target, got)
					}
				}
			}
		}
	})
	t.Run("unauthenticated", func(t *testing.T) {
		key := w.ada.key
		typo := []byte(key)
		typo[20] ^= 1
		for name, value := range map[string]string{
			"empty": "", "no scheme": key, "basic": "Basic " + key, "nothing": "Bearer", "nothing and a space": "Bearer ", "two": "Bearer " + key + " " + key,
			"a typo": "Bearer " + string(typo), "cut": "Bearer " + key[:len(key)-1], "longer": "Bearer " + key + "0", "other case": "Bearer " + swapCase(key),
			"the lookup id alone": "Bearer " + key[:17], "a quote": `Bearer "` + key + `"`, "4 KB": "Bearer " + strings.Repeat("k", 4096), "not ASCII": "Bearer ä", "a list": "Bearer " + key + ", Bearer " + key,
		} {
			t.Run(name, func(t *testing.T) {
				c := caller{url: w.URL}
				for _, target := range []string{"/agent/identity/whoami", at.path("s"), "/admin/orgs"} {
					c.do(t, http.MethodGet, target, nil, authorization(value)).code(t, "unauthenticated")
				}
			})
		}
		t.Run("twice", func(t *testing.T) {
			caller{url: w.URL}.do(t, http.MethodGet, "/agent/identity/whoami", nil, func(r *http.Request) {
				r.Header["Authorization"] = []string{"Bearer " + key, "Bearer " + w.bob.key}
			}).refused(t, 401, "unauthenticated")
		})
		t.Run("never sent", func(t *testing.T) {
			caller{url: w.URL}.do(t, http.MethodGet, "/agent/identity/whoami", nil).code(t, "unauthenticated")
		})
		t.Run("in the query", func(t *testing.T) {
			caller{url: w.URL}.do(t, http.MethodGet, "/agent/identity/whoami?access_token=x", nil).code(t, "unauthenticated")
		})
	})
	w.unchanging(t, "body_too_large", func(t *testing.T) {
		w.ada.do(t, http.MethodPut, at.path("big"), nil, oversized).code(t, "body_too_large")
		w.ada.do(t, http.MethodPut, at.path("big"), nil, oversized, chunked).code(t, "body_too_large")
	})
	t.Run("a body of just 1 MiB", func(t *testing.T) {
		body := `{"secretName":"n","category":"c"}`
		w.ada.do(t, http.MethodPut, at.path("brim"), raw(body+strings.Repeat(" ", 1<<20-len(body)))).ok(t, 201)
	})
	w.unchanging(t, "unsupported_media_type", func(t *testing.T) {
		for _, value := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx", "application/json-patch+json", "json", "", "*/*", "application/*"} {
			w.ada.do(t, http.MethodPut, at.path("typed"), newSecret("n"), contentType(value)).code(t, "unsupported_media_type")
		}
		w.ada.do(t, http.MethodPut, at.path("typed"), newSecret("n"), without("Content-Type")).code(t, "unsupported_media_type")
	})
	t.Run("media types of JSON", func(t *testing.T) {
		for i, value := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON", `application/json;charset="UTF-8"`} {
			w.ada.do(t, http.MethodPut, at.path(fmt.Sprint("typed", i)), newSecret("n"), contentType(value)).ok(t, 201)
		}
	})
	w.unchanging(t, "one of each", func(t *testing.T) {
		w.ada.do(t, http.MethodPut, at.path("x"), obj{"category": "c"}).code(t, "invalid_request")
		w.ada.do(t, http.MethodPut, at.path("x"), raw(`{`)).code(t, "invalid_json")
		w.ada.do(t, http.MethodPut, at.path("x.y"), newSecret("n")).code(t, "invalid_id")
		w.ada.do(t, http.MethodGet, at.path()+"?x=1", nil).code(t, "invalid_query")
		w.ada.do(t, http.MethodGet, at.path()+"?cursor=x", nil).code(t, "invalid_cursor")
		w.ada.set(t, at, "s", "e", encrypted(obj{"version": 2})).code(t, "invalid_envelope")
		w.ada.do(t, http.MethodPut, at.path("x"), newSecret(strings.Repeat("n", 257))).code(t, "too_long")
		w.ada.do(t, http.MethodPatch, at.path("s"), obj{}).code(t, "empty_patch")
		w.ada.rename(t, at, "s", "x", ifMatch("v1")).code(t, "precondition_invalid")
		w.bob.do(t, http.MethodGet, at.path("s"), nil).code(t, "forbidden")
		w.ada.do(t, http.MethodGet, at.path("x"), nil).code(t, "secret_not_found")
		w.ada.do(t, http.MethodGet, at.field("s", "x"), nil).code(t, "field_not_found")
		w.admin.do(t, http.MethodPatch, w.inOrg("teams", "team_"+ulidOfNobody), obj{"name": "x"}).code(t, "not_found")
		w.ada.do(t, http.MethodPut, at.path("s"), newSecret("m")).code(t, "secret_exists")
		w.ada.set(t, at, "s", "e", plain("x")).code(t, "sensitivity_downgrade")
		again := sealed
		again.IV = tobase64(make([]byte, 12))
		w.ada.set(t, at, "s", "e", encrypted(again)).code(t, "data_key_reused")
		w.ada.rename(t, at, "s", "x", ifMatch(`"v9"`)).code(t, "version_mismatch")
		again.DataKey = tobase64(make([]byte, 142))
		w.ada.set(t, at, "s", "e", encrypted(again)).code(t, "data_key_mismatch")
	})
	t.Run("no problem repeats what was sent", func(t *testing.T) {
		const canary = "kanarienvogel"
		for name, body := range map[string]raw{
			"wrong type": `{"secretName":["` + canary + `"],"category":"c"}`, "syntax": `{"secretName":"` + canary + `",}`, "trailing": `{"secretName":"n","category":"c"}` + canary,
			"too long":          raw(`{"secretName":"n","category":"c","fields":[{"key":"k","sensitivity":"plaintext","value":"` + strings.Repeat(canary, 6000) + `"}]}`),
			"mismatch":          `{"secretName":"n","category":"c","fields":[{"key":"k","sensitivity":"encrypted","value":"` + canary + `"}]}`,
			"wrong sensitivity": `{"secretName":"n","category":"c","fields":[{"key":"k","sensitivity":"` + canary + `","value":"` + canary + `"}]}`,
			"envelope":          `{"secretName":"n","category":"c","fields":[{"key":"k","sensitivity":"encrypted","envelope":{"version":1,"iv":"` + canary + `","ciphertext":"` + canary + `","authTag":"` + canary + `","dataKeyCiphertext":"` + canary + `"}}]}`,
			"bare":              `"` + canary + `"`, "value of an unknown member": `{"secretName":"n","category":"c","x":"` + canary + `"}`, "duplicate": `{"secretName":"` + canary + `","secretName":"` + canary + `"}`,
		} {
			r := w.ada.do(t, http.MethodPut, at.path("x"), body)
			if r.status != 400 || strings.Contains(string(r.raw), canary) {
				t.Errorf("%s: %d %.300s", name, r.status, r.raw)
			}
		}
		r := caller{w.URL, canary}.do(t, http.MethodGet, at.path("x"), nil).code(t, "unauthenticated")
		if strings.Contains(string(r.raw), canary) || strings.Contains(w.LogText(), canary) {
			t.Error("a token is repeated")
		}
	})
}

func swapCase(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c ^ 0x20
		}
		return c
	}, s)
}

// TestContractExpectContinue: a client that waits to be told to go on with
// its body gets its refusal without sending it (RFC 9110, section 10.1.1).
func TestContractExpectContinue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, tt := range map[string]struct {
		target, key string
		length      int
		want        string
	}{
		"no key":        {w.teamA.path("s"), "", 100, "401"},
		"too large":     {w.teamA.path("s"), w.ada.key, 1<<20 + 1, "413"},
		"no route":      {"/nope", w.ada.key, 100, "404"},
		"what is right": {w.teamA.path("s"), w.ada.key, 100, "100"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
				tt.target, tt.key, tt.length)
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "HTTP/1.1 "+tt.want) {
				t.Errorf("answered %q, %v, want %s", line, err, tt.want)
			}
		})
	}
}

// TestContractRateLimit: an agent holds at most 1,000 open mints before
// create; what it holds and what others do goes on.
func TestContractRateLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.ada.mint(t, w.teamA, "p0", "f")
	var refused reply
	for i := 1; i <= 1000 && refused.status == 0; i++ {
		if r := w.ada.tryMint(t, w.teamA, fmt.Sprint("p", i), "f"); r.status != 200 {
			if i < 1000 {
				t.Fatalf("mint %d: %d %s", i+1, r.status, r.raw)
			}
			refused = r
		}
	}
	refused.code(t, "rate_limited")
	w.alan.mint(t, w.teamA, "another", "f")
	w.ada.do(t, http.MethodPut, w.teamA.path("p0"), newSecret("n", keyed("f", encrypted(first.seal(t, "x"))))).ok(t, 201)
	w.ada.mint(t, w.teamA, "p0", "g")
}

// TestContractFloodOfBadKeys: a bad key is 401 however many came before it,
// since 401 comes before 429, and keeps no good key from the same address out.
func TestContractFloodOfBadKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, revoked := w.newKey(t, w.ada.id, obj{})
	w.admin.do(t, http.MethodDelete, w.inOrg("agents", w.ada.id, "keys", id), nil).ok(t, 200)
	bad := []caller{{url: w.URL}, {w.URL, "chy_x"}, {w.URL, revoked.key[:len(revoked.key)-1] + "0"}, revoked}
	answers := map[string]int{}
	for i := range 600 {
		r := bad[i%len(bad)].do(t, http.MethodGet, "/agent/identity/whoami", nil)
		answers[fmt.Sprint(r.status, " ", r.problem.Code)]++
		if i%50 == 0 {
			w.ada.do(t, http.MethodGet, "/agent/identity/whoami", nil).ok(t, 200)
			w.ada.create(t, w.teamA, fmt.Sprint("s", i))
		}
	}
	if len(answers) != 1 || answers["401 unauthenticated"] == 0 {
		t.Errorf("answers %v, want 401 unauthenticated alone", answers)
	}
}

// TestContractOperations: what is served without a key.
func TestContractOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ada.create(t, w.teamA, "counted", keyed("f", plain("x")))
	for target, form := range map[string]string{
		"/healthz": "", "/readyz": "", "/metrics": `(?m)^# TYPE \w+ (counter|gauge|histogram|summary)$`, "/openapi.yaml": `(?m)^openapi: ["']?3\.1\.`, "/docs": `(?i)<!doctype html|<html`,
	} {
		t.Run(target, func(t *testing.T) {
			r := caller{url: w.URL}.send(t, http.MethodGet, target, nil)
			r.ok(t, 200).checkHeaders(t)
			if !regexp.MustCompile(form).Match(r.raw) {
				t.Errorf("%.300s", r.raw)
			}
			for _, secret := range []string{"counted", w.ada.id, w.teamA.id, w.org.id} {
				if strings.Contains(string(r.raw), secret) {
					t.Errorf("it names %s", secret)
				}
			}
		})
	}
	t.Run("/docs reaches no other host", func(t *testing.T) {
		page := string(caller{url: w.URL}.send(t, http.MethodGet, "/docs", nil).raw)
		for _, reach := range regexp.MustCompile(`(?i)(src|href|action)\s*=\s*["']?(https?:)?//[^"'> ]+|@import|fetch\(["'](https?:)?//`).FindAllString(page, -1) {
			t.Errorf("/docs has %s", reach)
		}
	})
}
