package httpapi

import (
	"fmt"
	"io"
	"net/http"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// maxKeyYears is how far ahead a key may expire.
const maxKeyYears = 10

// issueKey makes an API key. Its text is in this answer and nowhere else.
func issueKey(c *call) (answer, error) {
	org, agent, err := c.agent()
	if err != nil {
		return answer{}, err
	}
	command, err := c.keyTerms()
	if err != nil {
		return answer{}, err
	}
	if err := c.administer(org); err != nil {
		return answer{}, err
	}
	token, err := c.newToken()
	if err != nil {
		return answer{}, err
	}
	id, err := c.newID(domain.KeyPrefix)
	if err != nil {
		return answer{}, err
	}
	command.ID, command.Agent = domain.APIKeyID(id), agent
	command.LookupID, command.Hash, _ = domain.ParseToken(token.Reveal())
	result, err := c.changeDirectory(org, command)
	if err != nil {
		return answer{}, err
	}
	if e, ok := result.Event.(domain.APIKeyIssued); ok && (result.Replayed || e.ID != command.ID) {
		return answer{}, domain.Errorf(domain.CodeKeyAlreadyIssued, "this request issued %s; its text was shown once", e.ID)
	}
	return answer{
		status: http.StatusCreated, data: wire.IssuedKey{ID: id, APIKey: wire.Value(token.Reveal())}, position: result.Position,
	}, nil
}

// newToken makes an API key's text of random bytes.
func (s *Server) newToken() (domain.Token, error) {
	var lookup [9]byte
	var secret [32]byte
	defer clear(secret[:])
	for _, b := range [][]byte{lookup[:], secret[:]} {
		if _, err := io.ReadFull(s.config.Rand, b); err != nil {
			return domain.Token{}, fmt.Errorf("httpapi: random bytes: %w", err)
		}
	}
	return domain.NewToken(lookup, secret), nil
}

// keyTerms reads the body of a key's issue.
func (c *call) keyTerms() (domain.IssueKey, error) {
	body, err := wire.Decode[wire.IssueKey](c.body)
	if err != nil {
		return domain.IssueKey{}, err
	}
	var command domain.IssueKey
	if body.ExpiresAt != nil {
		now := c.config.Now()
		command.ExpiresAt = body.ExpiresAt.Time
		if !command.ExpiresAt.After(now) || command.ExpiresAt.After(now.AddDate(maxKeyYears, 0, 0)) {
			return command, domain.Errorf(domain.CodeInvalidRequest, "a key expires in the future, at most %d years ahead", maxKeyYears).At("/expiresAt")
		}
	}
	if body.Note != nil {
		if command.Note, err = domain.ParseNote(*body.Note); err != nil {
			return command, at(err, "/note")
		}
	}
	return command, nil
}

// listKeys answers with an agent's keys, revoked and expired ones too.
func listKeys(c *call) (answer, error) {
	org, agent, err := c.agent()
	if err != nil {
		return answer{}, err
	}
	p, err := c.page(rowsLimit)
	if err != nil {
		return answer{}, err
	}
	if err := c.administer(org); err != nil {
		return answer{}, err
	}
	if err := c.agentExists(org, agent); err != nil {
		return answer{}, err
	}
	found, more, err := c.config.State.Keys(org, agent, domain.APIKeyID(p.after), p.limit)
	if err != nil {
		return answer{}, err
	}
	rows := make([]wire.APIKey, 0, len(found))
	for _, k := range found {
		rows = append(rows, apiKeyOf(k))
	}
	a := success(rows)
	if more && len(found) > 0 {
		a.page = p.next(string(found[len(found)-1].ID))
	}
	return a, c.allowed()
}

// revokeKey makes an API key stop working.
func revokeKey(c *call) (answer, error) {
	org, agent, err := c.agent()
	if err != nil {
		return answer{}, err
	}
	id, err := domain.ParseAPIKeyID(c.param("keyId"))
	if err != nil {
		return answer{}, err
	}
	if err := c.administer(org); err != nil {
		return answer{}, err
	}
	before, err := c.key(org, id)
	if err != nil {
		return answer{}, err
	}
	result, err := c.changeDirectory(org, domain.RevokeKey{ID: id, Agent: agent})
	if err != nil {
		return answer{}, err
	}
	after, err := c.key(org, id)
	if err != nil || after.RevokedAt.IsZero() {
		// The revocation is stored, whatever the state can tell of it.
		after = before
		after.RevokedAt = c.access.Time
	}
	return answer{data: apiKeyOf(after), position: result.Position}, nil
}

// key gives an API key as it is now, zero for one that is unknown.
func (c *call) key(org domain.OrgID, id domain.APIKeyID) (key domain.APIKey, err error) {
	err = c.config.State.Directory(org, func(d *domain.Directory) error {
		key = d.Keys[id]
		return nil
	})
	return key, err
}

func apiKeyOf(k domain.APIKey) wire.APIKey {
	return wire.APIKey{
		ID: string(k.ID), Note: k.Note, CreatedAt: wire.NewTime(k.CreatedAt),
		ExpiresAt: wire.TimeOrNil(k.ExpiresAt), RevokedAt: wire.TimeOrNil(k.RevokedAt), LookupID: k.LookupID,
	}
}
