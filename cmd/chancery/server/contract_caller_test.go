package server_test

// The wire contract, tested from the outside. The files contract_*_test.go
// hold every promise of the API against a running node. Their client is this
// one: net/http, encoding/json and crypto/aes, written from the contract and
// from nothing else, so that it errs where another language's client would.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chancery-dev/chancery/httpapi/openapitest"
)

// obj is a JSON object to send.
type obj = map[string]any

// raw is a body to send byte for byte, as application/json.
type raw string

// caller speaks the contract with one API key; an empty key sends none.
type caller struct{ url, key string }

// tweak changes a request before it is sent.
type tweak func(*http.Request)

func header(name, value string) tweak {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = []string{value} }
}

func ifMatch(tag string) tweak        { return header("If-Match", tag) }
func idempotency(key string) tweak    { return header("Idempotency-Key", key) }
func minPosition(n uint64) tweak      { return header("Chancery-Min-Position", strconv.FormatUint(n, 10)) }
func contentType(value string) tweak  { return header("Content-Type", value) }
func authorization(what string) tweak { return header("Authorization", what) }

func ifNoneMatch(tag string) tweak { return header("If-None-Match", tag) }

// without removes a header.
func without(name string) tweak { return func(r *http.Request) { r.Header.Del(name) } }

// reply is an answer that kept every promise made for all answers.
type reply struct {
	status  int
	header  http.Header
	raw     []byte
	data    json.RawMessage // the member data of a success
	next    string          // page.nextCursor
	problem problem         // what is not a success
}

type problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Instance string `json:"instance"`
	Code     string `json:"code"`
	Errors   []struct {
		Field string `json:"field"`
		Code  string `json:"code"`
	} `json:"errors"`
}

// statusOf is the contract's table of errors.
var statusOf = map[string]int{
	"invalid_request": 400, "invalid_json": 400, "invalid_id": 400, "invalid_query": 400, "invalid_cursor": 400,
	"invalid_envelope": 400, "too_long": 400, "empty_patch": 400, "precondition_invalid": 400,
	"unauthenticated": 401, "forbidden": 403,
	"route_not_found": 404, "secret_not_found": 404, "field_not_found": 404, "not_found": 404,
	"method_not_allowed": 405, "body_too_large": 413, "unsupported_media_type": 415,
	"secret_exists": 409, "sensitivity_downgrade": 409, "data_key_reused": 409, "too_many_fields": 409,
	"ambiguous_scope": 409, "key_already_issued": 409, "conflict": 409,
	"idempotency_expired": 410, "version_mismatch": 412, "data_key_mismatch": 422, "idempotency_key_reused": 422,
	"rate_limited": 429, "unavailable": 503, "position_not_reached": 503, "outcome_unknown": 503, "internal": 500,
}

var requestID = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// do sends one request and holds the answer against what is promised for
// every answer. A nil body sends none. It may be called from any goroutine: it
// reports what is wrong and does not end the test.
func (c caller) do(t testing.TB, method, target string, body any, tweaks ...tweak) reply {
	t.Helper()
	r := c.send(t, method, target, body, tweaks...)
	if r.status == 0 {
		return r // reported
	}
	r.checkHeaders(t)
	if r.status < 300 {
		r.checkSuccess(t)
	} else {
		r.checkProblem(t)
	}
	return r
}

// document gives the server's own OpenAPI document. Every answer of the suite
// is held against it as well: what the suite knows comes from the contract
// alone, so the two must say the same.
var document = func() func(testing.TB) *openapitest.Document {
	var once sync.Once
	var d *openapitest.Document
	return func(t testing.TB) *openapitest.Document {
		once.Do(func() { d = openapitest.Open(t) })
		return d
	}
}()

// send sends one request; the answer may have any form.
func (c caller) send(t testing.TB, method, target string, body any, tweaks ...tweak) reply {
	t.Helper()
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case raw:
		content = strings.NewReader(string(b))
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			t.Error(err)
			return reply{}
		}
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, c.url+target, content)
	if err != nil {
		t.Error(err)
		return reply{}
	}
	if content != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	for _, change := range tweaks {
		change(req)
	}
	res, err := document(t).Transport(t, nil).RoundTrip(req)
	if err != nil {
		t.Errorf("%s %.200s: %v", method, target, err)
		return reply{}
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%s %.200s: %v", method, target, err)
		return reply{}
	}
	return reply{status: res.StatusCode, header: res.Header, raw: answer}
}

func (r reply) checkHeaders(t testing.TB) {
	t.Helper()
	if id := r.header.Get("X-Request-Id"); !requestID.MatchString(id) {
		t.Errorf("X-Request-Id is %q", id)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
		if got := r.header.Values(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func (r *reply) checkSuccess(t testing.TB) {
	t.Helper()
	if got := r.header.Get("Content-Type"); !strings.HasPrefix(got, "application/json") {
		t.Errorf("Content-Type of a success is %q", got)
	}
	var body struct {
		Data json.RawMessage `json:"data"`
		Page *struct {
			NextCursor string `json:"nextCursor"`
		} `json:"page"`
	}
	if err := strictly(r.raw, &body); err != nil || body.Data == nil {
		t.Errorf("status %d with a body that is not {data, page?}: %v\n%.300s", r.status, err, r.raw)
		return
	}
	r.data = body.Data
	if body.Page != nil {
		r.next = body.Page.NextCursor
		if r.next == "" || len(r.next) > 512 {
			t.Errorf("nextCursor %q is empty or longer than 512 bytes", r.next)
		}
	}
}

func (r *reply) checkProblem(t testing.TB) {
	t.Helper()
	if got := r.header.Get("Content-Type"); !strings.HasPrefix(got, "application/problem+json") {
		t.Errorf("status %d: Content-Type is %q", r.status, got)
	}
	if err := json.Unmarshal(r.raw, &r.problem); err != nil {
		t.Errorf("status %d without a problem: %v\n%.300s", r.status, err, r.raw)
		return
	}
	p := r.problem
	if p.Type == "" || p.Title == "" || p.Detail == "" {
		t.Errorf("a problem lacks type, title or detail: %s", r.raw)
	}
	if p.Status != r.status || statusOf[p.Code] != r.status {
		t.Errorf("status line %d, member status %d, code %q of status %d", r.status, p.Status, p.Code, statusOf[p.Code])
	}
	if p.Instance != r.header.Get("X-Request-Id") {
		t.Errorf("instance %q is not the request id %q", p.Instance, r.header.Get("X-Request-Id"))
	}
	for _, e := range p.Errors {
		if e.Code == "" || e.Field != "" && !strings.HasPrefix(e.Field, "/") { // "" is the whole body
			t.Errorf("an entry of errors lacks a JSON pointer or a code: %+v", e)
		}
	}
	needs := map[int]string{401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"}[r.status]
	if needs != "" && r.header.Get(needs) == "" {
		t.Errorf("status %d without %s", r.status, needs)
	}
	if after := r.header.Get("Retry-After"); after != "" {
		if n, err := strconv.Atoi(after); err != nil || n < 0 {
			t.Errorf("Retry-After is %q, not a number of seconds", after)
		}
	}
}

// ok demands a success with exactly this status.
func (r reply) ok(t testing.TB, status int) reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, want %d\n%.600s", r.status, status, r.raw)
	}
	return r
}

// refused demands a problem with this status and one of these codes.
func (r reply) refused(t testing.TB, status int, codes ...string) reply {
	t.Helper()
	if r.status != status || !slices.Contains(codes, r.problem.Code) {
		t.Fatalf("status %d %s, want %d %s\n%.600s", r.status, r.problem.Code, status, strings.Join(codes, " or "), r.raw)
	}
	return r
}

// code refuses with the status that the table names for it.
func (r reply) code(t testing.TB, codes ...string) reply {
	t.Helper()
	return r.refused(t, statusOf[codes[0]], codes...)
}

// position is the log position that a write answers with.
func (r reply) position(t testing.TB) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(r.header.Get("Chancery-Position"), 10, 64)
	if err != nil || n == 0 {
		t.Fatalf("Chancery-Position is %q", r.header.Get("Chancery-Position"))
	}
	return n
}

// etag demands the tag of this version.
func (r reply) etag(t testing.TB, version int) reply {
	t.Helper()
	if got, want := r.header.Get("ETag"), fmt.Sprintf(`"v%d"`, version); got != want {
		t.Errorf("ETag is %s, want %s", got, want)
	}
	return r
}

// into decodes data, refusing members that T does not have.
func into[T any](t testing.TB, r reply) T {
	t.Helper()
	var v T
	if err := strictly(r.data, &v); err != nil {
		t.Fatalf("data does not have the promised members: %v\n%.600s", err, r.data)
	}
	return v
}

func strictly(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// members demands that a JSON object has exactly these members; those that
// end in ? may be absent.
func members(t testing.TB, object json.RawMessage, names ...string) map[string]json.RawMessage {
	t.Helper()
	var got map[string]json.RawMessage
	if err := json.Unmarshal(object, &got); err != nil {
		t.Fatalf("not an object: %v\n%.300s", err, object)
	}
	rest := maps.Clone(got)
	for _, name := range names {
		name, optional := strings.CutSuffix(name, "?")
		if _, there := got[name]; !there && !optional {
			t.Errorf("member %s is absent in %.300s", name, object)
		}
		delete(rest, name)
	}
	for name := range rest {
		t.Errorf("member %s is not in the contract: %.300s", name, object)
	}
	return got
}
