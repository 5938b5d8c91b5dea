package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

const (
	canary    = "canary-value"
	testToken = "chy_canarytoken"
)

// try runs the program against an address and gives what it left.
func try(ctx context.Context, addr, stdin string, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	env := map[string]string{"CHANCERY_ADDR": addr, "CHANCERY_API_KEY": testToken, "CHANCERY_TIMEOUT": "10s"}
	status = run(ctx, args, strings.NewReader(stdin), &out, &errs, func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	})
	return status, out.String(), errs.String()
}

func answer(w http.ResponseWriter, status int, body any) {
	media := wire.ContentJSON
	if status >= 300 {
		media = wire.ContentProblem
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set(wire.HeaderRequestID, "req-1")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(err)
	}
}

// Invariants 3 and 4.
func TestEveryCodeHasItsExitStatus(t *testing.T) {
	want := map[int]int{
		400: exitRefused, 405: exitRefused, 413: exitRefused, 415: exitRefused, 401: exitDenied, 403: exitDenied, 404: exitNotFound,
		409: exitConflict, 410: exitConflict, 412: exitConflict, 422: exitConflict, 429: exitUnavailable, 503: exitUnavailable, 500: exitFailed,
	}
	for _, code := range domain.Codes() {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(wire.HeaderRetryAfter, "3600") // the client gives up at once.
			answer(w, wire.Status(code), wire.NewProblem(domain.Errorf(code, "because"), "req-1"))
		}))
		status, stdout, stderr := try(t.Context(), srv.URL, "", "whoami")
		srv.Close()
		expected := want[wire.Status(code)]
		if code == domain.CodeOutcomeUnknown {
			expected = exitUnknown
		}
		if status != expected {
			t.Errorf("%s: exit status %d, want %d", code, status, expected)
		}
		if stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "chancery: "+string(code)+": ") ||
			!strings.HasSuffix(stderr, " (req-1)\n") {
			t.Errorf("%s: stdout %q, stderr %q", code, stdout, stderr)
		}
	}
}

func TestAWriteOfUnknownOutcomeNamesItsKey(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusInternalServerError, wire.NewProblem(domain.Errorf(domain.CodeInternal, ""), "req-1"))
	}))
	defer srv.Close()
	status, _, stderr := try(t.Context(), srv.URL, "", "rename", "proj_1/x", "New", "--idempotency-key", "idem-1")
	if status != exitUnknown || !strings.Contains(stderr, "idem-1") {
		t.Errorf("exit status %d, %s", status, stderr)
	}
}

func TestAnInterruptIsToldApart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer srv.Close()
	if status, _, stderr := try(ctx, srv.URL, "", "whoami"); status != exitInterrupted {
		t.Errorf("exit status %d, %s", status, stderr)
	}
}

// fieldServer stores one field and its data key.
type fieldServer struct {
	t      *testing.T
	bodies []string
	field  wire.SetField
}

const zeroKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

func (s *fieldServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.bodies = append(s.bodies, string(body))
	switch {
	case strings.HasSuffix(r.URL.Path, "/whoami"):
		answer(w, 200, wire.Response[wire.Whoami]{Data: wire.Whoami{AgentID: "agt_1", OrgID: "org_1"}})
		return
	case strings.HasSuffix(r.URL.Path, "/generate-data-key"):
		answer(w, 200, wire.Response[wire.DataKey]{Data: wire.DataKey{PlaintextKey: zeroKey, DataKeyCiphertext: "c", KeyID: "k"}})
		return
	case strings.HasSuffix(r.URL.Path, "/decrypt-data-key"):
		answer(w, 200, wire.Response[wire.PlaintextKey]{Data: wire.PlaintextKey{PlaintextKey: zeroKey}})
		return
	case r.Method == http.MethodPut:
		if err := json.Unmarshal(body, &s.field); err != nil {
			s.t.Error(err)
		}
	}
	answer(w, 200, wire.Response[wire.Field]{Data: wire.Field{
		Key: "k", Sensitivity: s.field.Sensitivity, Value: s.field.Value, Envelope: s.field.Envelope, Version: 2,
	}})
}

// Invariants 1 and 5.
func TestAValueGoesInSealedAndComesOutAsItWas(t *testing.T) {
	for _, c := range []struct{ name, stdin, want string }{
		{"a line", canary + "\n", canary},
		{"no line end", canary, canary},
		{"two line ends", canary + "\n\n", canary + "\n"},
		{"from Windows", canary + "\r\n", canary},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &fieldServer{t: t}
			srv := httptest.NewServer(s)
			defer srv.Close()
			status, stdout, stderr := try(t.Context(), srv.URL, c.stdin, "set", "agent/x", "k")
			if status != exitOK || stderr != "" || stdout != "set agent/agt_1/x/k v2\n" {
				t.Fatalf("set: %d, %q, %q", status, stdout, stderr)
			}
			for _, body := range s.bodies {
				if strings.Contains(body, canary) || strings.Contains(body, base64.StdEncoding.EncodeToString([]byte(canary))) {
					t.Error("the value was sent readable")
				}
			}
			if status, stdout, stderr = try(t.Context(), srv.URL, "", "reveal", "agent/x", "k"); status != exitOK || stdout != c.want {
				t.Errorf("reveal: %d, %q, %q", status, stdout, stderr)
			}
			if _, stdout, stderr = try(t.Context(), srv.URL, "", "get", "agent/x", "k"); strings.Contains(stdout+stderr, canary) {
				t.Error("get opened the field")
			}
			_, stdout, _ = try(t.Context(), srv.URL, "", "reveal", "agent/x", "k", "--json")
			var got revealed
			if err := json.Unmarshal([]byte(stdout), &got); err != nil || got.Value == nil || *got.Value != c.want || got.ScopeID != "agt_1" {
				t.Errorf("reveal --json: %s", stdout)
			}
		})
	}
}

func TestExactKeepsEveryByte(t *testing.T) {
	s := &fieldServer{t: t}
	srv := httptest.NewServer(s)
	defer srv.Close()
	value := "\xff\x00\r\n"
	if status, _, stderr := try(t.Context(), srv.URL, value, "set", "agent/x", "k", "--exact"); status != exitOK {
		t.Fatal(stderr)
	}
	if _, stdout, _ := try(t.Context(), srv.URL, "", "reveal", "agent/x", "k"); stdout != value {
		t.Errorf("came out as %q", stdout)
	}
	_, stdout, _ := try(t.Context(), srv.URL, "", "reveal", "agent/x", "k", "--json")
	var got revealed
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || got.Value != nil || string(got.ValueBase64) != value {
		t.Errorf("reveal --json: %s", stdout)
	}
}

func TestPlaintextIsSentAsItIs(t *testing.T) {
	s := &fieldServer{t: t}
	srv := httptest.NewServer(s)
	defer srv.Close()
	if status, _, stderr := try(t.Context(), srv.URL, "https://x\n", "set", "proj_1/x", "k", "--plaintext"); status != exitOK {
		t.Fatal(stderr)
	}
	if diff := cmp.Diff([]string{`{"sensitivity":"plaintext","value":"https://x"}`}, s.bodies); diff != "" {
		t.Error(diff)
	}
	status, _, stderr := try(t.Context(), srv.URL, "\xff", "set", "proj_1/x", "k", "--plaintext")
	if status != exitRefused || len(s.bodies) != 1 {
		t.Errorf("binary: %d, %s", status, stderr)
	}
}

func TestAValueTooLongIsNotSent(t *testing.T) {
	s := &fieldServer{t: t}
	srv := httptest.NewServer(s)
	defer srv.Close()
	status, _, stderr := try(t.Context(), srv.URL, strings.Repeat("x", domain.MaxValueLen+1), "set", "proj_1/x", "k")
	if status != exitRefused || len(s.bodies) != 0 || !strings.Contains(stderr, "too_long") {
		t.Errorf("%d, %s", status, stderr)
	}
	if status, _, stderr = try(t.Context(), srv.URL, strings.Repeat("x", domain.MaxValueLen)+"\n", "set", "proj_1/x", "k"); status != exitOK {
		t.Errorf("the longest: %d, %s", status, stderr)
	}
}

func TestTagsChangeOnlyWhatWasRead(t *testing.T) {
	version, patches := uint64(6), 0
	var last wire.UpdateSecret
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		row := wire.Aggregate{SecretID: "x", Scope: "project", ScopeID: "proj_1", Tags: []string{"b", "c"}, Version: version}
		if r.Method == http.MethodGet {
			other := row
			other.SecretID = "xx"
			answer(w, 200, wire.Response[[]wire.Aggregate]{Data: []wire.Aggregate{other, row}})
			return
		}
		if patches++; patches == 1 {
			version++ // somebody else was faster.
		}
		if r.Header.Get("If-Match") != wire.ETag(version) {
			answer(w, 412, wire.NewProblem(domain.Errorf(domain.CodeVersionMismatch, ""), "req-1"))
			return
		}
		if err := json.NewDecoder(r.Body).Decode(&last); err != nil {
			t.Error(err)
		}
		answer(w, 200, wire.Response[wire.Aggregate]{Data: row})
	}))
	defer srv.Close()
	status, _, stderr := try(t.Context(), srv.URL, "", "tag", "proj_1/x", "--add", "a,b", "--remove", "c,d")
	if status != exitOK || patches != 2 {
		t.Fatalf("%d after %d patches: %s", status, patches, stderr)
	}
	if diff := cmp.Diff([]string{"a", "b"}, *last.Tags); diff != "" {
		t.Error(diff)
	}
}

func TestAnIssuedKeyGoesWhereItWasAskedFor(t *testing.T) {
	issued := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		issued++
		answer(w, 201, wire.Response[wire.IssuedKey]{Data: wire.IssuedKey{ID: "key_1", APIKey: testToken}})
	}))
	defer srv.Close()
	args := []string{"admin", "key", "issue", "agt_01ARZ3NDEKTSV4RRFFQ69G5FAV", "--org", "org_01ARZ3NDEKTSV4RRFFQ69G5FAV"}
	status, stdout, stderr := try(t.Context(), srv.URL, "", args...)
	if status != exitOK || stdout != testToken+"\n" || strings.Contains(stderr, testToken) {
		t.Errorf("%d, %q, %q", status, stdout, stderr)
	}
	file := filepath.Join(t.TempDir(), "a.key")
	args = append(args, "--out", file)
	status, stdout, stderr = try(t.Context(), srv.URL, "", args...)
	if status != exitOK || strings.Contains(stdout+stderr, testToken) {
		t.Errorf("%d, %q, %q", status, stdout, stderr)
	}
	if got, err := readKeyFile(file); err != nil || got != testToken {
		t.Errorf("the file holds %q, %v", got, err)
	}
	// A file that is there is not overwritten, and no key is issued for it.
	if status, _, _ := try(t.Context(), srv.URL, "", args...); status != exitFailed || issued != 2 {
		t.Errorf("%d, %d issued", status, issued)
	}
}

func TestAFileForAKeyThatWasNotIssuedIsRemoved(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 403, wire.NewProblem(domain.Errorf(domain.CodeForbidden, "no"), "req-1"))
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "a.key")
	status, _, stderr := try(t.Context(), srv.URL, "", "admin", "key", "issue", "agt_01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"--org", "org_01ARZ3NDEKTSV4RRFFQ69G5FAV", "--out", file)
	if _, err := os.Stat(file); status != exitDenied || !os.IsNotExist(err) {
		t.Errorf("%d, %s, %v", status, stderr, err)
	}
}

func TestCellsDoNotReachTheTerminal(t *testing.T) {
	for in, want := range map[string]string{"": "-", "a": "a", "a\x1b[2J": `"a\x1b[2J"`, "a\nb": `"a\nb"`, "Ä": "Ä"} {
		if got := cell(in); got != want {
			t.Errorf("%q shows as %s", in, got)
		}
	}
}

func TestPaths(t *testing.T) {
	for text, want := range map[string]secretArg{
		"agent/x":          {scopeArg{domain.ScopeAgent, ""}, "x"},
		"org/x":            {scopeArg{domain.ScopeOrg, ""}, "x"},
		"project/proj_1/x": {scopeArg{domain.ScopeProject, "proj_1"}, "x"},
		"proj_1/x":         {scopeArg{domain.ScopeProject, "proj_1"}, "x"},
		"team_1/x":         {scopeArg{domain.ScopeTeam, "team_1"}, "x"},
		"team/team_1/x":    {scopeArg{domain.ScopeTeam, "team_1"}, "x"},
		"agt_1/x":          {scopeArg{domain.ScopeAgent, "agt_1"}, "x"},
		"agent/agt_1/x":    {scopeArg{domain.ScopeAgent, "agt_1"}, "x"},
		"org/org_1/x":      {scopeArg{domain.ScopeOrg, "org_1"}, "x"},
	} {
		got, err := parsePath(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "/", "x", "x/", "/x", "a/b/c/d", "project/x", "user/1/x", "agent//x", "agent/agt_1", "org/org_1", "agent/x "} {
		if got, err := parsePath(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// TestExitTable holds the constants, the help and the documentation equal.
func TestExitTable(t *testing.T) {
	doc, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	var statuses []int
	for _, e := range exitMeanings() {
		statuses = append(statuses, e.Status)
		if row := fmt.Sprintf("| %d | %s |", e.Status, e.Meaning); !bytes.Contains(doc, []byte(row)) {
			t.Errorf("docs/cli.md has no row %s", row)
		}
	}
	for _, code := range domain.Codes() {
		if !slices.Contains(statuses, exitOf(code)) {
			t.Errorf("%s has exit status %d, which is in no table", code, exitOf(code))
		}
	}
}
