package httpapi_test

import (
	"bytes"
	"flag"
	"html/template"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi"
	"github.com/chancery-dev/chancery/httpapi/openapitest"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// TestRoutesEqualSpec verifies invariant 1: every route is documented under
// its name with exactly its query parameters, body and need of a key, and
// nothing else is.
func TestRoutesEqualSpec(t *testing.T) {
	documented := map[string]httpapi.RouteName{}
	for path, item := range openapitest.Load(t).Paths.Map() {
		for method, op := range item.Operations() {
			r := httpapi.RouteName{
				Method: method, Path: path, Name: op.OperationID, Body: op.RequestBody != nil,
				Open: op.Security != nil && len(*op.Security) == 0,
			}
			for _, p := range op.Parameters {
				switch p.Value.In {
				case openapi3.ParameterInQuery:
					r.Query = append(r.Query, p.Value.Name)
				case openapi3.ParameterInPath:
					if !strings.Contains(path, "{"+p.Value.Name+"}") {
						t.Errorf("%s documents a parameter %s that its path lacks", op.OperationID, p.Value.Name)
					}
				}
			}
			slices.Sort(r.Query)
			documented[r.Name] = r
		}
	}
	served := map[string]httpapi.RouteName{}
	for _, r := range httpapi.RouteNames() {
		r.Query = slices.Sorted(slices.Values(r.Query))
		served[r.Name] = r
	}
	if diff := cmp.Diff(documented, served); diff != "" {
		t.Error(diff)
	}
}

// TestCodesEqualSpec verifies invariant 1: the document knows exactly the
// domain's codes, and under each status exactly those that the table puts
// there.
func TestCodesEqualSpec(t *testing.T) {
	doc := openapitest.Load(t)
	want := map[string][]string{}
	for _, code := range domain.Codes() {
		status := strconv.Itoa(wire.Status(code))
		want[status] = append(want[status], string(code))
		want["all"] = append(want["all"], string(code))
	}
	got := map[string][]string{"all": texts(doc.Components.Schemas["Code"].Value.Enum)}
	for _, r := range doc.Components.Responses {
		own := r.Value.Content["application/problem+json"].Schema.Value.AllOf[1].Value.Properties
		status, ok := own["status"].Value.Const.(float64)
		if !ok {
			t.Fatalf("a response's status is a %T", own["status"].Value.Const)
		}
		got[strconv.Itoa(int(status))] = texts(own["code"].Value.Enum)
	}
	for _, m := range []map[string][]string{want, got} {
		for status := range m {
			slices.Sort(m[status])
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func texts(values []any) []string {
	var list []string
	for _, v := range values {
		if s, ok := v.(string); ok {
			list = append(list, s)
		}
	}
	return list
}

var update = flag.Bool("update", false, "write docs.html anew")

// TestDocs verifies that docs.html shows openapi.yaml as it is now, with an
// anchor for every code, and draws nothing in from elsewhere. With -update it
// makes the file.
func TestDocs(t *testing.T) {
	page := renderDocs(t)
	if *update {
		if err := os.WriteFile("docs.html", page, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(page, httpapi.DocsPage()) {
		t.Fatal("docs.html is not what openapi.yaml renders to: go test ./httpapi -run TestDocs -update")
	}
	for _, code := range domain.Codes() {
		if !bytes.Contains(page, []byte(`id="`+string(code)+`"`)) {
			t.Errorf("no anchor for %s", code)
		}
	}
	for _, foreign := range []string{"<script", "src=", "http://", "https://", "url(", "@import", "<link"} {
		if bytes.Contains(page, []byte(foreign)) {
			t.Errorf("the page has %s", foreign)
		}
	}
	w := newWorld(t)
	got := w.want(http.StatusOK, request{method: "GET", path: "/docs"})
	if policy := got.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'unsafe-inline';") {
		t.Errorf("policy %q", policy)
	}
	if got := w.want(http.StatusOK, request{method: "GET", path: "/openapi.yaml"}); !bytes.Equal(got.body, httpapi.OpenAPI()) {
		t.Error("the document served is another one")
	}
}

type docsOperation struct {
	Method, Path string
	*openapi3.Operation
}

func renderDocs(t *testing.T) []byte {
	t.Helper()
	source, err := os.ReadFile("docs.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	text, err := template.New("docs").Funcs(template.FuncMap{
		"schema": schemaText, "statuses": func(r *openapi3.Responses) []string { return slices.Sorted(maps.Keys(r.Map())) },
		"status":  func(code any) int { return wire.Status(domain.Code(code.(string))) },   //nolint:errcheck // an enum of texts.
		"title":   func(code any) string { return wire.Title(domain.Code(code.(string))) }, //nolint:errcheck // as above.
		"success": func(r *openapi3.ResponseRef) string { return dataText(r) },
	}).Parse(string(source))
	if err != nil {
		t.Fatal(err)
	}
	doc := openapitest.Load(t)
	operations := map[string][]docsOperation{}
	for _, r := range httpapi.RouteNames() { // in the table's order
		op := doc.Paths.Value(r.Path).GetOperation(r.Method)
		operations[op.Tags[0]] = append(operations[op.Tags[0]], docsOperation{r.Method, r.Path, op})
	}
	var page bytes.Buffer
	if err := text.Execute(&page, map[string]any{"Doc": doc, "Operations": operations, "Codes": doc.Components.Schemas["Code"].Value.Enum}); err != nil {
		t.Fatal(err)
	}
	return page.Bytes()
}

// dataText says what a response's data is.
func dataText(r *openapi3.ResponseRef) string {
	media := r.Value.Content["application/json"]
	if media == nil || media.Schema == nil {
		return strings.Join(slices.Sorted(maps.Keys(r.Value.Content)), ", ")
	}
	return schemaText(media.Schema.Value.Properties["data"])
}

// schemaText writes a schema in one line; named ones by their name.
func schemaText(s *openapi3.SchemaRef) string {
	if s == nil {
		return ""
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return name
	}
	v := s.Value
	var parts []string
	for _, one := range v.OneOf {
		if text := schemaText(one); text != "" {
			parts = append(parts, text)
		}
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, " or ")
	case v.Items != nil:
		return "list of " + schemaText(v.Items)
	case v.Const != nil:
		return strings.TrimSpace(template.HTMLEscaper(v.Const))
	case len(v.Enum) > 0:
		return strings.Join(texts(v.Enum), ", ")
	case v.AdditionalProperties.Schema != nil:
		return "map to " + schemaText(v.AdditionalProperties.Schema)
	case v.Pattern != "":
		return strings.Join(v.Type.Slice(), " or ") + " " + v.Pattern
	case v.Type != nil:
		return strings.Join(v.Type.Slice(), " or ")
	}
	return ""
}
