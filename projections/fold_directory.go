package projections

import (
	"github.com/chancery-dev/chancery/domain"
)

// directory folds an event of an organization's directory. Only the row that
// the event touches is read; [domain.Directory.Apply] alone says what becomes
// of it.
func (f *fold) directory(org domain.OrgID, r domain.Recorded) error {
	head, err := decodeStream(f.at(tableDirectories).Get([]byte(org)))
	if err != nil {
		return err
	}
	if err := next(r, head.version); err != nil {
		return err
	}
	d := domain.NewDirectory(org)
	d.Version, d.Head, d.Root = head.version, head.head, head.root
	save, err := f.touch(d, r.Event)
	if err != nil {
		return err
	}
	d.Apply(r)
	if err := f.put(tableDirectories, []byte(org), streamOf(d).encode()); err != nil {
		return err
	}
	return save()
}

func streamOf(d *domain.Directory) streamRow {
	return streamRow{version: d.Version, head: d.Head, root: d.Root}
}

// touch loads the row that an event changes into d. save writes it back.
func (f *fold) touch(d *domain.Directory, event domain.Event) (save func() error, err error) {
	switch e := event.(type) {
	case domain.ScopeCreated:
		return f.touchScope(d, e.Scope)
	case domain.ScopeRenamed:
		return f.touchScope(d, e.Scope)
	case domain.ScopeArchived:
		return f.touchScope(d, e.Scope)
	case domain.ScopeRestored:
		return f.touchScope(d, e.Scope)
	case domain.MembershipGranted:
		return f.touchMembership(d, domain.Membership{Agent: e.Agent, Scope: e.Scope, Role: e.Role})
	case domain.MembershipRevoked:
		return f.touchMembership(d, domain.Membership{Agent: e.Agent, Scope: e.Scope, Role: e.Role})
	case domain.APIKeyIssued:
		return f.touchKey(d, e.ID)
	case domain.APIKeyRevoked:
		return f.touchKey(d, e.ID)
	case domain.SecretCreated, domain.FieldSet, domain.FieldRemoved, domain.SecretRenamed,
		domain.SecretReclassified, domain.SecretScheduled, domain.SecretDeleted, domain.KeyDestroyed:
	}
	return func() error { return nil }, nil
}

func scopeRowKey(org domain.OrgID, s domain.Scope) []byte { return orgKey(org, string(s.Kind), s.ID) }

func (f *fold) touchScope(d *domain.Directory, scope domain.Scope) (func() error, error) {
	key := scopeRowKey(d.Org, scope)
	if row := f.at(tableScopes).Get(key); row != nil {
		state, err := decodeScope(row)
		if err != nil {
			return nil, err
		}
		d.Put(state)
	}
	return func() error {
		state, ok := d.Scopes[scope]
		if !ok {
			return f.put(tableScopes, key, nil)
		}
		return f.put(tableScopes, key, encodeScope(state))
	}, nil
}

func membershipKey(org domain.OrgID, agent domain.AgentID, k domain.MembershipKey) []byte {
	return orgKey(org, string(agent), membershipCursor(k))
}

func (f *fold) touchMembership(d *domain.Directory, m domain.Membership) (func() error, error) {
	key := membershipKey(d.Org, m.Agent, m.Key())
	if row := f.at(tableMembers).Get(key); row != nil {
		state, err := decodeMembership(row)
		if err != nil {
			return nil, err
		}
		d.Put(state)
	}
	return func() error {
		state, ok := d.Memberships[m.Agent][m.Key()]
		if !ok {
			return f.put(tableMembers, key, nil)
		}
		return f.put(tableMembers, key, encodeMembership(state))
	}, nil
}

func (f *fold) touchKey(d *domain.Directory, id domain.APIKeyID) (func() error, error) {
	key := orgKey(d.Org, string(id))
	var before domain.APIKey
	if row := f.at(tableKeys).Get(key); row != nil {
		state, err := decodeAPIKey(row)
		if err != nil {
			return nil, err
		}
		d.Put(state)
		before = state
	}
	return func() error {
		after, ok := d.Keys[id]
		if !ok {
			return nil
		}
		if before.ID != "" && before.Agent != after.Agent {
			if err := f.put(tableAgentKeys, agentKey(d.Org, before), nil); err != nil {
				return err
			}
		}
		if err := f.put(tableKeys, key, encodeAPIKey(after)); err != nil {
			return err
		}
		if err := f.put(tableAgentKeys, agentKey(d.Org, after), present()); err != nil {
			return err
		}
		// The first key with a lookup id keeps it: a later one can't push a
		// working key aside.
		if after.LookupID == "" || f.at(tableLookups).Get([]byte(after.LookupID)) != nil {
			return nil
		}
		return f.put(tableLookups, []byte(after.LookupID), key)
	}, nil
}

func agentKey(org domain.OrgID, k domain.APIKey) []byte {
	return orgKey(org, string(k.Agent), string(k.ID))
}
