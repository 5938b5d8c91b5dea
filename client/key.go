package client

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// KeyTerms are what a new key is issued on.
type KeyTerms struct {
	ExpiresAt time.Time // zero: never; at most 10 years ahead
	Note      string    // up to 256 characters, never a value
}

// IssueKey makes an API key for an agent. When the answer is lost the repeat
// is key_already_issued: the token is gone, so revoke that key and issue
// another.
func (a *Admin) IssueKey(ctx context.Context, org domain.OrgID, agent domain.AgentID, terms KeyTerms, opts ...Option) (IssuedKey, error) {
	path, err := agentPath(org, agent)
	if err != nil {
		return IssuedKey{}, err
	}
	body := wire.IssueKey{ExpiresAt: wire.TimeOrNil(terms.ExpiresAt)}
	if terms.Note != "" {
		body.Note = &terms.Note
	}
	return send[IssuedKey](ctx, a.c, call{kind: adminChange, method: http.MethodPost, path: path + "/keys", body: body}, opts)
}

// RevokeKey makes an API key stop working at once.
func (a *Admin) RevokeKey(ctx context.Context, org domain.OrgID, agent domain.AgentID, key domain.APIKeyID, opts ...Option) (APIKey, error) {
	path, err := agentPath(org, agent)
	if err != nil {
		return APIKey{}, err
	}
	if _, err := domain.ParseAPIKeyID(string(key)); err != nil {
		return APIKey{}, err
	}
	return send[APIKey](ctx, a.c, call{kind: adminChange, method: http.MethodDelete, path: path + "/keys/" + string(key)}, opts)
}

// Keys gives an agent's API keys without their tokens, revoked ones too.
func (a *Admin) Keys(ctx context.Context, org domain.OrgID, agent domain.AgentID, opts ...Option) iter.Seq2[APIKey, error] {
	path, err := agentPath(org, agent)
	if err != nil {
		return failed[APIKey](err)
	}
	return pages[APIKey](ctx, a.c, path+"/keys", nil, opts)
}

// ListKeys gives all rows of [Admin.Keys].
func (a *Admin) ListKeys(ctx context.Context, org domain.OrgID, agent domain.AgentID, opts ...Option) ([]APIKey, error) {
	return collect(a.Keys(ctx, org, agent, opts...))
}
