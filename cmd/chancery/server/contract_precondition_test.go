package server_test

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
)

// TestContractPreconditions: If-Match on every write, If-None-Match on a
// create, Chancery-Min-Position on a read.
func TestContractPreconditions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	fresh := func(t *testing.T) string { // a secret at version 2
		t.Helper()
		id := w.id()
		w.ada.create(t, at, id, keyed("f", plain("0")), keyed("g", plain("0")))
		w.ada.set(t, at, id, "f", plain("1")).ok(t, 200).etag(t, 2)
		return id
	}
	writes := map[string]func(t *testing.T, id string, tag tweak) reply{
		"patch": func(t *testing.T, id string, tag tweak) reply {
			return w.ada.rename(t, at, id, "renamed", tag)
		},
		"set a field": func(t *testing.T, id string, tag tweak) reply {
			return w.ada.set(t, at, id, "f", plain("2"), tag)
		},
		"remove a field": func(t *testing.T, id string, tag tweak) reply {
			return w.ada.do(t, http.MethodDelete, at.field(id, "f"), nil, tag)
		},
		"delete": func(t *testing.T, id string, tag tweak) reply {
			return w.ada.do(t, http.MethodDelete, at.path(id), nil, tag)
		},
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			for _, tag := range []string{"*", `"v2"`} {
				write(t, fresh(t), ifMatch(tag)).ok(t, 200)
			}
			id := fresh(t)
			before := w.ada.history(t, at, id)
			for _, tag := range []string{`"v1"`, `"v3"`, `"v22"`} {
				write(t, id, ifMatch(tag)).code(t, "version_mismatch")
			}
			for _, tag := range badTags {
				write(t, id, ifMatch(tag)).code(t, "precondition_invalid")
			}
			if after := w.ada.history(t, at, id); len(after) != len(before) {
				t.Errorf("a refused write left %+v", after[0])
			}
			for _, tag := range []string{"*", `"v1"`} {
				write(t, "nosuch", ifMatch(tag)).code(t, "secret_not_found")
			}
		})
	}
	t.Run("create", func(t *testing.T) {
		body := newSecret("n")
		put := func(id string, body obj, tag tweak) reply {
			return w.ada.do(t, http.MethodPut, at.path(id), body, tag)
		}
		w.unchanged(t, func() {
			for _, tag := range []string{"*", `"v1"`} {
				put("missing", body, ifMatch(tag)).code(t, "version_mismatch")
			}
			for _, tag := range badTags {
				put("missing", body, ifMatch(tag)).code(t, "precondition_invalid")
			}
		})
		put("made", body, ifNoneMatch("*")).ok(t, 201).etag(t, 1)
		w.unchanged(t, func() {
			put("made", body, ifNoneMatch("*")).ok(t, 200).etag(t, 1)
			put("made", newSecret("other"), ifNoneMatch("*")).code(t, "secret_exists")
			put("made", body, ifMatch("*")).ok(t, 200)
			put("made", body, ifMatch(`"v1"`)).ok(t, 200)
			put("made", body, ifMatch(`"v2"`)).code(t, "version_mismatch")
			put("made", newSecret("other"), ifMatch(`"v1"`)).code(t, "secret_exists")
			put("made", newSecret("other"), ifMatch(`"v2"`)).code(t, "version_mismatch")
			for _, tag := range []string{`"v1"`, "v1", ""} { // only * has a meaning there
				put("made", body, ifNoneMatch(tag)).code(t, "precondition_invalid")
			}
		})
	})
	t.Run("a strong tag that no version has", func(t *testing.T) {
		id := fresh(t)
		for _, tag := range []string{`"v02"`, `"v0"`, `"2"`, `"abc"`, `""`} {
			if r := w.ada.rename(t, at, id, "r", ifMatch(tag)); r.problem.Code != "version_mismatch" {
				t.Errorf("If-Match %s: %d %s, want 412 version_mismatch", tag, r.status, r.problem.Code)
			}
		}
	})
	t.Run("a tag of a former incarnation", func(t *testing.T) {
		id := fresh(t)
		w.ada.do(t, http.MethodDelete, at.path(id), nil, ifMatch(`"v2"`)).ok(t, 200)
		for _, tag := range []string{"*", `"v2"`, `"v3"`} {
			w.ada.do(t, http.MethodPut, at.path(id), newSecret("n"), ifMatch(tag)).code(t, "version_mismatch")
		}
		w.ada.do(t, http.MethodPut, at.path(id), newSecret("n"), ifNoneMatch("*")).ok(t, 201).etag(t, 4)
		w.ada.rename(t, at, id, "r", ifMatch(`"v2"`)).code(t, "version_mismatch")
		w.ada.rename(t, at, id, "r", ifMatch(`"v4"`)).ok(t, 200).etag(t, 5)
	})
}

// badTags are not "*" and not one strong tag.
var badTags = []string{`W/"v2"`, `v2`, `"v2", "v3"`, `*, "v2"`, `"v2`, `'v2'`, ``}

// TestContractMinPosition: a read waits for a position, and says so when the
// node does not reach it.
func TestContractMinPosition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	position := w.ada.create(t, at, "s", keyed("f", plain("x"))).position(t)
	reads := map[string]string{
		"get": at.path("s"), "field": at.field("s", "f"), "list": at.path(), "history": at.path("s", "history"),
		"as of": at.path("s") + "?version=1", "resolve": "/agent/secrets/resolve/s", "effective set": "/agent/secrets/resolve",
	}
	for name, target := range reads {
		t.Run(name, func(t *testing.T) {
			for _, n := range []uint64{0, 1, position} {
				w.ada.do(t, http.MethodGet, target, nil, minPosition(n)).ok(t, 200)
			}
			for _, bad := range []string{"-1", "x", "1.0", "0x1", "18446744073709551616", ""} {
				w.ada.do(t, http.MethodGet, target, nil, header("Chancery-Min-Position", bad)).refused(t, 400, "invalid_request", "precondition_invalid")
			}
		})
	}
	t.Run("after 403", func(t *testing.T) {
		w.bob.do(t, http.MethodGet, at.path("s"), nil, minPosition(position+1000)).code(t, "forbidden")
	})
	t.Run("a position that comes while it waits", func(t *testing.T) {
		head := w.head(t)
		answers := together(1, func(int) reply {
			return w.ada.do(t, http.MethodGet, at.path("s"), nil, minPosition(head+1))
		})
		w.alan.create(t, at, "later")
		answers()[0].ok(t, 200)
	})
	t.Run("not reached", func(t *testing.T) { // all at once, since each waits its seconds
		reads["before 404"] = at.path("nosuch")
		names := slices.Sorted(maps.Keys(reads))
		answers := together(len(names), func(i int) reply {
			return w.ada.do(t, http.MethodGet, reads[names[i]], nil, minPosition(position+1000))
		})
		for i, r := range answers() {
			t.Run(names[i], func(t *testing.T) { r.code(t, "position_not_reached") })
		}
	})
}

// together starts n calls at once; the function it returns waits for them.
func together(n int, call func(i int) reply) func() []reply {
	replies := make([]reply, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { replies[i] = call(i) })
	}
	return func() []reply {
		all.Wait()
		return replies
	}
}
