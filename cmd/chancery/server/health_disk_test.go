package server_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/domain"
)

// TestFailedDiskStopsWrites: after one failed fsync nothing more is
// acknowledged and readiness says so, although the disk works again; after a
// restart everything that was acknowledged is there, once, and the node serves.
func TestFailedDiskStopsWrites(t *testing.T) {
	var broken atomic.Bool
	s := &testServer{Data: filepath.Join(t.TempDir(), "data"), change: func(c *server.Config) {
		server.SetSync(c, func(f *os.File) error {
			if broken.Load() {
				return errors.New("input/output error")
			}
			return f.Sync()
		})
	}}
	s.start(t)
	c := adminClient(t, s.URL, s.Data)
	who, err := c.Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const acknowledged = 5
	for n := range acknowledged {
		if err := change(t.Context(), c, who.AgentID, 0, n+1); err != nil {
			t.Fatal(err)
		}
	}
	if status, body := readiness(t, s.URL); status != http.StatusOK {
		t.Errorf("before: %d %s", status, body)
	}
	broken.Store(true)
	if err := change(t.Context(), c, who.AgentID, 0, acknowledged+1); err == nil {
		t.Error("a change was acknowledged that is not on the disk")
	}
	broken.Store(false)
	if err := change(t.Context(), c, who.AgentID, 1, 1); err == nil {
		t.Error("a change was acknowledged after the disk had failed")
	}
	if status, body := readiness(t, s.URL); status != http.StatusServiceUnavailable || !strings.Contains(body, "log files") || !strings.Contains(body, "until a restart") {
		t.Errorf("after: %d %s", status, body)
	}
	if !strings.Contains(s.LogText(), "input/output error") {
		t.Error("the log does not say why")
	}
	if err := s.stop(); err == nil {
		t.Error("it ended as if in order")
	}

	s.start(t)
	c = adminClient(t, s.URL, s.Data)
	if err := change(t.Context(), c, who.AgentID, 0, acknowledged+1); err != nil {
		t.Fatal(err)
	}
	value, err := readPlain(t.Context(), c, agentScope(who.AgentID), secretOf(0))
	if err != nil || value != strconv.Itoa(acknowledged+1) {
		t.Errorf("%q, %v", value, err)
	}
	ref := client.SecretRef{Scope: agentScope(who.AgentID), ID: domain.SecretID(secretOf(0))}
	entries, err := c.ListHistory(t.Context(), ref, client.HistoryQuery{})
	if err != nil || len(entries) != acknowledged+1 {
		t.Errorf("%d versions, %v", len(entries), err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	s.fsck(t)
}

// readiness asks for it once.
func readiness(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
