package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// query makes a query string of names and values.
func query(pairs ...string) string {
	v := url.Values{}
	for pair := range slices.Chunk(pairs, 2) {
		v.Add(pair[0], pair[1])
	}
	return "?" + v.Encode()
}

// pages follows nextCursor to the end and returns the replies.
func (c caller) pages(t testing.TB, path string, pairs ...string) []reply {
	t.Helper()
	return c.pagesFrom(t, "", path, pairs...)
}

// pagesFrom does so from a cursor on.
func (c caller) pagesFrom(t testing.TB, cursor, path string, pairs ...string) (all []reply) {
	t.Helper()
	for range 200 {
		with := pairs
		if cursor != "" {
			with = append(slices.Clone(pairs), "cursor", cursor)
		}
		r := c.do(t, http.MethodGet, path+query(with...), nil).ok(t, 200)
		if tag := r.header.Get("ETag"); tag != "" {
			t.Errorf("a list has the ETag %s", tag)
		}
		all = append(all, r)
		if r.next == "" {
			return all
		}
		cursor = r.next
	}
	t.Fatalf("%s does not end", path)
	return nil
}

// ids collects the secret ids of a list, page for page.
func (c caller) ids(t testing.TB, path string, pairs ...string) (ids []string) {
	t.Helper()
	return idsOf(t, c.pages(t, path, pairs...))
}

func idsOf(t testing.TB, pages []reply) (ids []string) {
	t.Helper()
	for _, page := range pages {
		for _, row := range into[[]aggregate](t, page) {
			ids = append(ids, row.SecretID)
		}
	}
	return ids
}

// TestContractLists: filters, paging, order, cursors of secret lists.
func TestContractLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	for _, s := range []struct {
		id, name, category string
		tags               []string
	}{
		{"B", "Bravo", "sql", []string{"eu", "prod"}},
		{"a", "Alpha one", "sql", []string{"eu"}},
		{"a-1", "ALPHA two", "http", []string{"prod"}},
		{"a_1", "Émile", "http", nil},
		{"0", "100% _x", "sql", []string{"eu", "prod", "x y"}},
		{"Z9", "zz top", "other_1", []string{"Eu"}},
	} {
		body := obj{"secretName": s.name, "category": s.category, "fields": []obj{keyed("f", plain("hidden"))}}
		if s.tags != nil {
			body["tags"] = s.tags
		}
		w.ada.do(t, http.MethodPut, at.path(s.id), body).ok(t, 201)
	}
	everything := []string{"0", "B", "Z9", "a", "a-1", "a_1"}

	for _, tt := range []struct {
		name  string
		query []string
		want  []string
	}{
		{"all, by the bytes of the id", nil, everything},
		{"category", []string{"category", "sql"}, []string{"0", "B", "a"}},
		{"category of none", []string{"category", "none"}, nil},
		{"tag", []string{"tag", "prod"}, []string{"0", "B", "a-1"}},
		{"tags, all of them", []string{"tag", "prod", "tag", "eu"}, []string{"0", "B"}},
		{"tag with a space", []string{"tag", "x y"}, []string{"0"}},
		{"tag of other case", []string{"tag", "Eu"}, []string{"Z9"}},
		{"tag is no prefix", []string{"tag", "pro"}, nil},
		{"q in the name", []string{"q", "Alpha"}, []string{"a"}},
		{"q in the id", []string{"q", "Z9"}, []string{"Z9"}},
		{"q in either", []string{"q", "a-1"}, []string{"a-1"}},
		{"q is no pattern", []string{"q", "100% _"}, []string{"0"}},
		{"q beyond ASCII", []string{"q", "Ém"}, []string{"a_1"}},
		{"q and category and tag", []string{"q", "ravo", "category", "sql", "tag", "eu"}, []string{"B"}},
		{"q and another category", []string{"q", "ravo", "category", "http"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, w.alan.ids(t, at.path(), tt.query...)); diff != "" {
				t.Error(diff)
			}
			for _, limit := range []string{"1", "2", "5", "1000"} {
				if diff := cmp.Diff(tt.want, w.alan.ids(t, at.path(), append(slices.Clone(tt.query), "limit", limit)...)); diff != "" {
					t.Errorf("with limit %s: %s", limit, diff)
				}
			}
		})
	}
	t.Run("metadata only", func(t *testing.T) {
		r := w.alan.do(t, http.MethodGet, at.path(), nil).ok(t, 200)
		for _, row := range into[[]aggregate](t, r) {
			if len(row.Fields) != 1 || row.Fields[0].Value != nil || row.Fields[0].Envelope != nil {
				t.Errorf("row %+v", row)
			}
		}
		if strings.Contains(string(r.raw), "hidden") {
			t.Error("a list shows a value")
		}
	})
	t.Run("an empty list is an array", func(t *testing.T) {
		if r := w.alan.do(t, http.MethodGet, w.projA.path(), nil).ok(t, 200); string(r.data) != "[]" || r.next != "" {
			t.Errorf("data %s, next %q", r.data, r.next)
		}
	})
	t.Run("limit bounds a page", func(t *testing.T) {
		for _, page := range w.alan.pages(t, at.path(), "limit", "2") {
			if n := len(into[[]aggregate](t, page)); n > 2 {
				t.Errorf("%d rows", n)
			}
		}
	})
	t.Run("limits", func(t *testing.T) {
		for _, limit := range []string{"0", "-1", "1001", "x", "1.0", "1e2", "", " 1", "99999999999999999999"} {
			w.alan.do(t, http.MethodGet, at.path()+query("limit", limit), nil).code(t, "invalid_query")
		}
	})
	t.Run("stable while others write", func(t *testing.T) {
		first := w.alan.do(t, http.MethodGet, at.path()+query("limit", "3"), nil).ok(t, 200)
		w.ada.create(t, at, "00")  // before the cursor
		w.ada.create(t, at, "a-0") // behind it
		w.ada.do(t, http.MethodDelete, at.path("Z9"), nil).ok(t, 200)
		rest := idsOf(t, w.alan.pagesFrom(t, first.next, at.path(), "limit", "2"))
		if diff := cmp.Diff([]string{"a", "a-0", "a-1", "a_1"}, rest); diff != "" {
			t.Error(diff)
		}
	})
}

// TestContractCursors: a cursor holds for its path, filters and order, and
// for nothing else.
func TestContractCursors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	for i := range 5 {
		id := fmt.Sprintf("s%d", i)
		w.ada.do(t, http.MethodPut, at.path(id), obj{"secretName": "n", "category": "sql", "tags": []string{"eu", "x"}}).ok(t, 201)
		w.ada.create(t, w.projA, id)
		w.ada.rename(t, at, "s0", "n"+id).ok(t, 200)
		w.ada.rename(t, w.projA, "s0", "n"+id).ok(t, 200)
	}
	next := func(target string) string {
		r := w.ada.do(t, http.MethodGet, target, nil).ok(t, 200)
		if r.next == "" {
			t.Fatalf("%s has no next page", target)
		}
		return r.next
	}
	list, history := at.path(), at.path("s0", "history")
	cursors := map[string]string{
		"list":      next(list + query("limit", "1")),
		"category":  next(list + query("limit", "1", "category", "sql")),
		"tag":       next(list + query("limit", "1", "tag", "eu")),
		"q":         next(list + query("limit", "1", "q", "s")),
		"project":   next(w.projA.path() + query("limit", "1")),
		"desc":      next(history + query("limit", "1")),
		"asc":       next(history + query("limit", "1", "order", "asc")),
		"project h": next(w.projA.path("s0", "history") + query("limit", "1")),
		"effective": next("/agent/secrets/resolve" + query("limit", "1")),
	}
	uses := map[string]func(cursor string) string{
		"list":      func(c string) string { return list + query("cursor", c) },
		"category":  func(c string) string { return list + query("cursor", c, "category", "sql") },
		"tag":       func(c string) string { return list + query("cursor", c, "tag", "eu") },
		"q":         func(c string) string { return list + query("cursor", c, "q", "s") },
		"project":   func(c string) string { return w.projA.path() + query("cursor", c) },
		"desc":      func(c string) string { return history + query("cursor", c) },
		"asc":       func(c string) string { return history + query("cursor", c, "order", "asc") },
		"project h": func(c string) string { return w.projA.path("s0", "history") + query("cursor", c) },
		"effective": func(c string) string { return "/agent/secrets/resolve" + query("cursor", c) },
		// Cursors of others only.
		"category 2": func(c string) string { return list + query("cursor", c, "category", "sqlx") },
		"tags":       func(c string) string { return list + query("cursor", c, "tag", "eu", "tag", "x") },
		"q 2":        func(c string) string { return list + query("cursor", c, "q", "s1") },
		"other id":   func(c string) string { return at.path("s1", "history") + query("cursor", c) },
		"teams":      func(c string) string { return w.inOrg("teams") + query("cursor", c) },
	}
	for made, cursor := range cursors {
		for used, target := range uses {
			t.Run("of "+made+" in "+used, func(t *testing.T) {
				who := w.ada.caller
				if used == "teams" {
					who = w.admin
				}
				r := who.do(t, http.MethodGet, target(cursor), nil)
				if made == used {
					r.ok(t, 200)
				} else {
					r.code(t, "invalid_cursor")
				}
			})
		}
	}
	t.Run("damaged", func(t *testing.T) {
		good := cursors["list"]
		damaged := []string{
			good[:len(good)-1], good[1:], good + "A", good + "=", good[:len(good)/2], "x", "AAAA", "e30", "e30=", "ä",
			strings.Repeat("A", 512), strings.Repeat("A", 513), good + strings.Repeat("A", 513-len(good)), strings.Repeat("A", 4096),
		}
		for i := range good {
			flipped := []byte(good)
			flipped[i] ^= 4
			damaged = append(damaged, string(flipped))
		}
		for _, cursor := range damaged {
			w.ada.do(t, http.MethodGet, list+query("cursor", cursor), nil).code(t, "invalid_cursor")
		}
		for _, cursor := range []string{"", "%00"} {
			w.ada.do(t, http.MethodGet, list+"?cursor="+cursor, nil).code(t, "invalid_cursor", "invalid_query")
		}
	})
	t.Run("another page size", func(t *testing.T) {
		if diff := cmp.Diff([]string{"s1", "s2", "s3", "s4"}, idsOf(t, w.ada.pagesFrom(t, cursors["list"], list, "limit", "3"))); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("rights are checked anew", func(t *testing.T) {
		w.bob.do(t, http.MethodGet, uses["list"](cursors["list"]), nil).code(t, "forbidden")
		w.alan.do(t, http.MethodGet, uses["list"](cursors["list"]), nil).ok(t, 200)
		w.admin.do(t, http.MethodDelete, w.membership(w.alan, at), nil).ok(t, 200)
		w.admin.do(t, http.MethodDelete, w.membership(w.alan, w.projA), nil).ok(t, 200)
		w.alan.do(t, http.MethodGet, uses["list"](cursors["list"]), nil).code(t, "forbidden")
	})
	w.Restart(t)
	w.ada.url = w.URL
	t.Run("after a restart", func(t *testing.T) {
		for name, cursor := range cursors {
			w.ada.do(t, http.MethodGet, uses[name](cursor), nil).ok(t, 200)
		}
	})
}
