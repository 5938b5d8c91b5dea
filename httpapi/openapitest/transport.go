// Package openapitest holds a server's answers against its OpenAPI document.
// It is for tests alone.
package openapitest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/chancery-dev/chancery/httpapi"
)

// Load gives the document, resolved and validated.
func Load(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(httpapi.OpenAPI())
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return doc
}

// Document is openapi.yaml, ready to hold answers against. Safe for
// concurrent use.
type Document struct {
	doc    *openapi3.T
	router routers.Router
}

// Open loads the document.
func Open(t testing.TB) *Document {
	t.Helper()
	doc := Load(t)
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &Document{doc: doc, router: router}
}

// Transport sends requests with base and fails the test, without stopping it,
// when an answer is not as openapi.yaml says, or when a request that succeeded
// is not one that it allows. nil means [http.DefaultTransport].
//
// Bodies of both directions are read whole.
func (d *Document) Transport(t testing.TB, base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{Document: d, t: t, base: base}
}

// Transport is that of a document that is opened for it.
func Transport(t testing.TB, base http.RoundTripper) http.RoundTripper {
	t.Helper()
	return Open(t).Transport(t, base)
}

type transport struct {
	*Document
	t    testing.TB
	base http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (tr *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	sent, err := drain(&r.Body)
	if err != nil {
		return nil, err
	}
	resp, err := tr.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	got, err := drain(&resp.Body)
	if err != nil {
		return nil, err
	}
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(bytes.NewReader(sent))
	if err := tr.check(again, resp, got); err != nil {
		tr.t.Errorf("%s %s: status %d is not as openapi.yaml says: %v", r.Method, r.URL.Path, resp.StatusCode, err)
	}
	return resp, nil
}

// drain reads a body and puts it back.
func drain(body *io.ReadCloser) ([]byte, error) {
	if *body == nil || *body == http.NoBody {
		return nil, nil
	}
	b, err := io.ReadAll(*body)
	err = errors.Join(err, (*body).Close())
	*body = io.NopCloser(bytes.NewReader(b))
	return b, err
}

func (tr *transport) check(r *http.Request, resp *http.Response, body []byte) error {
	if r.Method == http.MethodHead || r.Method == http.MethodOptions {
		return nil // not in the document
	}
	route, params, err := tr.router.FindRoute(r)
	if err != nil || resp.StatusCode == http.StatusNotFound && strings.Contains(string(body), `"route_not_found"`) {
		return tr.checkUnrouted(resp, body)
	}
	for name, value := range params { // the router matches them as they were sent
		if plain, err := url.PathUnescape(value); err == nil {
			params[name] = plain
		}
	}
	options := &openapi3filter.Options{
		IncludeResponseStatus: true,
		MultiError:            true,
		AuthenticationFunc:    openapi3filter.NoopAuthenticationFunc,
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options}
	if resp.StatusCode < 300 {
		if err := openapi3filter.ValidateRequest(r.Context(), in); err != nil {
			return err
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: resp.StatusCode, Header: resp.Header, Options: options,
	}
	return openapi3filter.ValidateResponse(r.Context(), out.SetBodyBytes(body))
}

// checkUnrouted sees that what matches no route is answered with a problem.
func (tr *transport) checkUnrouted(resp *http.Response, body []byte) error {
	if resp.Header.Get("Content-Type") != "application/problem+json" {
		return errors.New("not a problem")
	}
	if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed {
		return errors.New("the document does not have this route")
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return err
	}
	return tr.doc.Components.Schemas["Problem"].Value.VisitJSON(v, openapi3.EnableJSONSchema2020())
}
