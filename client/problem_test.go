package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// Invariant 3.
func TestEveryCodeComesBackAsItself(t *testing.T) {
	for _, code := range append(domain.Codes(), "of_a_later_server") {
		s := serve(t, problem(wire.Status(code), code))
		_, err := s.client(func(c *client.Config) { c.MaxRetries = -1 }).GetSecret(t.Context(), testSecret)
		if domain.CodeOf(err) != code || !isCode(err, code) {
			t.Errorf("%s came back as %v", code, err)
		}
		if isCode(err, "another_code") {
			t.Errorf("%s is another code as well", code)
		}
		p, ok := errors.AsType[*client.ProblemError](err)
		if !ok || p.Status != wire.Status(code) || p.Detail != "because" || p.RequestID != "req-1" {
			t.Errorf("%s: %#v", code, p)
		}
		s.requests()
	}
}

func TestAProblemSaysWhichMembersAreAtFault(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"code":"invalid_request","detail":"bad\u001b[31m\nline","errors":[{"field":"/fields/0/key","code":"invalid_id"}],"new":1}`)
	})
	_, err := s.client().GetSecret(t.Context(), testSecret)
	p, ok := errors.AsType[*client.ProblemError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff([]domain.FieldError{{Field: "/fields/0/key", Code: domain.CodeInvalidID}}, p.Fields); diff != "" {
		t.Error(diff)
	}
	if strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("control characters in %q", err)
	}
	d, ok := errors.AsType[*domain.Error](err)
	if !ok || !cmp.Equal(d.Fields, p.Fields) {
		t.Errorf("as a domain error: %#v", d)
	}
}

func TestAnAnswerOfSomebodyElse(t *testing.T) {
	for status, code := range map[int]domain.Code{
		401: domain.CodeUnauthenticated, 403: domain.CodeForbidden, 404: domain.CodeRouteNotFound, 429: domain.CodeRateLimited,
		500: domain.CodeInternal, 502: domain.CodeUnavailable, 503: domain.CodeUnavailable, 418: domain.CodeInternal,
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			fmt.Fprint(w, "canary")
		})
		_, err := s.client(func(c *client.Config) { c.MaxRetries = -1 }).GetSecret(t.Context(), testSecret)
		if !isCode(err, code) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%d: %v", status, err)
		}
	}
}
