package server

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// TestRecoverAdmin: an operator who lost every administrator gets one, twice
// over without harm.
func TestRecoverAdmin(t *testing.T) {
	cfg := testConfig(t)
	openAndLook(t, cfg, func(s *store) {
		org, err := s.rootOrganization()
		mustDo(t, err)
		revokeEverybody(t, s, org)
	})
	mustDo(t, os.Remove(cfg.path(adminKeyFile)))
	for range 2 {
		path, err := RecoverAdmin(t.Context(), cfg)
		mustDo(t, err)
		if path != cfg.path(adminKeyFile) {
			t.Errorf("the key is in %s", path)
		}
		openAndLook(t, cfg, func(s *store) {
			checkOneAdministrator(t, s)
			mustDo(t, s.state.Directory(mustRoot(t, s), func(d *domain.Directory) error {
				if n := countRecovered(d); n != 1 {
					t.Errorf("%d recovered agents; want 1", n)
				}
				return nil
			}))
		})
	}
}

func revokeEverybody(t *testing.T, s *store, org domain.OrgID) {
	t.Helper()
	var commands []domain.DirectoryCommand
	mustDo(t, s.state.Directory(org, func(d *domain.Directory) error {
		for _, k := range d.Keys {
			commands = append(commands, domain.RevokeKey{ID: k.ID, Agent: k.Agent})
		}
		return nil
	}))
	for _, c := range commands {
		_, err := s.executor.ChangeDirectoryAsSystem(context.WithoutCancel(t.Context()), org, c, "test")
		mustDo(t, err)
	}
}

func countRecovered(d *domain.Directory) (n int) {
	for _, s := range d.Scopes {
		if s.Name == recoveredAgentName {
			n++
		}
	}
	return n
}

// namedRecovered makes an agent of recover-admin's name, with or without a key
// that somebody holds.
func namedRecovered(t *testing.T, s *store, withKey bool) (agent domain.AgentID, lookup string) {
	t.Helper()
	org := mustRoot(t, s)
	apply := func(c domain.DirectoryCommand) {
		t.Helper()
		_, err := s.executor.ChangeDirectoryAsSystem(t.Context(), org, c, "test")
		mustDo(t, err)
	}
	agent = domain.AgentID(domain.AgentPrefix + ulid.Make().String())
	apply(domain.CreateScope{Scope: domain.Scope{Kind: domain.ScopeAgent, ID: string(agent)}, Name: recoveredAgentName})
	if !withKey {
		return agent, ""
	}
	token, err := newToken(s.rand)
	mustDo(t, err)
	lookup, hash, _ := domain.ParseToken(token)
	apply(domain.IssueKey{ID: domain.APIKeyID(domain.KeyPrefix + ulid.Make().String()), Agent: agent, LookupID: lookup, Hash: hash})
	return agent, lookup
}

// TestRecoverAdminTrustsNoName: an agent that bears the name and has a key
// that somebody holds does not become an administrator.
func TestRecoverAdminTrustsNoName(t *testing.T) {
	cfg := testConfig(t)
	var stranger string
	openAndLook(t, cfg, func(s *store) { _, stranger = namedRecovered(t, s, true) })
	mustDo(t, os.Remove(cfg.path(adminKeyFile)))
	for range 2 {
		_, err := RecoverAdmin(t.Context(), cfg)
		mustDo(t, err)
		openAndLook(t, cfg, func(s *store) {
			checkOneAdministrator(t, s)
			if _, who, known := s.state.Authenticate(stranger); !known || who.Admin {
				t.Errorf("the key that somebody holds: known %v, admin %v", known, who.Admin)
			}
			mustDo(t, s.state.Directory(mustRoot(t, s), func(d *domain.Directory) error {
				if n := countRecovered(d); n != 2 {
					t.Errorf("%d agents of the name; want the stranger's and one more", n)
				}
				return nil
			}))
		})
	}
}

// TestRecoverAdminGoesOn: a run that was killed before it issued the key left
// an agent without any. The next run goes on with that one, unless the key
// file's own agent is there.
func TestRecoverAdminGoesOn(t *testing.T) {
	cfg := testConfig(t)
	var left domain.AgentID
	openAndLook(t, cfg, func(s *store) { left, _ = namedRecovered(t, s, false) })
	mustDo(t, os.Remove(cfg.path(adminKeyFile)))
	recovered := func() (agent domain.AgentID) {
		t.Helper()
		_, err := RecoverAdmin(t.Context(), cfg)
		mustDo(t, err)
		openAndLook(t, cfg, func(s *store) {
			checkOneAdministrator(t, s)
			agent = administrator(t, s).Agent
		})
		return agent
	}
	if got := recovered(); got != left {
		t.Errorf("recovered %s; want %s, which was left without a key", got, left)
	}
	openAndLook(t, cfg, func(s *store) { namedRecovered(t, s, false) })
	if got := recovered(); got != left {
		t.Errorf("recovered %s; want %s, whose key is in the file", got, left)
	}
}

// TestRecoverAdminInterrupted: what did not happen is not reported as done.
func TestRecoverAdminInterrupted(t *testing.T) {
	cfg := testConfig(t)
	openAndLook(t, cfg, func(*store) {})
	mustDo(t, os.Remove(cfg.path(adminKeyFile)))
	s, err := openStore(t.Context(), cfg)
	mustDo(t, err)
	defer func() { mustDo(t, s.close()) }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	did := false
	err = s.following(ctx, func() error {
		did = true
		return nil
	})
	if did || !errors.Is(err, context.Canceled) || !errors.Is(err, errNotFollowing) {
		t.Errorf("following with a cancelled context: did %v, %v", did, err)
	}
}
