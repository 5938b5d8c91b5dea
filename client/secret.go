package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// Filter narrows a list of secrets; every member given must hold.
type Filter struct {
	Category string
	Tags     []string
	Text     string // a substring of id or name
	// PageSize is how many rows are asked for at once, 1 to 1,000; 0 leaves
	// it to the server. It never bounds the list.
	PageSize int
}

// Secrets gives the secrets of a scope by id, metadata only.
func (c *Client) Secrets(ctx context.Context, scope domain.Scope, f Filter, opts ...Option) iter.Seq2[Aggregate, error] {
	path, err := scopePath(scope)
	if err != nil {
		return failed[Aggregate](err)
	}
	q := set(set(pageSize(f.PageSize), "category", f.Category), "q", f.Text)
	for _, t := range f.Tags {
		q.Add("tag", t)
	}
	return pages[Aggregate](ctx, c, path, q, opts)
}

// ListSecrets gives all rows of [Client.Secrets].
func (c *Client) ListSecrets(ctx context.Context, scope domain.Scope, f Filter, opts ...Option) ([]Aggregate, error) {
	return collect(c.Secrets(ctx, scope, f, opts...))
}

func pageSize(n int) url.Values {
	if n == 0 {
		return url.Values{}
	}
	return url.Values{"limit": {strconv.Itoa(n)}}
}

// NewSecret is a secret to be made.
type NewSecret struct {
	Name     string
	Category string
	Tags     []string
	// Fields are its first fields: what [PlaintextField] and
	// [Client.SealField] give.
	Fields []domain.Field
}

// CreateSecret makes a secret with its first fields, all or nothing; durable
// on nil. An identical secret is no error ([Meta].Status tells 201 from 200);
// another one of the same id is secret_exists.
func (c *Client) CreateSecret(ctx context.Context, ref SecretRef, s NewSecret, opts ...Option) (Aggregate, error) {
	path, err := ref.path()
	if err != nil {
		return Aggregate{}, err
	}
	body := wire.CreateSecret{SecretName: s.Name, Category: s.Category, Tags: s.Tags}
	for _, f := range s.Fields {
		in, err := inputOf(f)
		if err != nil {
			return Aggregate{}, err
		}
		body.Fields = append(body.Fields, in)
	}
	return send[Aggregate](ctx, c, call{kind: create, method: http.MethodPut, path: path, body: body}, opts)
}

// GetSecret reads a secret: the values of its plaintext fields, the envelopes
// of the others.
func (c *Client) GetSecret(ctx context.Context, ref SecretRef, opts ...Option) (Secret, error) {
	path, err := ref.path()
	if err != nil {
		return Secret{}, err
	}
	return send[Secret](ctx, c, call{method: http.MethodGet, path: path}, opts)
}

// SecretAtVersion gives a secret as it stood at a version, without values; a
// deleted one too.
func (c *Client) SecretAtVersion(ctx context.Context, ref SecretRef, version uint64, opts ...Option) (Aggregate, error) {
	return c.asOf(ctx, ref, url.Values{"version": {strconv.FormatUint(version, 10)}}, opts)
}

// SecretAtTime gives a secret as it stood after all events up to t (to the
// millisecond), without values; a deleted one too.
func (c *Client) SecretAtTime(ctx context.Context, ref SecretRef, t time.Time, opts ...Option) (Aggregate, error) {
	return c.asOf(ctx, ref, url.Values{"at": {wire.NewTime(t).String()}}, opts)
}

func (c *Client) asOf(ctx context.Context, ref SecretRef, q url.Values, opts []Option) (Aggregate, error) {
	path, err := ref.path()
	if err != nil {
		return Aggregate{}, err
	}
	s, err := send[wire.SecretAsOf](ctx, c, call{method: http.MethodGet, path: path, query: q}, opts)
	return s.Aggregate, err
}

// Patch changes a secret's metadata; nil leaves a member as it is. At least
// one must be given.
type Patch struct {
	Name     *string
	Category *string
	Tags     *[]string // replaces the set
	// RotateEvery is after how many days values should be replaced; 0 takes it
	// away. ExpiresAt likewise; the zero time takes it away. Both are advice:
	// the server refuses nothing because of them.
	RotateEvery *domain.RotateEvery
	ExpiresAt   *time.Time
}

// UpdateSecret changes metadata; durable on nil. What is so
// already is no change and no error.
func (c *Client) UpdateSecret(ctx context.Context, ref SecretRef, p Patch, opts ...Option) (Aggregate, error) {
	path, err := ref.path()
	if err != nil {
		return Aggregate{}, err
	}
	if p.Tags != nil && *p.Tags == nil {
		p.Tags = &[]string{} // no tags is an empty array, not null.
	}
	body := wire.UpdateSecret{SecretName: p.Name, Category: p.Category, Tags: p.Tags}
	if p.RotateEvery != nil {
		body.RotateEvery = wire.Null[string]()
		if *p.RotateEvery != 0 {
			body.RotateEvery = wire.NotNull(p.RotateEvery.String())
		}
	}
	if p.ExpiresAt != nil {
		body.ExpiresAt = wire.Null[wire.Time]()
		if !p.ExpiresAt.IsZero() {
			body.ExpiresAt = wire.NotNull(wire.NewTime(*p.ExpiresAt))
		}
	}
	return send[Aggregate](ctx, c, call{kind: change, method: http.MethodPatch, path: path, body: body}, opts)
}

// DeleteSecret deletes a secret and destroys its keys, so that its values can
// not be opened again; durable on nil. Its history stays.
func (c *Client) DeleteSecret(ctx context.Context, ref SecretRef, opts ...Option) (DeletedSecret, error) {
	path, err := ref.path()
	if err != nil {
		return DeletedSecret{}, err
	}
	return send[DeletedSecret](ctx, c, call{kind: change, method: http.MethodDelete, path: path}, opts)
}
