package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// The names that the first start gives. Both can be changed like any other.
const (
	firstOrgName   = "default"
	firstAgentName = "admin"
)

// bootstrap makes the first organization, its administrator and that one's
// API key on an empty log.
//
// The key file comes first. A crash before the append leaves a key that
// nothing knows: the next start uses it. The append is one atomic batch that
// expects an empty log, so there is no half-made organization, and of two
// empty nodes one loses; the loser takes its own key file away.
type bootstrap struct {
	log  eventstore.Log
	path string // of admin.key
	now  func() time.Time
	rand io.Reader
	// reached is called after each step, for tests that stop there.
	reached func(step string) error
}

// errOtherNodeFirst says that this node lost the race for the first
// organization.
var errOtherNodeFirst = errors.New("another node has made the first organization in this log: copy its root key file here and start again")

func (b bootstrap) run(ctx context.Context) error {
	token, err := readAdminKey(b.path)
	if err != nil {
		return err
	}
	if token == "" {
		if token, err = newToken(b.rand); err != nil {
			return err
		}
		if err := writeAdminKey(b.path, token); err != nil {
			return err
		}
	}
	if err := b.reached("admin key written"); err != nil {
		return err
	}
	lookup, hash, ok := domain.ParseToken(token)
	if !ok {
		return fmt.Errorf("%s holds no API key: remove it and start again", b.path)
	}
	org, events, err := b.events(lookup, hash)
	if err != nil {
		return err
	}
	_, err = b.log.Bootstrap(ctx, domain.DirectoryStream{Org: org}, events)
	if errors.Is(err, eventstore.ErrConflict) {
		return errors.Join(errOtherNodeFirst, os.Remove(b.path))
	}
	if err != nil {
		return err
	}
	return b.reached("organization appended")
}

func (b bootstrap) events(lookup string, hash [32]byte) (domain.OrgID, []domain.Proposed, error) {
	now := b.now().UTC().Truncate(time.Millisecond)
	var failed error
	newID := func() ulid.ULID {
		id, err := ulid.New(ulid.Timestamp(now), b.rand)
		failed = errors.Join(failed, err)
		return id
	}
	org := domain.OrgID(domain.OrgPrefix + newID().String())
	agent := domain.AgentID(domain.AgentPrefix + newID().String())
	key := domain.APIKeyID(domain.KeyPrefix + newID().String())
	orgScope := domain.Scope{Kind: domain.ScopeOrg, ID: string(org)}
	events := []domain.Event{
		domain.ScopeCreated{Scope: orgScope, Name: firstOrgName},
		domain.ScopeCreated{Scope: domain.Scope{Kind: domain.ScopeAgent, ID: string(agent)}, Name: firstAgentName},
		domain.MembershipGranted{Agent: agent, Scope: orgScope, Role: domain.RoleAdmin},
		domain.APIKeyIssued{ID: key, Agent: agent, LookupID: lookup, Hash: hash, Note: "first start"},
	}
	proposed := make([]domain.Proposed, len(events))
	for i, e := range events {
		proposed[i] = domain.Proposed{
			ID: newID(), Version: uint64(i) + 1, Time: now,
			Actor: domain.Actor{Kind: domain.ActorSystem, ID: "bootstrap"}, Event: e,
		}
	}
	return org, proposed, failed
}
