package openapitest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/httpapi/openapitest"
)

// failures counts what a transport reports, in place of failing.
type failures struct {
	testing.TB
	n int
}

func (f *failures) Errorf(string, ...any) { f.n++ }

// canned answers every request in the same way.
type canned struct {
	status int
	header map[string]string
	body   string
}

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: c.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(c.body)), Request: r}
	for name, value := range c.header {
		resp.Header.Set(name, value)
	}
	return resp, nil
}

// TestTransport verifies that each way in which an answer can differ from the
// document is reported, and that a good answer is not.
func TestTransport(t *testing.T) {
	const whoami = `{"data":{"agentId":"a","orgId":"o","tenantId":"o","name":"n","permissions":[]}}`
	json := map[string]string{"Content-Type": "application/json", "X-Request-Id": "r"}
	problem := map[string]string{"Content-Type": "application/problem+json", "X-Request-Id": "r", "WWW-Authenticate": "Bearer"}
	const unauthenticated = `{"type":"/docs#unauthenticated","title":"t","status":401,"detail":"d","code":"unauthenticated","instance":"r"}`
	for name, test := range map[string]struct {
		path   string
		answer canned
		want   int
	}{
		"good":               {"/agent/identity/whoami", canned{200, json, whoami}, 0},
		"good problem":       {"/agent/identity/whoami", canned{401, problem, unauthenticated}, 0},
		"no route":           {"/none", canned{404, problem, strings.NewReplacer("401", "404", "unauthenticated", "route_not_found").Replace(unauthenticated)}, 0},
		"undocumented route": {"/none", canned{200, json, whoami}, 1},
		"missing member":     {"/agent/identity/whoami", canned{200, json, strings.Replace(whoami, `"name":"n",`, "", 1)}, 1},
		"unknown member":     {"/agent/identity/whoami", canned{200, json, strings.Replace(whoami, `"name"`, `"more":1,"name"`, 1)}, 1},
		"wrong type":         {"/agent/identity/whoami", canned{200, json, strings.Replace(whoami, `"n"`, `1`, 1)}, 1},
		"undocumented":       {"/agent/identity/whoami", canned{418, json, whoami}, 1},
		"code of another":    {"/agent/identity/whoami", canned{401, problem, strings.Replace(unauthenticated, `"code":"unauth`, `"code":"forbidden`, 1)}, 1},
		"header missing":     {"/agent/identity/whoami", canned{200, map[string]string{"Content-Type": "application/json"}, whoami}, 1},
		"another type":       {"/agent/identity/whoami", canned{200, map[string]string{"Content-Type": "text/plain", "X-Request-Id": "r"}, whoami}, 1},
		"bad request let by": {"/agent/secrets/project/p?limit=0", canned{200, json, `{"data":[]}`}, 1},
		"good list":          {"/agent/secrets/project/p?limit=1&tag=a&tag=b", canned{200, json, `{"data":[],"page":{"nextCursor":"x"}}`}, 0},
	} {
		f := &failures{TB: t}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://chancery.test"+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := openapitest.Transport(f, test.answer).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != test.answer.body {
			t.Errorf("%s: the body is %q, %v", name, body, err)
		}
		if f.n != test.want {
			t.Errorf("%s: %d failures reported, want %d", name, f.n, test.want)
		}
	}
}
