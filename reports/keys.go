package reports

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// What becomes of keys.
const (
	keyActive    = "active"
	keyExpired   = "expired"
	keyRevoked   = "revoked"
	keySuspended = "agent archived"
	keyCurrent   = "current"
	keyCondemned = "to be destroyed"
	keyDestroyed = "destroyed"
)

func apiKeysReport() report {
	return report{
		name: "api-keys", title: "API keys: issued, used, revoked",
		events: true, access: true, names: true,
		columns: []Column{
			{"org", "Organization", KindText},
			{"keyId", "API key", KindText},
			{"agent", "Agent", KindText},
			{"agentName", "Name", KindText},
			{"note", "Note", KindText},
			{"status", "Status", KindText},
			{"issuedAt", "Issued", KindTime},
			{"issuedBy", "Issued by", KindText},
			{"issuedPosition", "Issued at position", KindNumber},
			{"expiresAt", "Expires", KindTime},
			{"revokedAt", "Revoked", KindTime},
			{"revokedBy", "Revoked by", KindText},
			{"revokedPosition", "Revoked at position", KindNumber},
			{"changes", "Changes made", KindNumber},
			{"accesses", "Accesses made", KindNumber},
			{"lastUsed", "Last used", KindTime},
		},
		rows: func(ctx context.Context, v *view) iter.Seq2[Row, error] {
			return func(yield func(Row, error) bool) { v.apiKeys(ctx, yield) }
		},
	}
}

// keyLife is what became of one API key.
type keyLife struct {
	issuedBy, revokedBy string
	issued, revoked     uint64
	changes, accesses   uint64
	used                time.Time
}

func (v *view) apiKeys(ctx context.Context, yield func(Row, error) bool) {
	lives := map[domain.APIKeyID]*keyLife{}
	life := func(id domain.APIKeyID) *keyLife {
		if lives[id] == nil {
			lives[id] = &keyLife{}
		}
		return lives[id]
	}
	w, err := v.foldDirectories(ctx, func(r domain.Recorded) {
		if r.Actor.KeyID != "" {
			l := life(r.Actor.KeyID)
			l.changes, l.used = l.changes+1, later(l.used, r.At)
		}
		switch e := r.Event.(type) { //nolint:gochecksumtype // nothing else begins or ends an API key.
		case domain.APIKeyIssued:
			l := life(e.ID)
			l.issuedBy, l.issued = r.Actor.ID, r.Position
		case domain.APIKeyRevoked:
			l := life(e.ID)
			l.revokedBy, l.revoked = r.Actor.ID, r.Position
		}
	})
	if err != nil {
		failed(yield, err)
		return
	}
	for a, err := range v.allAccesses(ctx) {
		if err != nil {
			failed(yield, err)
			return
		}
		l := lives[a.Actor.KeyID] // what the log never issued is counted nowhere
		if l == nil || v.late(a.Time) {
			continue
		}
		l.accesses, l.used = l.accesses+accessCount(a.Access), later(l.used, accessEnd(a.Access))
	}
	at := v.moment(w.last)
	for _, org := range w.orgs() {
		if !v.about(org) {
			continue
		}
		d := w.byOrg[org]
		for _, k := range sortedKeys(d) {
			l := life(k.ID)
			if !yield(Row{Values: []Value{
				Text(org), Text(k.ID), Text(k.Agent), v.agentName(string(k.Agent)), Text(k.Note), Text(apiKeyStatus(d, k, at)),
				Time(k.CreatedAt), Text(l.issuedBy), NumberOrNone(l.issued), Time(k.ExpiresAt), Time(k.RevokedAt),
				Text(l.revokedBy), NumberOrNone(l.revoked), Number(l.changes), Number(l.accesses), Time(l.used),
			}}, nil) {
				return
			}
		}
	}
}

// late says whether a time lies behind the moment that was asked for.
func (v *view) late(t time.Time) bool { return !v.query.At.IsZero() && t.After(v.query.At) }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func sortedKeys(d *domain.Directory) []domain.APIKey {
	return slices.SortedFunc(maps.Values(d.Keys), func(a, b domain.APIKey) int { return cmp.Compare(a.ID, b.ID) })
}

func apiKeyStatus(d *domain.Directory, k domain.APIKey, at time.Time) string {
	agent, ok := d.Agent(k.Agent)
	switch {
	case !k.RevokedAt.IsZero():
		return keyRevoked
	case !usable(k, at):
		return keyExpired
	case !ok || agent.Archived():
		return keySuspended
	}
	return keyActive
}

func keyInventoryReport() report {
	return report{
		name: "key-inventory", title: "Key inventory: API keys and secret keys with their ages",
		events: true,
		columns: []Column{
			{"org", "Organization", KindText},
			{"kind", "Kind", KindText},
			{"keyId", "Key", KindText},
			{"owner", "Of", KindText},
			{"status", "Status", KindText},
			{"since", "Since", KindTime},
			{"ageDays", "Age in days", KindNumber},
			{"ended", "Ended", KindTime},
			{"expiresAt", "Expires", KindTime},
		},
		rows: func(ctx context.Context, v *view) iter.Seq2[Row, error] {
			return func(yield func(Row, error) bool) { v.keyInventory(ctx, yield) }
		},
	}
}

// secretKey is one secret key of an incarnation.
type secretKey struct {
	id           domain.KekID
	ref          domain.SecretRef
	since, ended time.Time
	status       string
}

func (v *view) keyInventory(ctx context.Context, yield func(Row, error) bool) {
	keys := map[domain.KekID]*secretKey{}
	end := func(ids []domain.KekID, status string, at time.Time) {
		for _, id := range ids {
			if k := keys[id]; k != nil {
				k.status, k.ended = status, at
			}
		}
	}
	w, err := v.foldDirectories(ctx, func(r domain.Recorded) {
		switch e := r.Event.(type) { //nolint:gochecksumtype // nothing else begins or ends a secret key.
		case domain.SecretCreated:
			ref := r.Stream.(domain.SecretStream).Ref //nolint:errcheck,forcetypeassert // the type decides the stream.
			for _, id := range e.KekIDs {
				if keys[id] == nil { // claimed once
					keys[id] = &secretKey{id: id, ref: ref, since: r.At, status: keyCurrent}
				}
			}
		case domain.SecretDeleted:
			end(e.KekIDs, keyCondemned, r.At)
		case domain.KeyDestroyed:
			end(e.KekIDs, keyDestroyed, r.At)
		}
	})
	if err != nil {
		failed(yield, err)
		return
	}
	at := v.moment(w.last)
	age := func(since, ended time.Time) Value {
		if ended.IsZero() || ended.After(at) {
			ended = at
		}
		return days(since, ended)
	}
	sorted := slices.SortedFunc(maps.Values(keys), func(a, b *secretKey) int {
		return cmp.Or(compareRefs(a.ref, b.ref), a.since.Compare(b.since), cmp.Compare(a.id.String(), b.id.String()))
	})
	for _, org := range w.orgs() {
		if !v.about(org) {
			continue
		}
		d := w.byOrg[org]
		for _, k := range sortedKeys(d) {
			ended := k.RevokedAt
			if ended.IsZero() && !usable(k, at) {
				ended = k.ExpiresAt
			}
			if !yield(Row{Values: []Value{
				Text(org), Text("API key"), Text(k.ID), Text(k.Agent), Text(apiKeyStatus(d, k, at)), Time(k.CreatedAt),
				age(k.CreatedAt, ended), Time(ended), Time(k.ExpiresAt),
			}}, nil) {
				return
			}
		}
		for _, k := range sorted {
			if k.ref.Org != org {
				continue
			}
			if !yield(Row{Values: []Value{
				Text(org), Text("secret key"), Text(k.id.String()), Text(k.ref.Scope.String() + "/" + string(k.ref.ID)), Text(k.status),
				Time(k.since), age(k.since, k.ended), Time(k.ended),
				{},
			}}, nil) {
				return
			}
		}
	}
}
