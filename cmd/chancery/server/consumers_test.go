package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// exampleConsumer builds the program that docs/feeds.md shows.
func exampleConsumer(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "example-consumer")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../../../docs/example-consumer").CombinedOutput()
	if err != nil {
		t.Fatalf("the example does not build: %v\n%s", err, out)
	}
	return path
}

// consumerProcess is the example, running, and the file of what it has done.
type consumerProcess struct {
	t    *testing.T
	file string
	kill func()
}

func startConsumer(t *testing.T, program, address, name, key, file string) *consumerProcess {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "-url", "nats://"+address, "-name", name, "-key", key, "-out", file)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &consumerProcess{t: t, file: file, kill: sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // SIGKILL
		_ = cmd.Wait()
	})}
	t.Cleanup(c.kill)
	return c
}

// done lists the events that all runs of one consumer have handled, and fails
// if one was handled twice or out of order.
func (c *consumerProcess) done() (lines []string) {
	c.t.Helper()
	text, err := os.ReadFile(c.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		lines = append(lines, line)
		if want := fmt.Sprintf("%d ", len(lines)); !strings.HasPrefix(line, want) {
			c.t.Fatalf("line %d is %q", len(lines), line)
		}
	}
	return lines
}

// until waits until the consumer has handled so many events.
func (c *consumerProcess) until(n int) {
	c.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); len(c.done()) < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("%d of %d events were handled", len(c.done()), n)
		}
	}
}

// freeAddress gives an address that stays the same over restarts.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test.
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// newData gives a data directory after its first start.
func newData(t *testing.T) server.Config {
	t.Helper()
	cfg := server.Config{Data: filepath.Join(t.TempDir(), "data"), Logger: slog.New(slog.DiscardHandler)}
	_, kill := process(t, cfg.Data)
	kill()
	return cfg
}

func addConsumer(t *testing.T, cfg server.Config, name string, filters ...string) (key string) {
	t.Helper()
	key = filepath.Join(t.TempDir(), name+".nk")
	added, err := server.AddConsumer(t.Context(), cfg, name, filters, key)
	if err != nil {
		t.Fatal(err)
	}
	if added.KeyFile != key || added.Name != name || added.Accounts != "" {
		t.Errorf("%+v", added)
	}
	return key
}

// TestConsumerProcess: a consumer in a process of its own handles each position
// once and in order, whether it is killed, or the server, or both; a new one
// begins at the first event.
func TestConsumerProcess(t *testing.T) {
	program, address, cfg := exampleConsumer(t), freeAddress(t), newData(t)
	key, file := addConsumer(t, cfg, "billing"), filepath.Join(t.TempDir(), "billing.events")
	url, kill := process(t, cfg.Data, serveNATS+"="+address)
	c := startConsumer(t, program, address, "billing", key, file)
	for round := range 3 {
		api := adminClient(t, url, cfg.Data)
		who, err := api.Whoami(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		scope := domain.Scope{Kind: domain.ScopeAgent, ID: who.AgentID}
		var writing sync.WaitGroup
		for w := range 4 {
			writing.Go(func() {
				for i := range 40 {
					if err := createPlain(t.Context(), api, scope, fmt.Sprintf("s-%d-%d-%d", round, w, i), "a value"); err != nil {
						return // the process is gone
					}
				}
			})
		}
		c.until(len(c.done()) + 20)
		if round != 1 {
			c.kill()
		}
		if round != 0 {
			kill()
		}
		writing.Wait()
		if round != 0 {
			url, kill = process(t, cfg.Data, serveNATS+"="+address)
		}
		if round != 1 {
			c = startConsumer(t, program, address, "billing", key, file)
		}
	}
	kill()
	report, err := server.Fsck(t.Context(), cfg)
	if err != nil || report.Feed == nil || report.Feed.First != 1 || report.Feed.Skipped != "" {
		t.Fatalf("%+v, %v", report, err)
	}
	again := addConsumer(t, cfg, "again")
	_, kill = process(t, cfg.Data, serveNATS+"="+address)
	c.until(int(report.Head))
	fresh := startConsumer(t, program, address, "again", again, filepath.Join(t.TempDir(), "again.events"))
	fresh.until(int(report.Head))
	if diff := cmp.Diff(c.done(), fresh.done()); diff != "" {
		t.Error(diff)
	}
	kill()
	list, err := server.Consumers(t.Context(), cfg)
	if err != nil || len(list) != 2 || list[1].Name != "billing" {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestConsumerFiles: what consumer add and remove leave in the data directory
// and in the access log, and that no seed is anywhere but in its file.
func TestConsumerFiles(t *testing.T) {
	cfg := newData(t)
	if list, err := server.Consumers(t.Context(), cfg); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	key := addConsumer(t, cfg, "billing")
	seed := strings.TrimSpace(string(readFile(t, key)))
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cfg.Data, "consumers.json")
	for _, p := range []string{key, path} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", p, info, err)
		}
	}
	if text := string(readFile(t, path)); !strings.Contains(text, public) || strings.Contains(text, seed) {
		t.Errorf("consumers.json: %s", text)
	}
	if _, err := server.AddConsumer(t.Context(), cfg, "billing", nil, key+"2"); domain.CodeOf(err) != domain.CodeConflict {
		t.Errorf("the same name again: %v", err)
	}
	if _, err := server.AddConsumer(t.Context(), cfg, "other", nil, key); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the same key file again: %v", err)
	}
	if _, err := server.AddConsumer(t.Context(), cfg, "other", []string{">"}, key+"3"); domain.CodeOf(err) != domain.CodeInvalidRequest {
		t.Errorf("a wildcard as a filter: %v", err)
	}
	for _, left := range []string{key + "2", key + "3"} {
		if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", left, err)
		}
	}
	if err := server.RemoveConsumer(t.Context(), cfg, "billing"); err != nil {
		t.Error(err)
	}
	if err := server.RemoveConsumer(t.Context(), cfg, "billing"); domain.CodeOf(err) != domain.CodeNotFound {
		t.Errorf("removed again: %v", err)
	}
	var details []string
	withLog(t, cfg, func(log *eventstore.AccessLog) {
		for m, err := range log.Read(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range m.Records {
				if a.Action == domain.AccessConfigure {
					details = append(details, a.Detail)
				}
			}
		}
	})
	if got := strings.Join(details, ", "); got != "consumer added: billing, consumer removed: billing" {
		t.Errorf("the access log says %q", got)
	}
	if err := filepath.WalkDir(cfg.Data, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(string(readFile(t, path)), seed) {
			t.Errorf("the seed stands in %s", path)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func withLog(t *testing.T, cfg server.Config, do func(*eventstore.AccessLog)) {
	t.Helper()
	e, err := eventstore.StartEmbedded(t.Context(), filepath.Join(cfg.Data, "jetstream"), cfg.Logger)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Shutdown()
	nc, err := e.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Stream(t.Context(), eventstore.AccessStream); err != nil {
		t.Fatal(err)
	}
	log, err := eventstore.OpenAccessLog(t.Context(), nc, eventstore.AccessOptions{Logger: cfg.Logger})
	if err != nil {
		t.Fatal(err)
	}
	do(log)
}

// TestConsumersFileIsStrict: who may connect is never guessed.
func TestConsumersFileIsStrict(t *testing.T) {
	cfg := newData(t)
	addConsumer(t, cfg, "billing")
	path := filepath.Join(cfg.Data, "consumers.json")
	good := string(readFile(t, path))
	var document map[string]any
	if err := json.Unmarshal([]byte(good), &document); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":            "",
		"no JSON":          "consumers",
		"something behind": good + good,
		"another version":  strings.Replace(good, `"v": 1`, `"v": 2`, 1),
		"another member":   strings.Replace(good, `"v": 1`, `"v": 1, "password": "x"`, 1),
		"a bad name":       strings.Replace(good, `"billing"`, `"bill ing"`, 1),
		"a bad user":       strings.Replace(good, `"user": "U`, `"user": "A`, 1),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		listening := cfg
		listening.Listen, listening.NATSListen = "127.0.0.1:0", "127.0.0.1:0"
		if err := server.Run(t.Context(), listening); err == nil || !strings.Contains(err.Error(), "consumers.json") {
			t.Errorf("%s: the server said %v", name, err)
		}
		if _, err := server.Consumers(t.Context(), cfg); err == nil {
			t.Errorf("%s: listed", name)
		}
	}
}
