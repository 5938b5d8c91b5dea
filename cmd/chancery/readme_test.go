package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"go/format"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// repository is the root of the module, seen from this package.
const repository = "../.."

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section gives the text below a heading of the second level.
func section(t *testing.T, doc, heading string) string {
	t.Helper()
	_, text, ok := strings.Cut(doc, "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("there is no section %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// fence is a fenced block of code.
type fence struct{ language, code string }

var fences = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

func fencesOf(text string) []fence {
	var all []fence
	for _, m := range fences.FindAllStringSubmatch(text, -1) {
		all = append(all, fence{language: m[1], code: m[2]})
	}
	return all
}

// onlyFence gives the one block of a language.
func onlyFence(t *testing.T, text, language string) string {
	t.Helper()
	all := slices.DeleteFunc(fencesOf(text), func(f fence) bool { return f.language != language })
	if len(all) != 1 {
		t.Fatalf("%d blocks of %s, want one", len(all), language)
	}
	return all[0].code
}

// readmeServer is what `make run` leaves: a checkout with the program in bin
// and a server with its data in chancery-data.
type readmeServer struct{ dir, addr string }

// startReadmeServer starts a server. When the test ends it is stopped and its
// projection compared with a fresh fold of the log.
func startReadmeServer(t *testing.T) readmeServer {
	t.Helper()
	s := readmeServer{dir: t.TempDir()}
	program, err := os.Executable() // TestMain makes it chancery under that name.
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(s.dir, "bin", "chancery")); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	listening, ended := make(chan net.Addr, 1), make(chan error, 1)
	cfg := server.Config{
		Data: filepath.Join(s.dir, "chancery-data"), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		Listening: func(a net.Addr) { listening <- a },
		Webhooks:  webhooksFile(t),
	}
	go func() { ended <- server.Run(ctx, cfg) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server did not end in order: %v", err)
		}
		if _, err := server.Fsck(context.Background(), cfg); err != nil {
			t.Errorf("fsck: %v", err)
		}
	})
	select {
	case addr := <-listening:
		s.addr = "http://" + addr.String()
	case err := <-ended:
		ended <- err
		t.Fatalf("the server did not start: %v", err)
	}
	return s
}

// command prepares a program that finds the server and nothing of the
// surroundings' own configuration.
func (s readmeServer) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = s.dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CHANCERY_") && !strings.HasPrefix(v, "TMPDIR=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "CHANCERY_ADDR="+s.addr, "TMPDIR="+s.dir)
	return cmd
}

// blockEnd ends what one block printed: a character that no answer holds.
const blockEnd = "\x1e\n"

// TestReadmeQuickStart runs the quick start as one script against a server
// and compares what each block prints with what the README shows below it.
func TestReadmeQuickStart(t *testing.T) {
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the quick start needs %s, which is not here", tool)
		}
	}
	all := fencesOf(section(t, readDoc(t, "README.md"), "Quick start"))
	if len(all) == 0 || all[0] != (fence{"sh", "make run\n"}) {
		t.Fatal("the quick start does not begin with make run")
	}
	var blocks []string
	shown := map[int]string{}
	for _, f := range all[1:] {
		switch f.language {
		case "sh":
			blocks = append(blocks, f.code)
		case "text":
			shown[len(blocks)-1] += f.code
		default:
			t.Errorf("a block of %q is neither commands nor their output", f.language)
		}
	}
	var script strings.Builder
	for _, b := range blocks {
		script.WriteString(b + `printf '\036\n'` + "\n")
	}
	s := startReadmeServer(t)
	cmd := s.command(t, "bash", "-eu", "-o", "pipefail", "-c", script.String())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	outputs := strings.Split(string(stdout), blockEnd)
	if err != nil {
		t.Errorf("%v\n%s", err, stderr.String())
	}
	if len(outputs) != len(blocks)+1 {
		t.Fatalf("the quick start ended in this block:\n%s\nwhich printed:\n%s", blocks[len(outputs)-1], outputs[len(outputs)-1])
	}
	for i, b := range blocks {
		if !likeShown(t, shown[i], outputs[i]) {
			t.Errorf("the commands\n%s\nprint\n%s\nand the README shows\n%s", b, outputs[i], shown[i])
		}
	}
	if stderr.Len() > 0 {
		t.Errorf("the quick start writes to standard error:\n%s", stderr.String())
	}
	s.checkMetrics(t)
}

// likeShown says whether output is what a README shows of it: … stands for
// anything within a line and, alone on one, for any lines; the width of
// columns does not count.
func likeShown(t *testing.T, shown, output string) bool {
	t.Helper()
	var pattern strings.Builder
	for line := range strings.Lines(shown) {
		if strings.TrimSpace(line) == "…" {
			pattern.WriteString(`([^\n]*\n)*`)
			continue
		}
		line = regexp.MustCompile(` +`).ReplaceAllString(regexp.QuoteMeta(strings.TrimSuffix(line, "\n")), ` +`)
		pattern.WriteString(strings.ReplaceAll(line, "…", `[^\n]*`) + `\n`)
	}
	if output != "" && !strings.HasSuffix(output, "\n") {
		output += "\n"
	}
	return regexp.MustCompile(`^` + pattern.String() + `$`).MatchString(output)
}

// webhooksFile configures an endpoint that takes every event, so that the
// metrics of webhooks are there.
func webhooksFile(t *testing.T) string {
	t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	path := filepath.Join(t.TempDir(), "webhooks.json")
	secret := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	text := fmt.Sprintf(`[{"name": "siem", "url": %q, "secrets": [%q], "from": "start"}]`, receiver.URL, secret)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkMetrics holds the metrics of a server that has worked and the table in
// docs/operations.md equal.
func (s readmeServer) checkMetrics(t *testing.T) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.addr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	exported := submatches(`(?m)^# TYPE (chancery_[a-z_]+) `, string(text))
	documented := submatches("`(chancery_[a-z_]+)`", readDoc(t, "docs/operations.md"))
	if diff := cmp.Diff(exported, documented); diff != "" {
		t.Errorf("metrics and docs/operations.md (-exported +documented):\n%s", diff)
	}
}

// submatches gives what the groups of each match found, joined by blanks,
// sorted and without repetitions.
func submatches(pattern, text string) []string {
	var found []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, strings.Join(m[1:], " "))
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// TestReadmeGoExample builds the README's program and runs it.
func TestReadmeGoExample(t *testing.T) {
	code := onlyFence(t, section(t, readDoc(t, "README.md"), "Clients"), "go")
	if formatted, err := format.Source([]byte(code)); err != nil || string(formatted) != code {
		t.Errorf("the example is not gofmt's format: %v", err)
	}
	s := startReadmeServer(t)
	source, program := filepath.Join(s.dir, "main.go"), filepath.Join(s.dir, "example")
	if err := os.WriteFile(source, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	// From here, so that it is built in this module.
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	key, err := readKeyFile(filepath.Join(s.dir, "chancery-data", "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := s.command(t, program)
	cmd.Env = append(cmd.Env, "CHANCERY_API_KEY="+key)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "correct horse\n" {
		t.Errorf("the example ended with %v and printed %q", err, out)
	}
}

// TestReadmeTypeScriptExample verifies that the README's example begins one of
// the TypeScript client's own README, which that client's tests compile.
func TestReadmeTypeScriptExample(t *testing.T) {
	code := onlyFence(t, section(t, readDoc(t, "README.md"), "Clients"), "ts")
	if !slices.ContainsFunc(fencesOf(readDoc(t, "client/ts/README.md")), func(f fence) bool {
		return f.language == "ts" && strings.HasPrefix(f.code, code)
	}) {
		t.Error("no example of client/ts/README.md begins like this one")
	}
}

// TestReadmeConfiguration holds three things equal: the flags of serve with
// their defaults, the README's table, and their rows in docs/cli.md.
func TestReadmeConfiguration(t *testing.T) {
	const row = "(?m)^\\| `--([a-z-]+)` \\| `(CHANCERY_[A-Z_]+)` \\|"
	readme := regexp.MustCompile(row+` ?(.*?) ?\| (.+) \|$`).FindAllStringSubmatch(section(t, readDoc(t, "README.md"), "Configuration"), -1)
	reference := map[string][]string{}
	for _, m := range regexp.MustCompile(row+` .+? \| ?(.*?) ?\| (.+) \|$`).FindAllStringSubmatch(readDoc(t, "docs/cli.md"), -1) {
		reference[m[1]] = m[1:]
	}
	serve, _, err := newRootCommand(&app{}).Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	var documented, real []string
	for _, m := range readme {
		documented = append(documented, m[1])
		if diff := cmp.Diff(reference[m[1]], m[1:]); diff != "" {
			t.Errorf("--%s (-docs/cli.md +README.md):\n%s", m[1], diff)
		}
		f := serve.Flags().Lookup(m[1])
		if f == nil {
			continue // told below.
		}
		// Words may follow the default: "0: no bound".
		plain, _, _ := strings.Cut(m[3], ": ")
		if f.DefValue != "" && f.DefValue != "[]" && strings.Trim(plain, "`") != f.DefValue {
			t.Errorf("--%s is %s by default, the README says %s", f.Name, f.DefValue, m[3])
		}
	}
	serve.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			real = append(real, f.Name)
		}
	})
	slices.Sort(real)
	slices.Sort(documented)
	if diff := cmp.Diff(real, documented); diff != "" {
		t.Errorf("flags of serve (-real +README.md):\n%s", diff)
	}
}

// TestDocumentedAPI holds the calls and codes in docs/api.md and those of the
// server equal both ways. That the server's own document is true is for its
// own tests.
func TestDocumentedAPI(t *testing.T) {
	doc := readDoc(t, "docs/api.md")
	var calls []string
	path := ""
	for line := range strings.Lines(string(httpapi.OpenAPI())) {
		if m := regexp.MustCompile(`^  (/[^:]*):$`).FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			path = m[1]
		}
		if m := regexp.MustCompile(`^    (get|put|post|patch|delete):$`).FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			calls = append(calls, strings.ToUpper(m[1])+" "+path)
		}
	}
	slices.Sort(calls)
	if diff := cmp.Diff(calls, submatches("(?m)^\\| `([A-Z]+ /[^`?]*)` \\|", doc)); diff != "" {
		t.Errorf("calls (-openapi.yaml +docs/api.md):\n%s", diff)
	}
	var codes []string
	for _, c := range domain.Codes() {
		codes = append(codes, string(c)+" "+strconv.Itoa(wire.Status(c)))
	}
	slices.Sort(codes)
	if diff := cmp.Diff(codes, submatches("(?m)^\\| `([a-z_]+)` \\| ([0-9]{3}) \\|", doc)); diff != "" {
		t.Errorf("codes (-domain +docs/api.md):\n%s", diff)
	}
}

// TestDocumentsLeadSomewhere verifies that every relative link leads to a file
// and a heading that are there, and that every target of make is one.
func TestDocumentsLeadSomewhere(t *testing.T) {
	makefile := readDoc(t, "Makefile")
	names := []string{"client/ts/README.md"}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md"} {
		found, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(found), err)
		}
		for _, name := range found {
			names = append(names, strings.TrimPrefix(filepath.ToSlash(name), repository+"/"))
		}
	}
	for _, name := range names {
		doc := readDoc(t, name)
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(fences.ReplaceAllString(doc, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = filepath.Join(filepath.Dir(name), file)
			}
			if _, err := os.Stat(filepath.Join(repository, target)); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			} else if anchor != "" && !slices.Contains(anchors(readDoc(t, target)), anchor) {
				t.Errorf("%s links to %s, which has no such heading", name, m[1])
			}
		}
		for _, target := range submatches("(?m)(?:^|`)make ([a-z0-9-]+)", doc) {
			if !strings.Contains(makefile, "\n"+target+":") {
				t.Errorf("%s names make %s, which is no target", name, target)
			}
		}
	}
}

// anchors gives the fragments under which a document's headings are linked.
func anchors(doc string) []string {
	var all []string
	for _, heading := range submatches(`(?m)^#+ (.+)$`, fences.ReplaceAllString(doc, "")) {
		plain := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
		all = append(all, strings.ReplaceAll(plain, " ", "-"))
	}
	return all
}
