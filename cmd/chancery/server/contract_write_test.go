package server_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestContractIdenticalWrites: a write of what is already there answers 200,
// the version that stands and the log's position, and appends nothing.
func TestContractIdenticalWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	sealed := w.ada.seal(t, at, "same", "password", "x")
	full := func() obj {
		return obj{
			"secretName": "Same", "category": "login", "tags": []string{"b", "a"},
			"fields": []obj{keyed("user", plain("app")), keyed("password", encrypted(sealed))},
		}
	}
	w.ada.do(t, http.MethodPut, at.path("same"), full()).ok(t, 201).etag(t, 1)
	w.ada.create(t, at, "bare")

	for name, body := range map[string]obj{
		"to the letter": full(),
		"tags in another order": func() obj {
			b := full()
			b["tags"] = []string{"a", "b"}
			return b
		}(),
		"fields in another order": func() obj {
			b := full()
			slices.Reverse(b["fields"].([]obj)) //nolint:errcheck // full made it
			return b
		}(),
	} {
		w.unchanging(t, "create/"+name, func(t *testing.T) {
			for _, m := range []member{w.ada, w.alan} {
				r := m.do(t, http.MethodPut, at.path("same"), body).ok(t, 200).etag(t, 1)
				if a := into[aggregate](t, r); a.Version != 1 || a.CreatedBy != w.ada.id {
					t.Errorf("aggregate %+v", a)
				}
				if got, head := r.position(t), w.head(t); got != head {
					t.Errorf("position %d, the head is %d", got, head)
				}
			}
		})
	}
	for name, body := range map[string]obj{
		"fields absent":         {"secretName": "Name of bare", "category": "login"},
		"fields and tags empty": {"secretName": "Name of bare", "category": "login", "fields": []obj{}, "tags": []string{}},
	} {
		w.unchanging(t, "create/"+name, func(t *testing.T) {
			w.ada.do(t, http.MethodPut, at.path("bare"), body).ok(t, 200).etag(t, 1)
		})
	}
	for name, body := range map[string]obj{
		"the same name":       {"secretName": "Same"},
		"the same tags":       {"tags": []string{"b", "a"}},
		"everything as it is": {"secretName": "Same", "category": "login", "tags": []string{"a", "b"}},
	} {
		w.unchanging(t, "patch/"+name, func(t *testing.T) {
			r := w.alan.do(t, http.MethodPatch, at.path("same"), body).ok(t, 200).etag(t, 1)
			if a := into[aggregate](t, r); a.UpdatedBy != w.ada.id {
				t.Errorf("updated by %s", a.UpdatedBy)
			}
			r.position(t)
		})
	}
	w.unchanging(t, "field/the same plaintext", func(t *testing.T) {
		w.alan.set(t, at, "same", "user", plain("app")).ok(t, 200).etag(t, 1).position(t)
	})
	w.unchanging(t, "field/the same envelope", func(t *testing.T) {
		w.alan.set(t, at, "same", "password", encrypted(sealed)).ok(t, 200).etag(t, 1).position(t)
	})
}

// TestContractWrites: what each write does and refuses beside the common
// flow. Every refusal appends nothing.
func TestContractWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA

	w.ada.create(t, at, "base", keyed("user", plain("app")))
	for name, body := range map[string]obj{
		"another name":     {"secretName": "Other", "category": "login", "fields": []obj{keyed("user", plain("app"))}},
		"another category": {"secretName": "Name of base", "category": "other", "fields": []obj{keyed("user", plain("app"))}},
		"another value":    newSecret("Name of base", keyed("user", plain("App"))),
		"a field fewer":    newSecret("Name of base"),
		"a field more":     newSecret("Name of base", keyed("user", plain("app")), keyed("b", plain(""))),
		"a tag more":       {"secretName": "Name of base", "category": "login", "tags": []string{"t"}, "fields": []obj{keyed("user", plain("app"))}},
	} {
		w.unchanging(t, "secret_exists/"+name, func(t *testing.T) {
			w.ada.do(t, http.MethodPut, at.path("base"), body).code(t, "secret_exists")
		})
	}
	w.unchanging(t, "a field write never creates", func(t *testing.T) {
		w.ada.set(t, at, "nosuch", "user", plain("x")).code(t, "secret_not_found")
		w.ada.do(t, http.MethodPatch, at.path("nosuch"), obj{"secretName": "x"}).code(t, "secret_not_found")
		w.ada.do(t, http.MethodDelete, at.path("nosuch"), nil).code(t, "secret_not_found")
		w.ada.do(t, http.MethodDelete, at.field("nosuch", "user"), nil).code(t, "secret_not_found")
		w.ada.do(t, http.MethodGet, at.field("nosuch", "user"), nil).code(t, "secret_not_found")
		w.ada.do(t, http.MethodGet, at.path("nosuch"), nil).code(t, "secret_not_found")
	})
	t.Run("values come back to the byte", func(t *testing.T) {
		values := map[string]string{
			"empty": "", "controls": "\x00\x01\t\r\n\x7f", "space": "  a b  ", "emoji": "👩🏽‍🚀é\u2028\ufeff",
			"json": `{"a":"\u0000"}<&>`, "long": strings.Repeat("x", 64<<10), "wide": strings.Repeat("😀", 16<<10),
		}
		var fields []obj
		for key, value := range values {
			fields = append(fields, keyed(key, plain(value)))
		}
		w.ada.create(t, at, "values", fields...)
		for _, field := range w.alan.get(t, at, "values").Aggregate.Fields {
			if field.Value == nil || *field.Value != values[field.Key] {
				t.Errorf("field %s came back otherwise", field.Key)
			}
		}
	})
	t.Run("sealed values of every size", func(t *testing.T) {
		w.ada.create(t, at, "sealed")
		for _, value := range []string{"", "x", strings.Repeat("\x00", 64<<10)} {
			e := w.ada.seal(t, at, "sealed", "f", value)
			w.ada.set(t, at, "sealed", "f", encrypted(e)).ok(t, 200)
			view := w.alan.get(t, at, "sealed")
			if got := w.alan.unseal(t, at, "sealed", "f", view.Envelopes["f"]); got != value {
				t.Errorf("a value of %d bytes came back with %d", len(value), len(got))
			}
		}
	})
	t.Run("sensitivity", func(t *testing.T) {
		w.ada.create(t, at, "turn", keyed("f", plain("clear")))
		w.ada.set(t, at, "turn", "f", encrypted(w.ada.seal(t, at, "turn", "f", "x"))).ok(t, 200).etag(t, 2)
		w.unchanged(t, func() {
			w.ada.set(t, at, "turn", "f", plain("clear")).code(t, "sensitivity_downgrade")
		})
		w.ada.do(t, http.MethodDelete, at.field("turn", "f"), nil).ok(t, 200).etag(t, 3)
		w.ada.set(t, at, "turn", "f", plain("clear")).ok(t, 200).etag(t, 4)
		if view := w.ada.get(t, at, "turn"); len(view.Envelopes) != 0 || len(view.Aggregate.Fields) != 1 {
			t.Errorf("view %+v", view)
		}
	})
	t.Run("patch of one member leaves the others", func(t *testing.T) {
		body := obj{"secretName": "P", "category": "login", "tags": []string{"one", "two"}}
		w.ada.do(t, http.MethodPut, at.path("patched"), body).ok(t, 201)
		a := into[aggregate](t, w.ada.do(t, http.MethodPatch, at.path("patched"), obj{"tags": []string{}}).ok(t, 200).etag(t, 2))
		if a.SecretName != "P" || a.Category != "login" || a.Tags == nil || len(a.Tags) != 0 {
			t.Errorf("aggregate %+v", a)
		}
		a = into[aggregate](t, w.ada.do(t, http.MethodPatch, at.path("patched"), obj{"category": "sql"}).ok(t, 200).etag(t, 3))
		if a.SecretName != "P" || a.Category != "sql" {
			t.Errorf("aggregate %+v", a)
		}
		types := []string{}
		for _, e := range w.ada.history(t, at, "patched") {
			types = append(types, e.Type)
		}
		if diff := cmp.Diff([]string{"secret.reclassified", "secret.reclassified", "secret.created"}, types); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("64 fields and no more", func(t *testing.T) {
		var fields []obj
		for i := range 65 {
			fields = append(fields, keyed("f"+string(rune('A'+i/26))+string(rune('a'+i%26)), plain("x")))
		}
		w.ada.create(t, at, "full", fields[:64]...)
		w.unchanged(t, func() {
			w.ada.set(t, at, "full", "more", plain("x")).code(t, "too_many_fields")
			w.ada.do(t, http.MethodPut, at.path("fuller"), newSecret("x", fields...)).code(t, "too_many_fields")
			w.ada.do(t, http.MethodGet, at.path("fuller"), nil).code(t, "secret_not_found")
		})
		w.ada.set(t, at, "full", "fAa", plain("y")).ok(t, 200)
	})
}

// TestContractRaces: of concurrent writers one wins, and the others learn why
// they lost.
func TestContractRaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	const writers = 12
	race := func(write func(i int) reply) (codes map[string]int) {
		codes = map[string]int{}
		for _, r := range together(writers, write)() {
			codes[strings.TrimSpace(strconv.Itoa(r.status)+" "+r.problem.Code)]++
		}
		return codes
	}
	for _, tt := range []struct {
		name  string
		write func(i int) reply
		want  map[string]int
	}{
		{"different creates", func(i int) reply {
			return w.ada.do(t, http.MethodPut, at.path("create"), newSecret(strings.Repeat("n", i+1)))
		}, map[string]int{"201": 1, "409 secret_exists": writers - 1}},
		{"identical creates", func(int) reply {
			return w.ada.do(t, http.MethodPut, at.path("alike"), newSecret("n"))
		}, map[string]int{"201": 1, "200": writers - 1}},
		{"one idempotency key", func(int) reply {
			return w.ada.do(t, http.MethodPut, at.path("keyed"), newSecret("n"), idempotency("race"))
		}, map[string]int{"201": writers}},
		{"If-Match", func(i int) reply {
			return w.ada.rename(t, at, "alike", strings.Repeat("m", i+1), ifMatch(`"v1"`))
		}, map[string]int{"200": 1, "412 version_mismatch": writers - 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, race(tt.write)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("one data key for two values", func(t *testing.T) {
		k := w.ada.mint(t, at, "alike", "f")
		codes := race(func(i int) reply {
			return w.ada.set(t, at, "alike", "f", encrypted(k.seal(t, strings.Repeat("v", i+1))))
		})
		if diff := cmp.Diff(map[string]int{"200": 1, "409 data_key_reused": writers - 1}, codes); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("delete", func(t *testing.T) {
		codes := race(func(int) reply { return w.ada.do(t, http.MethodDelete, at.path("alike"), nil) })
		if diff := cmp.Diff(map[string]int{"200": 1, "404 secret_not_found": writers - 1}, codes); diff != "" {
			t.Error(diff)
		}
	})
}
