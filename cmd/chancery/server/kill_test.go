package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/domain"
)

// killRounds is how often the server is killed; make kill raises it.
const killRounds = "CHANCERY_TEST_KILL_ROUNDS"

// TestKillLosesAndDoublesNothing: writers change a secret each and repeat, with
// the same Idempotency-Key, what was in flight at each SIGKILL. At the end each
// change is there once: every version has the value of its number.
func TestKillLosesAndDoublesNothing(t *testing.T) {
	rounds := 5
	if text := os.Getenv(killRounds); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	const writers = 8
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	data := filepath.Join(t.TempDir(), "data")
	var done [writers]int // changes of each secret that were acknowledged
	for range rounds {
		url, kill := process(t, data)
		c := adminClient(t, url, data)
		who, err := c.Whoami(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		var acknowledged atomic.Int64
		enough := make(chan struct{})
		until := int64(20 + rng.IntN(200))
		for w := range writers {
			running.Go(func() {
				for {
					if err := change(t.Context(), c, who.AgentID, w, done[w]+1); err != nil {
						return // the process is gone
					}
					done[w]++
					if acknowledged.Add(1) == until {
						close(enough)
					}
				}
			})
		}
		<-enough
		kill()
		running.Wait()
	}

	url, kill := process(t, data)
	c := adminClient(t, url, data)
	who, err := c.Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for w := range writers {
		if err := change(t.Context(), c, who.AgentID, w, done[w]+1); err != nil {
			t.Fatal(err)
		}
		done[w]++
		value, err := readPlain(t.Context(), c, agentScope(who.AgentID), secretOf(w))
		if err != nil || value != strconv.Itoa(done[w]) {
			t.Errorf("secret %d has value %q, %v; want %d", w, value, err, done[w])
		}
		entries, err := c.ListHistory(t.Context(), client.SecretRef{Scope: agentScope(who.AgentID), ID: domain.SecretID(secretOf(w))}, client.HistoryQuery{})
		if err != nil || len(entries) != done[w] {
			t.Errorf("secret %d has %d versions, %v; want %d", w, len(entries), err, done[w])
		}
	}
	kill()
	if _, err := server.Fsck(t.Context(), server.Config{Data: data, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Errorf("fsck: %v", err)
	}
}

func agentScope(agent string) domain.Scope { return domain.Scope{Kind: domain.ScopeAgent, ID: agent} }

func secretOf(writer int) string { return fmt.Sprintf("kill-%d", writer) }

// change makes change n of a writer's secret: the first creates it, each gives
// it the value n.
func change(ctx context.Context, c *client.Client, agent string, writer, n int) error {
	ref := client.SecretRef{Scope: agentScope(agent), ID: domain.SecretID(secretOf(writer))}
	key := client.IdempotencyKey(fmt.Sprintf("kill-%d-%d", writer, n))
	field := client.PlaintextField("value", strconv.Itoa(n))
	if n == 1 {
		_, err := c.CreateSecret(ctx, ref, client.NewSecret{Name: "n", Category: "test", Fields: []domain.Field{field}}, key)
		return err
	}
	_, err := c.SetField(ctx, ref, field, key)
	return err
}
