package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// attempt is a request in parts, so that faults of different kinds combine.
type attempt struct {
	method      string
	p           place
	secret      string
	tail        []string // below the secret
	suffix      string   // what makes the path no route
	query       string
	body        any
	key         string
	big         bool
	contentType string
	tweaks      []tweak
}

// fault breaks a request in one way. Of two, the one of lower rank answers;
// of two of one rank, either.
type fault struct {
	name  string
	rank  int
	codes []string
	apply func(*attempt)
	// Set if the fault lies in the body, in the headers that condition a
	// write, or in what the request is about: two of a kind don't combine.
	in string
}

func (a attempt) send(t *testing.T, w *world) reply {
	t.Helper()
	tweaks := slices.Clone(a.tweaks)
	if a.big {
		tweaks = append(tweaks, oversized)
	}
	if a.contentType != "" {
		tweaks = append(tweaks, contentType(a.contentType))
	}
	target := a.p.path(append([]string{a.secret}, a.tail...)...) + a.suffix + a.query
	return caller{w.URL, a.key}.do(t, a.method, target, a.body, tweaks...)
}

// orderWorld has one secret that all attempts are about: p is plaintext, e is
// encrypted, and there is no room for another field.
type orderWorld struct {
	*world
	fields                   []obj
	current, reused, foreign envelope // of field e, as it is; its data key once more; of another field
}

func newOrderWorld(t *testing.T) *orderWorld {
	t.Helper()
	w := &orderWorld{world: newWorld(t)}
	w.current = w.ada.seal(t, w.teamA, "s", "e", "x")
	w.fields = []obj{keyed("p", plain("x")), keyed("e", encrypted(w.current))}
	for i := range 62 {
		w.fields = append(w.fields, keyed("f"+strings.Repeat("x", i+1), plain("")))
	}
	w.ada.create(t, w.teamA, "s", w.fields...)
	w.reused = w.current
	w.reused.IV = tobase64(make([]byte, 12))
	w.foreign = w.ada.seal(t, w.teamA, "s", "other", "x")
	return w
}

// faults are those that a call can have.
func (w *orderWorld) faults(call string, without []string) []fault {
	all := []fault{
		{"no route", 0, []string{"route_not_found"}, func(a *attempt) { a.suffix = "/no/route/at/all" }, "route"},
		{"method", 0, []string{"method_not_allowed"}, func(a *attempt) { a.method = "POST" }, "route"},
		{"no key", 1, []string{"unauthenticated"}, func(a *attempt) { a.key = "" }, "key"},
		{"bad key", 1, []string{"unauthenticated"}, func(a *attempt) { a.key = "chy_x" }, "key"},
		{"big body", 3, []string{"body_too_large"}, func(a *attempt) { a.big = true }, "size"},
		{"media type", 3, []string{"unsupported_media_type"}, func(a *attempt) { a.contentType = "text/plain" }, "type"},
		{"bad JSON", 4, []string{"invalid_json"}, func(a *attempt) { a.body = raw(`{"value":`) }, "body"},
		{"bad body", 4, []string{"invalid_request"}, func(a *attempt) { a.body = raw(`{}`) }, "body"},
		{"bad id", 4, []string{"invalid_id"}, func(a *attempt) { a.secret = "a*b" }, "id"},
		{"bad query", 4, []string{"invalid_query"}, func(a *attempt) { a.query = "?x=1" }, "query"},
		{"bad If-Match", 4, []string{"precondition_invalid"}, func(a *attempt) { a.tweaks = append(a.tweaks, ifMatch("v1")) }, "if"},
		{"bad Idempotency-Key", 4, []string{"invalid_request"}, func(a *attempt) { a.tweaks = append(a.tweaks, idempotency("a b")) }, "ik"},
		{"foreign scope", 5, []string{"forbidden"}, func(a *attempt) { a.p = w.teamB }, "scope"},
		{"unknown scope", 5, []string{"forbidden"}, func(a *attempt) { a.p.id = "nobody" }, "scope"},
		{"missing secret", 8, []string{"secret_not_found"}, func(a *attempt) { a.secret = "nosuch" }, "id"},
		{"stale If-Match", 9, []string{"version_mismatch"}, func(a *attempt) { a.tweaks = append(a.tweaks, ifMatch(`"v9"`)) }, "if"},
	}
	bodies := map[string][]fault{
		"set field": {
			{"downgrade", 11, []string{"sensitivity_downgrade"}, func(a *attempt) { a.tail[1], a.body = "e", plain("x") }, "body"},
			{"too many fields", 11, []string{"too_many_fields"}, func(a *attempt) { a.tail[1], a.body = "new", plain("x") }, "body"},
			{"too many fields, foreign data key", 11, []string{"too_many_fields"}, func(a *attempt) { a.tail[1], a.body = "new", encrypted(w.foreign) }, "body"},
			{"foreign data key", 12, []string{"data_key_mismatch"}, func(a *attempt) { a.tail[1], a.body = "e", encrypted(w.foreign) }, "body"},
			{"data key reused", 13, []string{"data_key_reused"}, func(a *attempt) { a.tail[1], a.body = "e", encrypted(w.reused) }, "body"},
		},
		"create": {
			{"exists", 11, []string{"secret_exists"}, func(a *attempt) { a.body = newSecret("other") }, "body"},
			{"exists, foreign data key", 11, []string{"secret_exists"}, func(a *attempt) { a.body = newSecret("other", keyed("e", encrypted(w.foreign))) }, "body"},
			{"exists, data key reused", 11, []string{"secret_exists"}, func(a *attempt) { a.body = newSecret("other", keyed("e", encrypted(w.reused))) }, "body"},
			{"exists, downgrade", 11, []string{"secret_exists", "sensitivity_downgrade"}, func(a *attempt) { a.body = newSecret("other", keyed("e", plain("x"))) }, "body"},
		},
	}
	return slices.Concat(slices.DeleteFunc(all, func(f fault) bool { return slices.Contains(without, f.name) }), bodies[call])
}

// TestContractOrder: a request that breaks two rules is answered by the one
// that is checked first, and none of them changes anything.
func TestContractOrder(t *testing.T) {
	t.Parallel()
	for _, base := range []struct {
		name    string
		attempt attempt
		without []string // faults that this call can't have
	}{
		{"set field", attempt{method: "PUT", tail: []string{"fields", "p"}, body: plain("x")}, nil},
		{"create", attempt{method: "PUT"}, []string{"missing secret"}},
		{"patch", attempt{method: "PATCH", body: obj{"secretName": "Name of s"}}, []string{"bad body"}},
		{"delete", attempt{method: "DELETE"}, []string{"big body", "media type", "bad JSON", "bad body"}},
		// The field that it removes is missing, which comes before 412.
		{"remove field", attempt{method: "DELETE", tail: []string{"fields", "nosuch"}}, []string{"big body", "media type", "bad JSON", "bad body", "stale If-Match"}},
		{"get", attempt{method: "GET"}, []string{"big body", "media type", "bad JSON", "bad body", "bad If-Match", "bad Idempotency-Key", "stale If-Match"}},
		{"get field", attempt{method: "GET", tail: []string{"fields", "p"}}, []string{"big body", "media type", "bad JSON", "bad body", "bad If-Match", "bad Idempotency-Key", "stale If-Match"}},
		{"history", attempt{method: "GET", tail: []string{"history"}}, []string{"big body", "media type", "bad JSON", "bad body", "bad If-Match", "bad Idempotency-Key", "stale If-Match"}},
	} {
		t.Run(base.name, func(t *testing.T) {
			t.Parallel()
			w := newOrderWorld(t) // one for each, so that no limit on bad keys is met
			if base.name == "create" {
				base.attempt.body = newSecret("Name of s", w.fields...)
			}
			base.attempt.p, base.attempt.secret, base.attempt.key = w.teamA, "s", w.ada.key
			w.unchanged(t, func() { w.pairs(t, base.attempt, w.faults(base.name, base.without)) })
		})
	}
}

// pairs tries each fault alone and with each other that it combines with.
func (w *orderWorld) pairs(t *testing.T, base attempt, faults []fault) {
	for i, one := range faults {
		for j, two := range faults {
			if j < i || i != j && one.in == two.in {
				continue
			}
			a := base
			a.tail = slices.Clone(a.tail)
			one.apply(&a)
			name, want := one.name, one.codes
			if i != j {
				two.apply(&a)
				name += " and " + two.name
				if one.rank == two.rank {
					want = slices.Concat(one.codes, two.codes)
				} else if two.rank < one.rank {
					want = two.codes
				}
			}
			t.Run(name, func(t *testing.T) {
				if r := a.send(t, w.world); !slices.Contains(want, r.problem.Code) {
					t.Errorf("%d %s, want %s", r.status, r.problem.Code, strings.Join(want, " or "))
				}
			})
		}
	}
}

// TestContractOrderBesides: what pairs of faults don't say.
func TestContractOrderBesides(t *testing.T) {
	t.Parallel()
	w := newOrderWorld(t)
	at := w.teamA
	w.unchanging(t, "identical before 409 and 422", func(t *testing.T) {
		// e's data key has been used, and it is the one that is there.
		w.ada.set(t, at, "s", "e", encrypted(w.current)).ok(t, 200)
		w.ada.set(t, at, "s", "e", encrypted(w.current), ifMatch(`"v9"`)).code(t, "version_mismatch")
		w.ada.set(t, at, "s", "e", encrypted(w.current), ifMatch(`"v1"`)).ok(t, 200)
		w.ada.do(t, http.MethodPut, at.path("s"), newSecret("Name of s", w.fields...)).ok(t, 200)
		w.ada.do(t, http.MethodPut, at.path("s"), newSecret("Name of s", w.fields...), ifMatch(`"v9"`)).code(t, "version_mismatch")
	})
	w.unchanging(t, "mint and release", func(t *testing.T) {
		for _, path := range []string{"/agent/secrets/generate-data-key", "/agent/secrets/decrypt-data-key"} {
			body := mintBody(w.teamB, "s", "e")
			if strings.Contains(path, "decrypt") {
				body["dataKeyCiphertext"] = "x"
			}
			post := func(key string, body any, tweaks ...tweak) reply {
				return caller{w.URL, key}.do(t, http.MethodPost, path, body, tweaks...)
			}
			post("", body, oversized).code(t, "unauthenticated")
			post(w.ada.key, body, oversized).code(t, "body_too_large")
			post(w.ada.key, body, contentType("text/plain")).code(t, "unsupported_media_type")
			post(w.ada.key, body).code(t, "forbidden")
			body["x"] = 1
			post(w.ada.key, body).code(t, "invalid_request", "invalid_json")
			delete(body, "x")
			body["secretId"] = "a*b"
			post(w.ada.key, body).code(t, "invalid_id")
		}
		// A release never says whether the secret is there.
		w.ada.release(t, at, "nosuch", "e", "x").code(t, "data_key_mismatch")
		w.ada.release(t, at, "s", "nosuch", "x").code(t, "data_key_mismatch")
		w.ada.release(t, at, "s", "p", "x").code(t, "data_key_mismatch")
	})
}
