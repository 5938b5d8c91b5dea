package httpapi_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

const canary = "hunter2-canary"

// TestInternalErrors verifies invariant 6: an error that is no refusal is a
// 500 that shows the request id alone, and the log has it under that id.
func TestInternalErrors(t *testing.T) {
	w := newWorld(t)
	w.create(w.project, "db")
	w.store.fail = fmt.Errorf("disk %s: %w", canary, errors.New("I/O error"))
	for _, r := range []request{
		{method: "GET", path: w.path(w.project, "db"), as: w.writer},
		{method: "GET", path: w.path(w.project), as: w.writer},
		{method: "PUT", path: w.path(w.project, "db"), as: w.writer, body: createBody},
		{method: "GET", path: "/admin/orgs", as: w.root},
		{method: "GET", path: "/agent/secrets/resolve", as: w.writer},
		{method: "DELETE", path: w.path(w.project, "db"), as: w.writer},
	} {
		p := w.refused(domain.CodeInternal, r)
		if strings.Contains(p.Detail+p.Title, canary) {
			t.Errorf("%s %s shows the error", r.method, r.path)
		}
		if !strings.Contains(w.log.String(), p.Instance) {
			t.Errorf("%s %s is not in the log", r.method, r.path)
		}
	}
	for err, code := range map[error]domain.Code{
		fmt.Errorf("append: %w", context.DeadlineExceeded):                                         domain.CodeUnavailable,
		fmt.Errorf("wrapped: %w", domain.Errorf(domain.CodeOutcomeUnknown, "not settled")):         domain.CodeOutcomeUnknown,
		fmt.Errorf("wrapped: %w", &domain.Error{Code: domain.CodeRateLimited, RetryAfter: 1500e6}): domain.CodeRateLimited,
		domain.Errorf(domain.CodeInternal, canary):                                                 domain.CodeInternal,
		&domain.Error{Code: "nonsense", Detail: canary}:                                            domain.CodeInternal,
	} {
		w.store.fail = err
		r := request{method: "PUT", path: w.path(w.project, "db"), as: w.writer, body: createBody}
		if p := w.refused(code, r); strings.Contains(p.Detail, canary) {
			t.Errorf("%v: shown", err)
		}
		got := w.send(r).Header.Get("Retry-After")
		if want := map[domain.Code]string{domain.CodeUnavailable: "1", domain.CodeOutcomeUnknown: "1", domain.CodeRateLimited: "2"}[code]; got != want {
			t.Errorf("%s: Retry-After %q, want %q", code, got, want)
		}
	}
}

// panicking is a writer that panics with a value in hand.
type panicking struct{ with any }

func (p panicking) ChangeSecret(context.Context, domain.SecretRequest) (domain.SecretResult, error) {
	panic(p.with)
}

func (p panicking) ChangeDirectory(context.Context, domain.DirectoryRequest) (domain.DirectoryResult, error) {
	panic(p.with)
}

// TestPanics verifies invariants 6 and 7: a panic is a 500 without detail,
// its value stands nowhere, its type and stack stand in the log, and the
// server goes on.
func TestPanics(t *testing.T) {
	for _, with := range []any{canary, errors.New(canary), []byte(canary)} {
		w := newWorld(t, func(c *httpapi.Config) { c.Writer = panicking{with} })
		p := w.refused(domain.CodeInternal, request{method: "PUT", path: w.path(w.project, "db"), as: w.writer, body: createBody})
		log := w.log.String()
		if strings.Contains(log, canary) || strings.Contains(p.Detail, canary) {
			t.Error("the value is shown")
		}
		if !strings.Contains(log, p.Instance) || !strings.Contains(log, fmt.Sprintf("%T", with)) || !strings.Contains(log, "ChangeSecret") {
			t.Errorf("the log tells too little: %s", log)
		}
		w.want(200, request{method: "GET", path: "/agent/identity/whoami", as: w.writer})
	}
}

// TestCanary verifies invariant 7: a value that went through every call
// stands in no log line, metric, header, problem or access record.
func TestCanary(t *testing.T) {
	w := newWorld(t)
	path := w.path(w.project, "db")
	value := `{"sensitivity":"plaintext","value":"` + canary + `"}`
	sealed := wire.NewEnvelope(domain.Envelope{Ciphertext: []byte(canary), DataKey: canary})
	var seen strings.Builder
	send := func(method, path, body string, header map[string]string) {
		got := w.send(request{method: method, path: path, as: w.writer, body: body, header: header})
		fmt.Fprintln(&seen, got.Header)
		if got.StatusCode >= 400 || strings.Contains(path, "history") {
			seen.Write(got.body)
		}
	}
	send("PUT", path, `{"secretName":"n","category":"c","fields":[{"key":"k",`+value[1:]+`]}`, nil)
	for _, body := range []string{
		value, strings.Replace(value, "plaintext", "encrypted", 1), value + "x", value[:len(value)-1], strings.Replace(value, `"value":"`, `"value":["`, 1), `{"` + canary + `!":1}`,
		strings.Replace(value, `"value"`, `"Value"`, 1), strings.Replace(value, canary, canary+strings.Repeat("x", domain.MaxValueLen), 1), strings.Replace(value, canary, canary+`\ud800`, 1),
		`{"sensitivity":"encrypted","envelope":` + encode(w, sealed) + `}`, `{"sensitivity":"encrypted","envelope":` + strings.Replace(encode(w, sealed), `"iv":"`, `"iv":"`+canary, 1) + `}`,
		`{"sensitivity":"` + canary + `","value":"x"}`,
	} {
		send("PUT", path+"/fields/k", body, nil)
		send("PUT", path, `{"secretName":"n","category":"c","fields":[`+body+`]}`, nil)
		send("PATCH", path, body, nil)
	}
	send("POST", "/agent/secrets/decrypt-data-key", `{"scope":"project","scopeId":"`+w.project.ID+`","secretId":"db","fieldKey":"k","dataKeyCiphertext":"`+canary+`"}`, nil)
	for _, p := range []string{path, path + "/fields/k", path + "/history", w.path(w.project), "/agent/secrets/resolve/db", "/agent/secrets/resolve", path + "?version=1"} {
		send("GET", p, "", nil)
	}
	send("GET", w.path(w.project)+"?category="+canary+"&nonsense="+canary+"&cursor="+canary, "", nil)
	send("GET", path, "", map[string]string{"Authorization": "Bearer " + canary, "If-Match": canary, "Idempotency-Key": canary + "!"})
	send("DELETE", path, "", nil)
	seen.Write(w.want(200, request{method: "GET", path: "/metrics"}).body)
	fmt.Fprintf(&seen, "%+v", w.recorder.take())
	seen.WriteString(w.log.String())
	for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary)), string(dek[:]), base64.StdEncoding.EncodeToString(dek[:]), w.writer.token[17:60]} {
		if i := strings.Index(seen.String(), form); i >= 0 {
			t.Errorf("seen: …%s", seen.String()[max(0, i-200):i+len(form)])
		}
	}
}

// TestHostileBodies verifies that nothing malformed in a body yields anything
// but a refusal with the right code at the right place.
func TestHostileBodies(t *testing.T) {
	w := newWorld(t)
	field := func(inner string) string { return `{"secretName":"n","category":"c","fields":[` + inner + `]}` }
	sealed := encode(w, envelope("x"))
	for body, want := range map[string]struct {
		code    domain.Code
		pointer string
	}{
		`{"secretName":"","category":"c"}`:                                                                                         {domain.CodeInvalidRequest, "/secretName"},
		`{"secretName":"a\u0000b","category":"c"}`:                                                                                 {domain.CodeInvalidRequest, "/secretName"},
		`{"secretName":"` + strings.Repeat("ä", 257) + `","category":"c"}`:                                                         {domain.CodeTooLong, "/secretName"},
		`{"secretName":"n","category":"C"}`:                                                                                        {domain.CodeInvalidRequest, "/category"},
		`{"secretName":"n","category":"c","tags":["a","a"]}`:                                                                       {domain.CodeInvalidRequest, "/tags"},
		`{"secretName":"n","category":"c","tags":["` + strings.Repeat("a", 65) + `"]}`:                                             {domain.CodeTooLong, "/tags"},
		field(`{"key":"*","sensitivity":"plaintext","value":"v"}`):                                                                 {domain.CodeInvalidID, "/fields/0/key"},
		field(`{"key":"a","sensitivity":"plaintext","value":"v"},{"key":"a","sensitivity":"plaintext","value":"w"}`):               {domain.CodeInvalidRequest, "/fields/1/key"},
		field(`{"key":"a","sensitivity":"secret","value":"v"}`):                                                                    {domain.CodeInvalidRequest, "/fields/0/sensitivity"},
		field(`{"key":"a","sensitivity":"plaintext"}`):                                                                             {domain.CodeInvalidRequest, "/fields/0/value"},
		field(`{"key":"a","sensitivity":"plaintext","value":"v","envelope":` + sealed + `}`):                                       {domain.CodeInvalidRequest, "/fields/0/envelope"},
		field(`{"key":"a","sensitivity":"encrypted","value":"v"}`):                                                                 {domain.CodeInvalidRequest, "/fields/0/value"},
		field(`{"key":"a","sensitivity":"encrypted"}`):                                                                             {domain.CodeInvalidRequest, "/fields/0/envelope"},
		field(`{"key":"a","sensitivity":"encrypted","envelope":` + strings.Replace(sealed, `"version":1`, `"version":2`, 1) + `}`): {domain.CodeInvalidEnvelope, "/fields/0/envelope/version"},
		field(`{"key":"a","sensitivity":"plaintext","value":"` + strings.Repeat("x", domain.MaxValueLen+1) + `"}`):                 {domain.CodeTooLong, "/fields/0/value"},
	} {
		p := w.refused(want.code, request{method: "PUT", path: w.path(w.project, "db"), as: w.writer, body: body})
		if len(p.Errors) != 1 || p.Errors[0].Field != want.pointer || p.Errors[0].Code != want.code {
			t.Errorf("%.80s: got %+v", body, p.Errors)
		}
	}
	var many []string
	for i := range 65 {
		many = append(many, fmt.Sprintf(`{"key":"k%d","sensitivity":"plaintext","value":""}`, i))
	}
	w.refused(domain.CodeTooManyFields, request{method: "PUT", path: w.path(w.project, "db"), as: w.writer, body: field(strings.Join(many, ","))})
	w.refused(domain.CodeEmptyPatch, request{method: "PATCH", path: w.path(w.project, "db"), as: w.writer, body: `{}`})
	for member, code := range map[string]domain.Code{"scope": domain.CodeInvalidID, "scopeId": domain.CodeInvalidID, "secretId": domain.CodeInvalidID, "fieldKey": domain.CodeInvalidID} {
		body := `{"scope":"project","scopeId":"x","secretId":"x","fieldKey":"x"}`
		for _, old := range []string{`"` + member + `":"project"`, `"` + member + `":"x"`} {
			body = strings.Replace(body, old, `"`+member+`":"a>b"`, 1)
		}
		p := w.refused(code, request{method: "POST", path: "/agent/secrets/generate-data-key", as: w.writer, body: body})
		if len(p.Errors) != 1 || p.Errors[0].Field != "/"+member {
			t.Errorf("%s: got %+v", member, p.Errors)
		}
	}
}

// TestCursors verifies that a cursor is good for its own list alone and that
// no other text is one.
func TestCursors(t *testing.T) {
	w := newWorld(t)
	w.create(w.project, "a")
	w.create(w.project, "b")
	w.want(201, request{method: "PUT", path: w.path(w.writer.scope(), "a"), as: w.writer, body: createBody})
	list := w.path(w.project)
	_, cursor := page[[]wire.Aggregate](w, w.want(200, request{method: "GET", path: list + "?limit=1", as: w.writer}))
	w.want(200, request{method: "GET", path: list + "?limit=7&cursor=" + cursor, as: w.viewer})
	for _, path := range []string{
		list + "?category=login&cursor=" + cursor, list + "?tag=a&cursor=" + cursor, list + "?q=a&cursor=" + cursor, w.path(w.writer.scope()) + "?cursor=" + cursor,
		"/agent/secrets/resolve?cursor=" + cursor, w.path(w.project, "a", "history") + "?cursor=" + cursor, list + "?cursor=", list + "?cursor=" + cursor + "A",
		list + "?cursor=" + strings.Repeat("A", 513), list + "?cursor=AQ", list + "?cursor=" + cursor[:len(cursor)-1], list + "?cursor=%2B%2F",
	} {
		w.refused(domain.CodeInvalidCursor, request{method: "GET", path: path, as: w.writer})
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		raw[i] ^= 1
		w.refused(domain.CodeInvalidCursor, request{method: "GET", path: list + "?cursor=" + base64.RawURLEncoding.EncodeToString(raw), as: w.writer})
		raw[i] ^= 1
	}
	history := w.path(w.project, "a", "history")
	w.want(200, request{method: "PATCH", path: w.path(w.project, "a"), as: w.writer, body: `{"category":"c"}`})
	_, cursor = page[[]wire.HistoryEntry](w, w.want(200, request{method: "GET", path: history + "?limit=1", as: w.writer}))
	w.refused(domain.CodeInvalidCursor, request{method: "GET", path: history + "?order=asc&cursor=" + cursor, as: w.writer})
}

// TestULIDText verifies the text against the library of the format's authors.
func TestULIDText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var u ulid.ULID
		copy(u[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes"))
		if got := httpapi.ULIDText(u); got != u.String() {
			t.Fatalf("got %s, want %s", got, u)
		}
	})
}

// TestOperations verifies health, readiness and metrics.
func TestOperations(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready"} {
		if got := data[wire.Health](w, w.want(200, request{method: "GET", path: path})); got.Status != want {
			t.Errorf("%s: %+v", path, got)
		}
	}
	w.health.failing = []httpapi.Unready{{Part: "log", Reason: "unreachable"}, {Part: "projection", Reason: "catching up"}}
	if p := w.refused(domain.CodeUnavailable, request{method: "GET", path: "/readyz"}); p.Detail != "not ready: log (unreachable); projection (catching up)" {
		t.Errorf("got %s", p.Detail)
	}
	w.health.dead = errors.New(canary)
	if p := w.refused(domain.CodeUnavailable, request{method: "GET", path: "/healthz"}); strings.Contains(p.Detail, canary) {
		t.Errorf("got %s", p.Detail)
	}
	w.create(w.project, "db")
	w.refused(domain.CodeForbidden, request{method: "GET", path: w.path(w.project, "db"), as: w.viewer})
	w.refused(domain.CodeRouteNotFound, request{method: "GET", path: "/none/" + canary})
	w.send(request{method: "BREW", path: w.path(w.project, "db")})
	metrics := string(w.want(http.StatusOK, request{method: "GET", path: "/metrics"}).body)
	for _, line := range []string{
		`chancery_http_requests_total{code="",method="PUT",route="/agent/secrets/{scope}/{scopeId}/{secretId}",status="201"} 1`,
		`chancery_http_requests_total{code="forbidden",method="GET",route="/agent/secrets/{scope}/{scopeId}/{secretId}",status="403"} 1`,
		`chancery_http_requests_total{code="route_not_found",method="GET",route="unmatched",status="404"} 1`,
		`chancery_http_requests_total{code="method_not_allowed",method="other",route="unmatched",status="405"} 1`,
		`chancery_http_request_duration_seconds_count{method="GET",route="/readyz",status="503"} 1`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	for _, own := range []string{w.project.ID, string(w.writer.id), string(w.org), "db\"", canary} {
		if strings.Contains(metrics, own) {
			t.Errorf("the metrics name %s", own)
		}
	}
}

// TestDeletedWhileRead verifies that a value whose key is destroyed between
// the load and the opening is a secret that is gone, not a fault.
func TestDeletedWhileRead(t *testing.T) {
	w := newWorld(t)
	w.create(w.project, "db")
	ref := domain.SecretRef{Org: w.org, Scope: w.project, ID: "db"}
	w.keys.fail = domain.ErrKeyNotFound
	w.refused(domain.CodeInternal, request{method: "GET", path: w.path(w.project, "db"), as: w.writer})
	w.keys.onCall = func() {
		w.store.mu.Lock()
		defer w.store.mu.Unlock()
		w.store.secrets[ref] = domain.Secret{Ref: ref, Version: 2, DeletedAt: time.Unix(1, 0)}
	}
	w.refused(domain.CodeSecretNotFound, request{method: "GET", path: w.path(w.project, "db"), as: w.writer})
}

// TestHTTPServer verifies that no time and no size is unbounded.
func TestHTTPServer(t *testing.T) {
	config := newWorld(t).config
	config.Registry = prometheus.NewRegistry()
	s, err := httpapi.New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := s.NewHTTPServer()
	if server.ReadHeaderTimeout <= 0 || server.ReadTimeout <= 0 || server.WriteTimeout <= 0 || server.IdleTimeout <= 0 || server.MaxHeaderBytes <= 0 || server.Handler == nil || server.ErrorLog == nil {
		t.Errorf("got %+v", server)
	}
}
