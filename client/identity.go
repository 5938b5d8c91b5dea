package client

import (
	"context"
	"net/http"
)

// Whoami tells who the API key speaks for.
func (c *Client) Whoami(ctx context.Context, opts ...Option) (Identity, error) {
	return send[Identity](ctx, c, call{method: http.MethodGet, path: "/agent/identity/whoami"}, opts)
}

// Scopes lists the scopes that the caller sees, most specific first: agent,
// projects, teams, org.
func (c *Client) Scopes(ctx context.Context, opts ...Option) ([]ScopeRole, error) {
	return send[[]ScopeRole](ctx, c, call{method: http.MethodGet, path: secretsPath + "scopes"}, opts)
}
