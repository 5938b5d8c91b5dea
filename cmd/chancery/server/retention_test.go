package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/proof"
)

// TestExpiryKeepsTheProof: access records expire, the index of what is left is
// lost, and the log is still proved and goes on.
func TestExpiryKeepsTheProof(t *testing.T) {
	t.Parallel()
	s := &testServer{Data: filepath.Join(t.TempDir(), "data"), change: func(c *server.Config) {
		c.AccessRetention, c.CheckpointInterval = 4*time.Second, time.Second
	}}
	s.start(t)
	t.Cleanup(func() { _ = s.stop() })
	org, auditor := s.auditor(t)
	deadline := time.Now().Add(time.Minute)
	for first := uint64(1); first <= 3; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing expires")
		}
		first = s.firstAccess(t, org, auditor)
	}
	verify := func() {
		t.Helper()
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		report, err := server.Verify(t.Context(), s.config, nil)
		if err != nil {
			t.Fatalf("verify: %v", err)
		}
		for _, l := range report.Logs {
			if l.Uncovered > 0 || l.Log == proof.LogAccess && (l.First < 4 || l.Size < l.First) {
				t.Errorf("verify: %+v", l)
			}
		}
		s.fsck(t)
	}
	verify()
	if err := os.Remove(filepath.Join(s.Data, "access.db")); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	if first := s.firstAccess(t, org, auditor); first < 4 {
		t.Errorf("the log begins at %d again", first)
	}
	verify()
}

// auditor makes an agent that may see the access log, and gives its key.
func (s *testServer) auditor(t *testing.T) (org, key string) {
	t.Helper()
	var who struct{ OrgID string }
	s.call(t, s.AdminKey, http.MethodGet, "/agent/identity/whoami", "", &who)
	org = who.OrgID
	var agent struct{ ID string }
	s.call(t, s.AdminKey, http.MethodPost, "/admin/orgs/"+org+"/agents", `{"name":"auditor"}`, &agent)
	s.call(t, s.AdminKey, http.MethodPut, fmt.Sprintf("/admin/orgs/%s/agents/%s/memberships/org/%s", org, agent.ID, org), `{"role":"auditor"}`, nil)
	var issued struct{ APIKey string }
	s.call(t, s.AdminKey, http.MethodPost, fmt.Sprintf("/admin/orgs/%s/agents/%s/keys", org, agent.ID), `{}`, &issued)
	return org, issued.APIKey
}

// firstAccess gives the position of the oldest access record there is.
func (s *testServer) firstAccess(t *testing.T, org, key string) uint64 {
	t.Helper()
	var rows []struct{ Position uint64 }
	s.call(t, key, http.MethodGet, "/admin/orgs/"+org+"/access?order=asc&limit=1", "", &rows)
	if len(rows) == 0 {
		return 0
	}
	return rows[0].Position
}

// call sends a request that must succeed and reads the data of its answer.
func (s *testServer) call(t *testing.T, key, method, path, body string, data any) {
	t.Helper()
	var content any
	if body != "" {
		content = raw(body)
	}
	r := caller{url: s.URL, key: key}.send(t, method, path, content)
	if r.status >= 300 {
		t.Fatalf("%s %s: %d", method, path, r.status)
	}
	if data == nil {
		return
	}
	if err := json.Unmarshal(r.raw, &struct{ Data any }{data}); err != nil {
		t.Fatal(err)
	}
}
