package server

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// recoveredAgentName marks the agent that recover-admin makes.
const recoveredAgentName = "recovered-admin"

// RecoverAdmin makes an administrator of the first organization and writes its
// API key to admin.key, for an operator who lost every administrator. The
// server must be stopped: whoever can read the data directory could do
// anything anyhow. It gives the key file's path.
//
// Every step is an ordinary command and is skipped when it is already so: a
// crash between two steps is mended by running it again. An agent to which
// somebody may hold another key than that file's is never made an
// administrator, whatever its name.
func RecoverAdmin(ctx context.Context, cfg Config) (string, error) {
	cfg.existing = true
	s, err := openStore(ctx, cfg)
	if err != nil {
		return "", err
	}
	path := cfg.path(adminKeyFile)
	err = s.following(ctx, func() error { return s.recoverAdmin(ctx, path) })
	return path, errors.Join(err, s.close())
}

func (s *store) recoverAdmin(ctx context.Context, path string) error {
	org, err := s.rootOrganization()
	if err != nil {
		return err
	}
	apply := func(c domain.DirectoryCommand) error {
		_, err := s.executor.ChangeDirectoryAsSystem(ctx, org, c, "recover-admin")
		return err
	}
	token, err := readAdminKey(path)
	if err != nil {
		return err
	}
	agent, err := s.recoveredAgent(org, token)
	if err != nil {
		return err
	}
	if agent == "" {
		id, err := ulid.New(ulid.Timestamp(s.now()), s.rand)
		if err != nil {
			return err
		}
		agent = domain.AgentID(domain.AgentPrefix + id.String())
		scope := domain.Scope{Kind: domain.ScopeAgent, ID: string(agent)}
		if err := apply(domain.CreateScope{Scope: scope, Name: recoveredAgentName}); err != nil {
			return err
		}
	}
	orgScope := domain.Scope{Kind: domain.ScopeOrg, ID: string(org)}
	if err := apply(domain.GrantMembership{Agent: agent, Scope: orgScope, Role: domain.RoleAdmin}); err != nil {
		return err
	}
	return s.recoverKey(path, token, agent, apply)
}

// recoverKey writes the key file before the event, so that a crash between
// the two leaves a token that the next run issues. token is what the file
// holds now.
func (s *store) recoverKey(path, token string, agent domain.AgentID, apply func(domain.DirectoryCommand) error) error {
	lookup, hash, ok := domain.ParseToken(token)
	if ok {
		key, who, known := s.state.Authenticate(lookup)
		if known && who.Agent == agent && who.Admin && s.usable(key, hash) {
			return nil
		}
		ok = key.ID == ""
	}
	if !ok {
		var err error
		if token, err = newToken(s.rand); err != nil {
			return err
		}
		if err := writeAdminKey(path, token); err != nil {
			return err
		}
		if lookup, hash, ok = domain.ParseToken(token); !ok {
			return errors.Join(errors.New("a new API key does not parse"), os.Remove(path))
		}
	}
	id, err := ulid.New(ulid.Timestamp(s.now()), s.rand)
	if err != nil {
		return err
	}
	return apply(domain.IssueKey{
		ID: domain.APIKeyID(domain.KeyPrefix + id.String()), Agent: agent, LookupID: lookup, Hash: hash, Note: "recover-admin",
	})
}

func (s *store) usable(key domain.APIKey, hash [32]byte) bool {
	return key.Hash == hash && key.RevokedAt.IsZero() && (key.ExpiresAt.IsZero() || key.ExpiresAt.After(s.now()))
}

// recoveredAgent finds the agent of an earlier run, "" for none. Anybody who
// was allowed to make agents could give one that name: what tells this
// command's own is that nobody can hold a key to it but the one in the key
// file. The one that has that key goes before one that has none yet.
func (s *store) recoveredAgent(org domain.OrgID, token string) (found domain.AgentID, err error) {
	lookup, hash, _ := domain.ParseToken(token)
	err = s.state.Directory(org, func(d *domain.Directory) error {
		owner, foreign := domain.AgentID(""), map[domain.AgentID]bool{}
		for _, k := range d.Keys {
			switch {
			case !k.RevokedAt.IsZero():
			case k.LookupID == lookup && k.Hash == hash:
				owner = k.Agent
			default:
				foreign[k.Agent] = true
			}
		}
		var candidates []domain.AgentID
		for scope, state := range d.Scopes {
			agent := domain.AgentID(scope.ID)
			special := domain.MembershipKey{Scope: d.OrgScope(), Special: domain.RoleAuditor}
			_, auditor := d.Memberships[agent][special]
			if scope.Kind == domain.ScopeAgent && state.Name == recoveredAgentName && !state.Archived() && !auditor && !foreign[agent] {
				candidates = append(candidates, agent)
			}
		}
		switch {
		case slices.Contains(candidates, owner):
			found = owner
		case len(candidates) > 0:
			found = slices.Max(candidates)
		}
		return nil
	})
	return found, err
}
