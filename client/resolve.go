package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/chancery-dev/chancery/domain"
)

const resolvePath = secretsPath + "resolve"

// Resolve finds the secret of an id that is nearest to the caller: agent,
// then projects, teams, org. Two at the winning level are ambiguous_scope; a
// winner that the caller may not read is forbidden, never skipped.
func (c *Client) Resolve(ctx context.Context, id domain.SecretID, opts ...Option) (ResolvedSecret, error) {
	if _, err := domain.ParseSecretID(string(id)); err != nil {
		return ResolvedSecret{}, err
	}
	return send[ResolvedSecret](ctx, c, call{method: http.MethodGet, path: resolvePath + "/" + string(id)}, opts)
}

// EffectiveSecrets gives what resolves for the caller, by id, metadata only.
func (c *Client) EffectiveSecrets(ctx context.Context, opts ...Option) iter.Seq2[EffectiveSecret, error] {
	return pages[EffectiveSecret](ctx, c, resolvePath, nil, opts)
}

// ListEffectiveSecrets gives all rows of [Client.EffectiveSecrets].
func (c *Client) ListEffectiveSecrets(ctx context.Context, opts ...Option) ([]EffectiveSecret, error) {
	return collect(c.EffectiveSecrets(ctx, opts...))
}
