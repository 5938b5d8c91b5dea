package client_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

const (
	page1 = `{"data":[{"id":"a"},{"id":"b"}],"page":{"nextCursor":"c&1"}}`
	page2 = `{"data":[],"page":{"nextCursor":"c2"}}`
	page3 = `{"data":[{"id":"c"}]}`

	testOrg = domain.OrgID("org_01ARZ3NDEKTSV4RRFFQ69G5FAV")
)

// Invariant 5.
func TestListsFollowTheCursorToTheEnd(t *testing.T) {
	s := serve(t, data(200, page1), data(200, page2), data(200, page3))
	rows, err := s.client().Admin().ListScopes(t.Context(), testOrg, domain.ScopeTeam)
	if err != nil {
		t.Fatal(err)
	}
	var ids, uris []string
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	for _, r := range s.requests() {
		uris = append(uris, r.URI)
	}
	base := "/admin/orgs/" + string(testOrg) + "/teams"
	if diff := cmp.Diff([]string{"a", "b", "c"}, ids); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{base, base + "?cursor=c%261", base + "?cursor=c2"}, uris); diff != "" {
		t.Error(diff)
	}
}

func TestFiltersStayOnEveryPage(t *testing.T) {
	s := serve(t, data(200, `{"data":[],"page":{"nextCursor":"n"}}`), data(200, `{"data":[]}`))
	rows, err := s.client().ListSecrets(t.Context(), testScope,
		client.Filter{Category: "c", Tags: []string{"a", "b"}, Text: "q q", PageSize: 2})
	if err != nil || rows == nil || len(rows) != 0 {
		t.Fatalf("got %v, %v", rows, err)
	}
	var uris []string
	for _, r := range s.requests() {
		uris = append(uris, r.URI)
	}
	want := []string{
		"/agent/secrets/project/proj_X?category=c&limit=2&q=q+q&tag=a&tag=b",
		"/agent/secrets/project/proj_X?category=c&cursor=n&limit=2&q=q+q&tag=a&tag=b",
	}
	if diff := cmp.Diff(want, uris); diff != "" {
		t.Error(diff)
	}
}

func TestAnErrorInTheMiddleEndsTheList(t *testing.T) {
	steps := []http.HandlerFunc{data(200, page1), problem(403, domain.CodeForbidden)}
	s := serve(t, steps...)
	rows, err := s.client().Admin().ListOrgs(t.Context())
	if rows != nil || !isCode(err, domain.CodeForbidden) {
		t.Errorf("got %v, %v", rows, err)
	}
	s = serve(t, steps...)
	var got []string
	for row, err := range s.client().Admin().Orgs(t.Context()) {
		if err != nil {
			got = append(got, string(domain.CodeOf(err)))
			continue
		}
		got = append(got, row.ID)
	}
	if diff := cmp.Diff([]string{"a", "b", "forbidden"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAListThatIsLeftEarlyAsksNoFurther(t *testing.T) {
	s := serve(t, data(200, page1))
	for _, err := range s.client().Admin().Orgs(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	s.requests()
}

func TestAPageThatNamesItselfEndsTheList(t *testing.T) {
	same := data(200, `{"data":[],"page":{"nextCursor":"x"}}`)
	s := serve(t, same, same)
	if rows, err := s.client().Admin().ListOrgs(t.Context()); err == nil {
		t.Errorf("got %v", rows)
	}
	s.requests()
}
