package server_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestContractIdempotency: a write that is repeated with its Idempotency-Key
// answers as it did the first time and is done once.
func TestContractIdempotency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	create := func(c caller, id string, body obj, key string) reply {
		return c.do(t, http.MethodPut, at.path(id), body, idempotency(key))
	}
	// sameAs demands the first answer's status, tag and position.
	sameAs := func(t *testing.T, first, again reply) {
		t.Helper()
		again.ok(t, first.status)
		for _, name := range []string{"ETag", "Chancery-Position"} {
			if a, b := first.header.Get(name), again.header.Get(name); a != b {
				t.Errorf("%s was %s and is %s", name, a, b)
			}
		}
	}

	t.Run("create", func(t *testing.T) {
		body := obj{"secretName": "n", "category": "c", "tags": []string{"b", "a"}, "fields": []obj{
			keyed("p", plain("x")), keyed("e", encrypted(w.ada.seal(t, at, "create", "e", "y"))),
		}}
		first := create(w.ada.caller, "create", body, "k")
		first.ok(t, 201).etag(t, 1)
		w.unchanged(t, func() {
			again := create(w.ada.caller, "create", body, "k")
			sameAs(t, first, again)
			if !bytes.Equal(first.data, again.data) {
				t.Errorf("data was\n%s\nand is\n%s", first.data, again.data)
			}
			body["tags"] = []string{"a", "b"}
			sameAs(t, first, create(w.ada.caller, "create", body, "k"))
		})
		w.alan.rename(t, at, "create", "renamed").ok(t, 200)
		w.alan.set(t, at, "create", "p", plain("z")).ok(t, 200)
		w.unchanged(t, func() { // the aggregate as it stands now
			again := create(w.ada.caller, "create", body, "k")
			sameAs(t, first, again)
			if a := into[aggregate](t, again); a.SecretName != "renamed" || a.Version != 3 {
				t.Errorf("aggregate %+v", a)
			}
		})
	})
	t.Run("another request under the key", func(t *testing.T) {
		w.ada.create(t, at, "other")
		first := w.ada.rename(t, at, "other", "one", idempotency("k1"))
		first.ok(t, 200)
		w.ada.set(t, at, "other", "f", plain("one"), idempotency("k1")).ok(t, 200) // another path
		w.unchanged(t, func() {
			w.ada.rename(t, at, "other", "two", idempotency("k1")).code(t, "idempotency_key_reused")
			w.ada.do(t, http.MethodPatch, at.path("other"), obj{"secretName": "one", "category": "x"}, idempotency("k1")).code(t, "idempotency_key_reused")
			w.ada.set(t, at, "other", "f", plain("two"), idempotency("k1")).code(t, "idempotency_key_reused")
			w.ada.set(t, at, "other", "f", encrypted(w.ada.seal(t, at, "other", "f", "one")), idempotency("k1")).code(t, "idempotency_key_reused")
			sameAs(t, first, w.ada.rename(t, at, "other", "one", idempotency("k1")))
			// Said otherwise, but the same content on the state before it.
			sameAs(t, first, w.ada.do(t, http.MethodPatch, at.path("other"), obj{"secretName": "one", "category": "login"}, idempotency("k1")))
		})
	})
	t.Run("create/another request under the key", func(t *testing.T) {
		create(w.ada.caller, "reused", newSecret("n"), "k").ok(t, 201)
		w.unchanged(t, func() {
			create(w.ada.caller, "reused", newSecret("m"), "k").code(t, "idempotency_key_reused")
			create(w.ada.caller, "reused", newSecret("m"), "k2").code(t, "secret_exists")
			create(w.ada.caller, "reused", newSecret("n"), "k2").ok(t, 200)
		})
	})
	t.Run("is scoped to agent, method and path", func(t *testing.T) {
		first := create(w.ada.caller, "scoped", newSecret("n"), "k")
		first.ok(t, 201)
		create(w.ada.caller, "scoped2", newSecret("m"), "k").ok(t, 201)
		create(w.alan.caller, "scoped", newSecret("n"), "k").ok(t, 200) // identical, not a repeat
		create(w.alan.caller, "scoped", newSecret("m"), "k").code(t, "secret_exists")
		w.ada.rename(t, at, "scoped", "m", idempotency("k")).ok(t, 200).etag(t, 2)
		w.ada.do(t, http.MethodDelete, at.path("scoped"), nil, idempotency("k")).ok(t, 200)
	})
	t.Run("belongs to the agent, not to the API key", func(t *testing.T) {
		_, second := w.newKey(t, w.ada.id, obj{})
		first := create(w.ada.caller, "keys", newSecret("n"), "k")
		w.unchanged(t, func() { sameAs(t, first, create(second, "keys", newSecret("n"), "k")) })
	})
	t.Run("only what appended is remembered", func(t *testing.T) {
		w.ada.create(t, at, "free")
		create(w.ada.caller, "free", newSecret("else"), "k").code(t, "secret_exists")
		create(w.ada.caller, "free", newSecret("Name of free"), "k").ok(t, 200)
		w.ada.rename(t, at, "free", "Name of free", idempotency("k")).ok(t, 200).etag(t, 1)
		w.ada.rename(t, at, "free", "x", idempotency("k"), ifMatch(`"v9"`)).code(t, "version_mismatch")
		w.ada.rename(t, at, "free", "new", idempotency("k")).ok(t, 200).etag(t, 2)
		w.ada.do(t, http.MethodDelete, at.path("free"), nil).ok(t, 200)
		create(w.ada.caller, "free", newSecret("third"), "k").ok(t, 201)
	})
	t.Run("comes before 412 and after 403", func(t *testing.T) {
		guest := w.newAgent(t, "guest")
		w.grant(t, guest, at, "writer")
		w.ada.create(t, at, "order")
		first := guest.rename(t, at, "order", "one", idempotency("k"), ifMatch(`"v1"`))
		first.ok(t, 200).etag(t, 2)
		w.unchanged(t, func() {
			sameAs(t, first, guest.rename(t, at, "order", "one", idempotency("k"), ifMatch(`"v1"`)))
			// On the state before it this request would have been refused.
			guest.rename(t, at, "order", "one", idempotency("k"), ifMatch(`"v7"`)).code(t, "idempotency_key_reused")
			guest.rename(t, at, "order", "two", idempotency("k"), ifMatch(`"v1"`)).code(t, "idempotency_key_reused")
		})
		w.grant(t, guest, at, "reader")
		guest.rename(t, at, "order", "one", idempotency("k")).code(t, "forbidden")
	})
	t.Run("mint and release ignore it", func(t *testing.T) {
		body := mintBody(at, "mints", "f")
		a := into[mintedKey](t, w.ada.do(t, http.MethodPost, "/agent/secrets/generate-data-key", body, idempotency("k")).ok(t, 200))
		b := into[mintedKey](t, w.ada.do(t, http.MethodPost, "/agent/secrets/generate-data-key", body, idempotency("k")).ok(t, 200))
		if a.DataKeyCiphertext == b.DataKeyCiphertext || a.PlaintextKey == b.PlaintextKey {
			t.Error("the second mint repeated the first")
		}
	})
	w.unchanging(t, "malformed", func(t *testing.T) {
		for _, key := range []string{"a b", "ä", strings.Repeat("k", 129), "a/b", "", "a,b", `"k"`} {
			create(w.ada.caller, "malformed", newSecret("n"), key).code(t, "invalid_request")
		}
	})
	t.Run("longest and oddest", func(t *testing.T) {
		for i, key := range []string{strings.Repeat("k", 128), "a.b_c:d-e", "0"} {
			id := fmt.Sprintf("long%d", i)
			first := create(w.ada.caller, id, newSecret("n"), key)
			sameAs(t, first, create(w.ada.caller, id, newSecret("n"), key))
		}
	})
}

// TestContractIdempotencyOfWhatIsGone: a repeat after its incarnation or
// field is gone says so, but a DELETE repeats its own result. All of it holds
// after a restart.
func TestContractIdempotencyOfWhatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	key := idempotency("k")
	create := func() reply { return w.ada.do(t, http.MethodPut, at.path("s"), newSecret("n"), key) }
	patch := func() reply { return w.ada.rename(t, at, "s", "m", key) }
	setF := func() reply { return w.ada.set(t, at, "s", "f", plain("x"), key) }
	unsetF := func() reply { return w.ada.do(t, http.MethodDelete, at.field("s", "f"), nil, key) }
	remove := func() reply { return w.ada.do(t, http.MethodDelete, at.path("s"), nil, key) }
	repeats := func(t *testing.T, first reply, again func() reply) {
		t.Helper()
		r := again().ok(t, first.status)
		if r.position(t) != first.position(t) || !bytes.Equal(r.data, first.data) {
			t.Errorf("%d %s, first it was %d %s", r.position(t), r.data, first.position(t), first.data)
		}
	}

	create().ok(t, 201)
	patch().ok(t, 200).etag(t, 2)
	setF().ok(t, 200).etag(t, 3)
	unset := unsetF().ok(t, 200).etag(t, 4)
	w.unchanging(t, "field gone", func(t *testing.T) {
		setF().code(t, "idempotency_expired")
		repeats(t, unset, unsetF)
		create().ok(t, 201).etag(t, 1)
		patch().ok(t, 200).etag(t, 2)
	})
	w.ada.set(t, at, "s", "f", plain("y")).ok(t, 200).etag(t, 5)
	w.unchanging(t, "a removal repeats beside a new field", func(t *testing.T) {
		repeats(t, unset, unsetF)
		if n := len(w.ada.get(t, at, "s").Aggregate.Fields); n != 1 {
			t.Errorf("%d fields", n)
		}
	})
	removed := remove().ok(t, 200)
	gone := func(t *testing.T) {
		t.Helper()
		create().code(t, "idempotency_expired")
		patch().code(t, "idempotency_expired")
		setF().code(t, "idempotency_expired")
		repeats(t, unset, unsetF)
		repeats(t, removed, remove)
	}
	t.Run("incarnation gone", gone)
	w.ada.create(t, at, "s", keyed("f", plain("x"))).etag(t, 7)
	t.Run("another incarnation there", gone)
	t.Run("a repeated delete leaves it alone", func(t *testing.T) {
		if v := w.ada.get(t, at, "s").Aggregate.Version; v != 7 {
			t.Errorf("version %d", v)
		}
	})
	w.Restart(t)
	w.ada.url = w.URL
	t.Run("after a restart", gone)
}

// TestContractIdempotencyOfAdministration: the directory's writes follow the
// same rules; a new organization's id comes from the key, and an API key is
// never shown twice.
func TestContractIdempotencyOfAdministration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, target := range map[string]string{
		"organization": "/admin/orgs", "team": w.inOrg("teams"), "project": w.inOrg("projects"), "agent": w.inOrg("agents"),
	} {
		t.Run(name, func(t *testing.T) {
			post := func(body obj, key string) reply {
				return w.admin.do(t, http.MethodPost, target, body, idempotency(key))
			}
			first := post(obj{"name": "n"}, "k-"+name).ok(t, 201)
			w.unchanged(t, func() {
				again := post(obj{"name": "n"}, "k-"+name).ok(t, 201)
				if stringOf(t, first, "id") != stringOf(t, again, "id") || first.position(t) != again.position(t) {
					t.Errorf("%s, then %s", first.data, again.data)
				}
				post(obj{"name": "m"}, "k-"+name).code(t, "idempotency_key_reused")
			})
			if other := post(obj{"name": "n"}, "l-"+name).ok(t, 201); stringOf(t, first, "id") == stringOf(t, other, "id") {
				t.Error("two keys made one")
			}
		})
	}
	t.Run("key", func(t *testing.T) {
		target := w.inOrg("agents", w.bob.id, "keys")
		first := w.admin.do(t, http.MethodPost, target, obj{"note": "n"}, idempotency("k")).ok(t, 201)
		w.unchanged(t, func() {
			again := w.admin.do(t, http.MethodPost, target, obj{"note": "n"}, idempotency("k")).code(t, "key_already_issued")
			if !bytes.Contains(again.raw, []byte(stringOf(t, first, "id"))) {
				t.Errorf("the problem does not say which key: %s", again.raw)
			}
			if key := stringOf(t, first, "apiKey"); bytes.Contains(again.raw, []byte(key)) || bytes.Contains(again.raw, []byte(key[:16])) {
				t.Error("the key is shown again")
			}
		})
	})
	t.Run("membership", func(t *testing.T) {
		m := w.newAgent(t, "m")
		put := func(role string) reply {
			return w.admin.do(t, http.MethodPut, w.membership(m, w.teamA), obj{"role": role}, idempotency("k"))
		}
		first := put("reader")
		granted(t, first)
		w.unchanged(t, func() {
			if again := put("reader"); again.status != first.status || again.position(t) != first.position(t) {
				t.Errorf("%d %s, then %d %s", first.status, first.data, again.status, again.data)
			}
			put("writer").code(t, "idempotency_key_reused")
		})
	})
}
