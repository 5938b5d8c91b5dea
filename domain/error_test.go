package domain_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
)

// contractCodes are the codes of the wire contract's table, in its order.
const contractCodes = `
	invalid_request invalid_json invalid_id invalid_query invalid_cursor invalid_envelope too_long empty_patch precondition_invalid
	unauthenticated
	forbidden
	route_not_found secret_not_found field_not_found not_found
	method_not_allowed body_too_large unsupported_media_type
	secret_exists sensitivity_downgrade data_key_reused too_many_fields ambiguous_scope key_already_issued conflict
	idempotency_expired version_mismatch
	data_key_mismatch idempotency_key_reused
	rate_limited unavailable position_not_reached outcome_unknown
	internal`

func TestCodesAreTheContracts(t *testing.T) {
	var got []string
	for _, c := range domain.Codes() {
		got = append(got, string(c))
	}
	if diff := cmp.Diff(strings.Fields(contractCodes), got); diff != "" {
		t.Errorf("Codes (-contract +listed):\n%s", diff)
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != len(domain.Codes()) {
		t.Error("a code is listed twice")
	}
}

// Every declared Code constant is listed.
func TestCodesListEveryConstant(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []domain.Code
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Code" {
			return true
		}
		for _, v := range spec.Values {
			literal, ok := v.(*ast.BasicLit)
			if !ok {
				t.Errorf("a code is not a literal: %v", spec.Names)
				continue
			}
			code, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Error(err)
			}
			declared = append(declared, domain.Code(code))
		}
		return true
	})
	listed := domain.Codes()
	slices.Sort(listed)
	slices.Sort(declared)
	if diff := cmp.Diff(declared, listed); diff != "" {
		t.Errorf("Codes (-declared +listed):\n%s", diff)
	}
}

func TestCodesIsACopy(t *testing.T) {
	domain.Codes()[0] = "changed"
	if domain.Codes()[0] == "changed" {
		t.Error("a caller can change the list")
	}
}

func TestErrorIsAsCodeOf(t *testing.T) {
	refusal := domain.Errorf(domain.CodeSecretExists, "secret %d", 7)
	other := domain.Errorf(domain.CodeConflict, "secret %d", 7)
	for what, tc := range map[string]struct {
		err  error
		code domain.Code
		is   bool
	}{
		"nil":              {nil, "", false},
		"itself":           {refusal, domain.CodeSecretExists, true},
		"another detail":   {domain.Errorf(domain.CodeSecretExists, "else"), domain.CodeSecretExists, true},
		"wrapped":          {fmt.Errorf("a: %w", fmt.Errorf("b: %w", refusal)), domain.CodeSecretExists, true},
		"joined":           {errors.Join(io.EOF, refusal), domain.CodeSecretExists, true},
		"another code":     {other, domain.CodeConflict, false},
		"not a refusal":    {io.EOF, domain.CodeInternal, false},
		"only its text":    {errors.New(refusal.Error()), domain.CodeInternal, false},
		"formatted with v": {fmt.Errorf("a: %v", refusal), domain.CodeInternal, false}, //nolint:errorlint // broken on purpose.
		"the first counts": {fmt.Errorf("%w, %w", other, refusal), domain.CodeConflict, true},
	} {
		if got := domain.CodeOf(tc.err); got != tc.code {
			t.Errorf("%s: CodeOf is %q, want %q", what, got, tc.code)
		}
		if got := errors.Is(tc.err, domain.Errorf(domain.CodeSecretExists, "")); got != tc.is {
			t.Errorf("%s: errors.Is is %t", what, got)
		}
	}
	if errors.Is(refusal, io.EOF) {
		t.Error("a refusal is the end of a file")
	}
	got, ok := errors.AsType[*domain.Error](fmt.Errorf("a: %w", refusal))
	if !ok || got != refusal {
		t.Errorf("errors.As gives %v", got)
	}
	if got, want := refusal.Error(), "secret_exists: secret 7"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

func TestErrorAt(t *testing.T) {
	err := domain.Errorf(domain.CodeTooLong, "too long").At("/secretName").At("/tags/0")
	want := &domain.Error{Code: domain.CodeTooLong, Detail: "too long", Fields: []domain.FieldError{
		{Field: "/secretName", Code: domain.CodeTooLong}, {Field: "/tags/0", Code: domain.CodeTooLong},
	}}
	if diff := cmp.Diff(*want, *err); diff != "" {
		t.Errorf("At (-want +got):\n%s", diff)
	}
	err.RetryAfter, err.EventID = time.Second, "event"
	if domain.CodeOf(err) != domain.CodeTooLong || !errors.Is(err, want) {
		t.Error("what stands beside a code changes it")
	}
}
