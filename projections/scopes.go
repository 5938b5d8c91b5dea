package projections

import (
	"bytes"
	"context"
	"errors"
	"iter"

	"github.com/chancery-dev/chancery/domain"
)

// errUnlisted is what reading a row gives where it is none of the list.
var errUnlisted = errors.New("projections: the row is not listed")

// page reads up to limit rows under prefix behind a key, in byte order, and
// says whether there are more. Rows that read as errUnlisted are left out.
func page[T any](ts *tables, t table, prefix []byte, after string, limit int,
	read func(rest string, row []byte) (T, error),
) (rows []T, more bool, err error) {
	limit = limitOf(limit)
	looked := 0
	for c := ts.ids(t, prefix, after, &looked); c.id != nil; c.next() {
		row, err := read(string(c.id), c.row)
		switch {
		case errors.Is(err, errUnlisted):
		case err != nil:
			return nil, false, err
		case len(rows) == limit:
			return rows, true, nil
		default:
			rows = append(rows, row)
		}
	}
	return rows, false, nil
}

// Organizations lists the organizations behind one, in byte order of their
// ids, and says whether there are more. Here and in the lists below a limit
// that is not positive is 1,000.
func (s *Store) Organizations(after domain.OrgID, limit int) (orgs []domain.ScopeState, more bool, err error) {
	err = s.view(func(ts *tables) error {
		orgs, more, err = page(ts, tableDirectories, nil, string(after), limit,
			func(id string, head []byte) (domain.ScopeState, error) {
				switch stream, err := decodeStream(head); {
				case err != nil:
					return domain.ScopeState{}, err
				case stream.version == 0: // nothing but foreign messages
					return domain.ScopeState{}, errUnlisted
				}
				scope := domain.Scope{Kind: domain.ScopeOrg, ID: id}
				row := ts.at(tableScopes).Get(scopeRowKey(domain.OrgID(id), scope))
				if row == nil { // the stream does not begin with the org's creation
					return domain.ScopeState{Scope: scope}, nil
				}
				return decodeScope(row)
			})
		return err
	})
	return orgs, more, err
}

// Scopes lists an organization's teams, projects or agents behind an id, in
// byte order, and says whether there are more.
func (s *Store) Scopes(org domain.OrgID, kind domain.ScopeKind, after string, limit int) (
	scopes []domain.ScopeState, more bool, err error,
) {
	err = s.view(func(ts *tables) error {
		scopes, more, err = page(ts, tableScopes, below(orgKey(org, string(kind))), after, limit,
			func(_ string, row []byte) (domain.ScopeState, error) { return decodeScope(row) })
		return err
	})
	return scopes, more, err
}

// Memberships lists an agent's memberships by scope kind and id. next is the
// after of the next page, "" when this is the last: printable, of fewer than
// 160 bytes, and of no meaning to callers.
func (s *Store) Memberships(org domain.OrgID, agent domain.AgentID, after string, limit int) (
	held []domain.Membership, next string, err error,
) {
	err = s.view(func(ts *tables) error {
		var more bool
		held, more, err = page(ts, tableMembers, below(orgKey(org, string(agent))), after, limit,
			func(_ string, row []byte) (domain.Membership, error) { return decodeMembership(row) })
		if more {
			next = membershipCursor(held[len(held)-1].Key())
		}
		return err
	})
	return held, next, err
}

// Keys lists an agent's API keys behind an id, in byte order, and says whether
// there are more. Revoked and expired ones are among them.
func (s *Store) Keys(org domain.OrgID, agent domain.AgentID, after domain.APIKeyID, limit int) (
	keys []domain.APIKey, more bool, err error,
) {
	err = s.view(func(ts *tables) error {
		keys, more, err = page(ts, tableAgentKeys, below(orgKey(org, string(agent))), string(after), limit,
			func(id string, _ []byte) (domain.APIKey, error) {
				return decodeAPIKey(ts.at(tableKeys).Get(orgKey(org, id)))
			})
		return err
	})
	return keys, more, err
}

// StreamHead gives the version of a stream's last event, 0 before the first,
// and the position of its last message, which may be a foreign one.
func (s *Store) StreamHead(stream domain.Stream) (version, position uint64, err error) {
	err = s.view(func(ts *tables) error {
		var row streamRow
		var err error
		switch of := stream.(type) {
		case domain.SecretStream:
			state, failed := ts.state(of.Ref)
			row, err = streamRow{version: state.Version, head: state.Head}, failed
		case domain.DirectoryStream:
			row, err = decodeStream(ts.at(tableDirectories).Get([]byte(of.Org)))
		case domain.KeysStream:
			row, err = decodeStream(ts.at(tableKeyStreams).Get([]byte(of.Org)))
		}
		version, position = row.version, row.head
		return err
	})
	return version, position, err
}

// Idempotent finds the event that a request with this Idempotency-Key
// appended. One that is 24 hours old by this node's clock is forgotten.
func (s *Store) Idempotent(agent domain.AgentID, operation, key string) (e domain.IdempotentEvent, ok bool, err error) {
	err = s.view(func(ts *tables) error {
		row := ts.at(tableIdempotency).Get(idempotencyName(agent, operation, key))
		if row == nil {
			return nil
		}
		found, err := decodeIdempotent(row)
		if err != nil {
			return err
		}
		if ok = s.o.Now().Sub(found.At) < IdempotencyWindow; ok {
			e = found
		}
		return nil
	})
	return e, ok, err
}

// KekClaimed says whether any secret ever claimed the secret key, also when it
// is deleted since.
func (s *Store) KekClaimed(kek domain.KekID) (claimed bool, err error) {
	err = s.view(func(ts *tables) error {
		claimed = ts.at(tableClaims).Get(kek[:]) != nil
		return nil
	})
	return claimed, err
}

// LivingKeks yields the secret keys of all living secrets, as of one moment.
// An error is the last pair. The loop's body must not ask the store.
func (s *Store) LivingKeks(ctx context.Context) iter.Seq2[domain.KekID, error] {
	return func(yield func(domain.KekID, error) bool) {
		left := false
		err := s.view(func(ts *tables) error {
			c := ts.at(tableSecrets).Cursor()
			for k, row := c.First(); k != nil; k, row = c.Next() {
				secret, err := decodeSecret(domain.SecretRef{}, row)
				if err := errors.Join(err, ctx.Err()); err != nil {
					return err
				}
				for _, kek := range secret.KekIDs {
					if left = !yield(kek, nil); left {
						return nil
					}
				}
			}
			return nil
		})
		if err != nil && !left {
			yield(domain.KekID{}, err)
		}
	}
}

// DataKeyUsed says whether an event used the data key for an envelope. It
// knows those of current envelopes and those that are, by the log's time, at
// most 16 minutes old: older ones are no longer accepted from anybody.
func (s *Store) DataKeyUsed(dek domain.DekID) (used bool, err error) {
	err = s.view(func(ts *tables) error {
		k, _ := ts.at(tableDeksCurrent).Cursor().Seek(dek[:])
		used = bytes.HasPrefix(k, dek[:]) || ts.at(tableDeksRecent).Get(dek[:]) != nil
		return nil
	})
	return used, err
}
