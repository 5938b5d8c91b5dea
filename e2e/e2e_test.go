//go:build e2e

// Package e2e_test runs the real binary, and lets tools that know nothing of
// ours verify what it wrote: the fsck of transparency-dev/tessera and the
// client of filippo.io/torchwood. `make e2e` builds and installs what it needs.
package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

// logNames are the directories of an export.
func logNames() []string { return []string{"events", "access"} }

func env(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run make e2e", name)
	}
	return value
}

// chancery runs the binary to its end.
func chancery(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, env(t, "CHANCERY_BINARY"), args...)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustChancery(t *testing.T, args ...string) string {
	t.Helper()
	output, err := chancery(t, args...)
	if err != nil {
		t.Fatalf("chancery %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return output
}

// served is a running server.
type served struct {
	url  string
	stop func()
}

// serve starts the binary on a data directory; stop ends it in order.
func serve(t *testing.T, data string) served {
	t.Helper()
	cmd := exec.Command(env(t, "CHANCERY_BINARY"), "serve", "--data", data, "--listen", "127.0.0.1:0")
	cmd.Env = []string{"HOME=" + t.TempDir()}
	log, err := os.Create(filepath.Join(t.TempDir(), "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	stop := sync.OnceFunc(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			text, _ := os.ReadFile(log.Name())
			t.Errorf("the server did not end in order: %v\n%s", err, text)
		}
	})
	t.Cleanup(stop)
	if !ok {
		t.Fatalf("the server did not start: %q, %v", line, err)
	}
	return served{url: "http://" + address, stop: stop}
}

// traffic makes secrets and reads them.
func traffic(t *testing.T, s served, data string, secrets int, from int) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(data, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{Addr: s.url, APIKey: strings.TrimSpace(string(key))})
	if err != nil {
		t.Fatal(err)
	}
	who, err := c.Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	scope := domain.Scope{Kind: domain.ScopeAgent, ID: who.AgentID}
	for i := from; i < from+secrets; i++ {
		id := domain.SecretID(fmt.Sprintf("secret-%d", i))
		ref := client.SecretRef{Scope: scope, ID: id}
		if _, err := c.CreateSecret(t.Context(), ref, client.NewSecret{
			Name: string(id), Category: "e2e", Fields: []domain.Field{client.PlaintextField("url", "https://example.com")},
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.GetField(t.Context(), ref.Field("url")); err != nil {
			t.Fatal(err)
		}
	}
}

// exported makes a server's data, stops it and exports its logs, in two steps.
func exported(t *testing.T) (data, out string) {
	t.Helper()
	data, out = filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "out")
	for from := range 2 {
		s := serve(t, data)
		traffic(t, s, data, 300, from*300)
		s.stop()
		report := mustChancery(t, "log", "export", "--data", data, out)
		t.Logf("exported:\n%s", report)
	}
	return data, out
}
