package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/domain"
)

// serveData makes this test binary a server over the data directory it names:
// a process of its own, which can be killed.
const serveData = "CHANCERY_TEST_SERVE_DATA"

// serveNATS is where such a server lets consumers connect.
const serveNATS = "CHANCERY_TEST_SERVE_NATS"

func TestMain(m *testing.M) {
	if data := os.Getenv(serveData); data != "" {
		err := server.Run(context.Background(), server.Config{
			Data: data, Listen: "127.0.0.1:0", NATSListen: os.Getenv(serveNATS), Logger: slog.New(slog.DiscardHandler),
			Listening: func(a net.Addr) { fmt.Println("http://" + a.String()) },
		})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// process starts a server process and gives its URL and a way to kill it.
func process(t *testing.T, data string, env ...string) (url string, kill func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(append(os.Environ(), serveData+"="+data), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // SIGKILL
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server process did not start: %v", err)
	}
	url = strings.TrimSpace(line)
	waitReady(t, url)
	return url, kill
}

// TestKillDuringWrites: after SIGKILL in the middle of writes every
// acknowledged write is there, fsck is clean, and a projection deleted by
// hand comes back the same.
func TestKillDuringWrites(t *testing.T) {
	const rounds, writers = 3, 8
	data := filepath.Join(t.TempDir(), "data")
	acknowledged := map[string]string{}
	var mu sync.Mutex
	for round := range rounds {
		url, kill := process(t, data)
		c := adminClient(t, url, data)
		who, err := c.Whoami(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		scope := domain.Scope{Kind: domain.ScopeAgent, ID: who.AgentID}
		var done sync.WaitGroup
		progress := make(chan struct{}, 4096)
		for w := range writers {
			done.Go(func() {
				for i := 0; ; i++ {
					id, value := fmt.Sprintf("s-%d-%d-%d", round, w, i), fmt.Sprintf("value %d %d %d", round, w, i)
					if err := createPlain(t.Context(), c, scope, id, value); err != nil {
						return // the process is gone
					}
					mu.Lock()
					acknowledged[id] = value
					mu.Unlock()
					progress <- struct{}{}
				}
			})
		}
		for range 100 {
			<-progress
		}
		kill()
		done.Wait()
	}
	cfg := server.Config{Data: data, Logger: slog.New(slog.DiscardHandler)}
	if _, err := server.Fsck(t.Context(), cfg); err != nil {
		t.Fatalf("fsck after the kills: %v", err)
	}
	url, kill := process(t, data)
	before := readAll(t, url, data, acknowledged)
	if diff := cmp.Diff(acknowledged, before); diff != "" {
		t.Errorf("acknowledged writes (-) against what is there (+):\n%s", diff)
	}
	kill()
	if err := os.Remove(filepath.Join(data, "state.db")); err != nil {
		t.Fatal(err)
	}
	url, kill = process(t, data)
	if diff := cmp.Diff(before, readAll(t, url, data, acknowledged)); diff != "" {
		t.Errorf("before (-) and after (+) the projection was deleted:\n%s", diff)
	}
	kill()
	if _, err := server.Fsck(t.Context(), cfg); err != nil {
		t.Errorf("fsck at the end: %v", err)
	}
}

func adminClient(t *testing.T, url, data string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Addr: url, MaxRetries: -1, APIKey: strings.TrimSpace(string(readFile(t, filepath.Join(data, "admin.key"))))})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// readAll reads back the value of every secret that is wanted.
func readAll(t *testing.T, url, data string, wanted map[string]string) map[string]string {
	t.Helper()
	c := adminClient(t, url, data)
	who, err := c.Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	scope := domain.Scope{Kind: domain.ScopeAgent, ID: who.AgentID}
	got := map[string]string{}
	for id := range wanted {
		value, err := readPlain(t.Context(), c, scope, id)
		if errors.Is(err, domain.Errorf(domain.CodeSecretNotFound, "")) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got[id] = value
	}
	return got
}

func createPlain(ctx context.Context, c *client.Client, scope domain.Scope, id, value string) error {
	_, err := c.CreateSecret(ctx, client.SecretRef{Scope: scope, ID: domain.SecretID(id)}, client.NewSecret{
		Name: id, Category: "test", Fields: []domain.Field{client.PlaintextField("value", value)},
	})
	return err
}

func readPlain(ctx context.Context, c *client.Client, scope domain.Scope, id string) (string, error) {
	f, err := c.GetField(ctx, client.SecretRef{Scope: scope, ID: domain.SecretID(id)}.Field("value"))
	if err != nil || f.Value == nil {
		return "", err
	}
	return string(*f.Value), nil
}
