package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestContractLimits: each limit at its edge, in bytes or characters as the
// contract says, and one beyond.
func TestContractLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	w.ada.create(t, at, "s", keyed("p", plain("x")))
	tags := func(n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprint("t", i))
		}
		return all
	}
	for member, tt := range map[string]struct {
		good []any
		bad  map[string]any // code to value; several codes are separated by a space
	}{
		"secretName": {
			[]any{"a", " ", strings.Repeat("n", 256), strings.Repeat("😀", 256), "a/b*>.", "<script>", "\u00a0", "e\u0301"},
			map[string]any{
				"too_long": strings.Repeat("n", 257), "too_long ": strings.Repeat("😀", 257), "too_long  ": strings.Repeat("n", 100_000), "invalid_request": "",
				"invalid_request ": "a\x00b", "invalid_request  ": "a\nb", "invalid_request   ": "\x7f", "invalid_request    ": "a\u0085b", "invalid_request     ": "\t",
			},
		},
		"category": {
			[]any{"a", "a_1", "z" + strings.Repeat("9", 63)},
			map[string]any{
				"invalid_request too_long": "a" + strings.Repeat("b", 64), "invalid_request": "", "invalid_request ": "A", "invalid_request  ": "1a", "invalid_request   ": "_a",
				"invalid_request    ": "a-b", "invalid_request     ": "ä", "invalid_request      ": "a b", "invalid_request       ": "a\n", "invalid_request        ": "a.b",
			},
		},
		"tags": {
			[]any{[]string{}, []string{"a"}, tags(32), []string{strings.Repeat("t", 64)}, []string{strings.Repeat("😀", 64)}, []string{"A", "a"}, []string{" ", "a b", "a:b", "*"}},
			map[string]any{
				"invalid_request too_long": tags(33), "too_long": []string{strings.Repeat("t", 65)}, "too_long ": []string{strings.Repeat("😀", 65)}, "invalid_request": []string{""},
				"invalid_request ": []string{"a,b"}, "invalid_request  ": []string{"a\x00"}, "invalid_request   ": []string{"a", "a"}, "invalid_request    ": []string{"b", "a", "b"},
				"invalid_request     ": []string{"\n"}, "invalid_request      ": []string{"a\u009fb"}, "invalid_request too_long ": tags(5000),
			},
		},
	} {
		for i, value := range tt.good {
			t.Run(fmt.Sprint(member, "/good ", i), func(t *testing.T) {
				body := newSecret("n")
				body[member] = value
				id := w.id()
				w.ada.do(t, http.MethodPut, at.path(id), body).ok(t, 201)
				w.ada.do(t, http.MethodPut, at.path(id), body).ok(t, 200)
				w.ada.do(t, http.MethodPatch, at.path("s"), obj{member: value}).ok(t, 200)
				one, two := w.ada.get(t, at, id).Aggregate, w.ada.get(t, at, "s").Aggregate
				if one.SecretName != two.SecretName && member == "secretName" || one.Category != two.Category && member == "category" || !slices.Equal(one.Tags, two.Tags) && member == "tags" {
					t.Errorf("%+v\n%+v", one, two)
				}
			})
		}
		for codes, value := range tt.bad {
			w.unchanging(t, fmt.Sprint(member, "/", codes, len(fmt.Sprint(value))), func(t *testing.T) {
				body := newSecret("n")
				body[member] = value
				w.ada.do(t, http.MethodPut, at.path("new"), body).code(t, strings.Fields(codes)...)
				w.ada.do(t, http.MethodPatch, at.path("s"), obj{member: value}).code(t, strings.Fields(codes)...)
			})
		}
	}
	t.Run("values", func(t *testing.T) {
		big := strings.Repeat("x", 64<<10)
		wide := strings.Repeat("😀", 16<<10)
		for i, value := range []string{big, wide} {
			w.ada.create(t, at, fmt.Sprint("value", i), keyed("f", plain(value)))
			w.ada.set(t, at, "s", "p", plain(value)).ok(t, 200)
		}
		w.unchanged(t, func() {
			for _, value := range []string{big + "x", wide + "x", strings.Repeat("\x00", 64<<10+1)} {
				w.ada.set(t, at, "s", "p", plain(value)).code(t, "too_long")
				w.ada.do(t, http.MethodPut, at.path("new"), newSecret("n", keyed("f", plain(value)))).code(t, "too_long")
			}
			for _, n := range []int{64<<10 + 1, 64<<10 + 3, 100 << 10} {
				e := w.ada.seal(t, at, "s", "e", strings.Repeat("y", n))
				w.ada.set(t, at, "s", "e", encrypted(e)).code(t, "too_long")
			}
		})
	})
	t.Run("the largest create", func(t *testing.T) {
		// Everything at its limit in four-byte characters, within 1 MiB.
		body := obj{"secretName": strings.Repeat("😀", 256), "category": "c" + strings.Repeat("c", 63)}
		var all []string
		for i := range 32 {
			all = append(all, strings.Repeat("😀", 62)+fmt.Sprintf("%02d", i))
		}
		body["tags"] = all
		var fields []obj
		for i := range 64 {
			fields = append(fields, keyed(fmt.Sprintf("%0128d", i), plain(strings.Repeat("v", 14<<10))))
		}
		body["fields"] = fields
		reason := []tweak{
			header("Chancery-Reason", strings.Repeat("😀", 256)), header("Chancery-Run-Id", strings.Repeat("😀", 256)), header("User-Agent", strings.Repeat("😀", 256)),
			header("X-Request-Id", strings.Repeat("r", 128)), idempotency(strings.Repeat("k", 128)),
		}
		id := strings.Repeat("s", 128)
		w.ada.do(t, http.MethodPut, at.path(id), body, reason...).ok(t, 201)
		w.ada.do(t, http.MethodPut, at.path(id), body, reason...).ok(t, 201).etag(t, 1)
		for i := range all {
			all[i] = strings.Repeat("🙈", 62) + fmt.Sprintf("%02d", i)
		}
		patch := obj{"secretName": strings.Repeat("🙈", 256), "category": "d" + strings.Repeat("d", 63), "tags": all}
		w.ada.do(t, http.MethodPatch, at.path(id), patch, reason...).ok(t, 200).etag(t, 2)
		if got := w.ada.get(t, at, id).Aggregate; len(got.Fields) != 64 || len(got.Tags) != 32 {
			t.Errorf("%d fields, %d tags", len(got.Fields), len(got.Tags))
		}
		if n := len(w.ada.history(t, at, id)); n != 2 {
			t.Errorf("%d entries", n)
		}
	})
}

// TestContractQueries: a parameter that a call does not know, or gets twice,
// is 400 on every route.
func TestContractQueries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	w.ada.create(t, at, "s", keyed("f", plain("x")))
	release := mintBody(at, "s", "f")
	release["dataKeyCiphertext"] = "x"
	for name, call := range map[string]struct {
		c              caller
		method, target string
		body           any
		known          string // parameters of this call
	}{
		"whoami":        {w.ada.caller, "GET", "/agent/identity/whoami", nil, ""},
		"scopes":        {w.ada.caller, "GET", "/agent/secrets/scopes", nil, ""},
		"list":          {w.ada.caller, "GET", at.path(), nil, "category tag q limit cursor"},
		"create":        {w.ada.caller, "PUT", at.path("new"), newSecret("n"), ""},
		"get":           {w.ada.caller, "GET", at.path("s"), nil, "at version"},
		"patch":         {w.ada.caller, "PATCH", at.path("s"), obj{"secretName": "x"}, ""},
		"delete":        {w.ada.caller, "DELETE", at.path("s"), nil, ""},
		"get field":     {w.ada.caller, "GET", at.field("s", "f"), nil, ""},
		"set field":     {w.ada.caller, "PUT", at.field("s", "f"), plain("y"), ""},
		"remove field":  {w.ada.caller, "DELETE", at.field("s", "f"), nil, ""},
		"history":       {w.ada.caller, "GET", at.path("s", "history"), nil, "order limit cursor"},
		"mint":          {w.ada.caller, "POST", "/agent/secrets/generate-data-key", mintBody(at, "s", "f"), ""},
		"release":       {w.ada.caller, "POST", "/agent/secrets/decrypt-data-key", release, ""},
		"resolve":       {w.ada.caller, "GET", "/agent/secrets/resolve/s", nil, ""},
		"effective set": {w.ada.caller, "GET", "/agent/secrets/resolve", nil, "limit cursor"},
		"orgs":          {w.admin, "GET", "/admin/orgs", nil, "limit cursor"},
		"new org":       {w.admin, "POST", "/admin/orgs", obj{"name": "n"}, ""},
		"teams":         {w.admin, "GET", w.inOrg("teams"), nil, "limit cursor"},
		"new team":      {w.admin, "POST", w.inOrg("teams"), obj{"name": "n"}, ""},
		"patch team":    {w.admin, "PATCH", w.inOrg("teams", at.id), obj{"name": "n"}, ""},
		"projects":      {w.admin, "GET", w.inOrg("projects"), nil, "limit cursor"},
		"new project":   {w.admin, "POST", w.inOrg("projects"), obj{"name": "n"}, ""},
		"agents":        {w.admin, "GET", w.inOrg("agents"), nil, "limit cursor"},
		"new agent":     {w.admin, "POST", w.inOrg("agents"), obj{"name": "n"}, ""},
		"keys":          {w.admin, "GET", w.inOrg("agents", w.ada.id, "keys"), nil, "limit cursor"},
		"new key":       {w.admin, "POST", w.inOrg("agents", w.ada.id, "keys"), obj{}, ""},
		"revoke key":    {w.admin, "DELETE", w.inOrg("agents", w.ada.id, "keys", w.ada.keyID), nil, ""},
		"grant":         {w.admin, "PUT", w.membership(w.bob, at), obj{"role": "reader"}, ""},
		"revoke":        {w.admin, "DELETE", w.membership(w.ada, at), nil, ""},
		"memberships":   {w.admin, "GET", w.inOrg("agents", w.ada.id, "memberships"), nil, "limit cursor"},
	} {
		w.unchanging(t, name, func(t *testing.T) {
			bad := []string{"x=1", "x", "=1", "%00=1", "%FF=1", "limit%5B%5D=1", "access_token=x", "constructor=1", "%zz=1", "x;y"}
			for _, p := range []string{"category", "tag", "q", "limit", "cursor", "order", "at", "version"} {
				known := slices.Contains(strings.Fields(call.known), p)
				if !known {
					bad = append(bad, p+"=1")
				}
				bad = append(bad, strings.ToUpper(p[:1])+p[1:]+"=1", "%20"+p+"=1")
				if known && p != "tag" {
					good := map[string]string{"limit": "1", "order": "asc", "category": "c", "q": "x"}[p]
					bad = append(bad, p+"="+good+"&"+p+"="+good, p+"="+good+"&x=1")
				}
			}
			for _, q := range bad {
				if r := call.c.do(t, call.method, call.target+"?"+q, call.body); r.problem.Code != "invalid_query" {
					t.Errorf("?%s: %d %s", q, r.status, r.problem.Code)
				}
			}
		})
	}
	t.Run("a question mark alone asks nothing", func(t *testing.T) {
		w.ada.do(t, http.MethodGet, at.path("s")+"?", nil).ok(t, 200)
	})
	t.Run("filters out of shape", func(t *testing.T) {
		for _, q := range []string{"?q=%FF", "?tag=%FF", "?category=%FF", "?q=%00"} {
			w.ada.do(t, http.MethodGet, at.path()+q, nil).code(t, "invalid_query")
		}
	})
}
