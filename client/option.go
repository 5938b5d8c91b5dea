package client

import (
	"net/http"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// Option changes one call. An option that the call can't honour is an error
// before anything is sent, never ignored: a precondition that nobody checks
// would be worse than none.
type Option func(*call)

// IfMatch makes a change of a secret conditional on its version: another one
// is version_mismatch.
func IfMatch(version uint64) Option {
	return func(c *call) { c.ifMatch = wire.ETag(version) }
}

// IfExists makes a change of a secret conditional on the secret being there,
// at whatever version (If-Match: *).
func IfExists() Option { return func(c *call) { c.ifMatch = "*" } }

// IfNoneMatch says on [Client.CreateSecret] that a new secret is meant. The
// server answers the same without it: an identical secret is no error.
func IfNoneMatch() Option { return func(c *call) { c.ifNoneMatch = true } }

// IdempotencyKey names a write, so that it can be repeated later, by another
// process too, without applying it twice: 1 to 128 of A-Z a-z 0-9 . _ : -.
// Without it every write gets a random one.
func IdempotencyKey(key string) Option { return func(c *call) { c.idempotencyKey = key } }

// MinPosition makes the node first apply the log up to this position: that of
// an earlier write's [Meta]. A node that is too far behind answers
// position_not_reached.
func MinPosition(position uint64) Option { return func(c *call) { c.minPosition = position } }

// Reason stands in the record of the call, for ever: up to 256 characters.
// Never put a value there.
func Reason(text string) Option { return func(c *call) { c.reason = text } }

// RunID ties the record of the call to a run of the agent: up to 256
// characters.
func RunID(id string) Option { return func(c *call) { c.runID = id } }

// RequestID asks the server to use this request id: 1 to 128 of A-Z a-z 0-9
// . _ : -. The server replaces a malformed one.
func RequestID(id string) Option { return func(c *call) { c.requestID = id } }

// WithMeta fills m from the answer. In calls that ask several times, the last
// answer fills it.
func WithMeta(m *Meta) Option { return func(c *call) { c.meta = m } }

// Meta is what an answer says beside its data.
type Meta struct {
	Status int
	// Version is the secret's version from the ETag, 0 where there is none.
	Version uint64
	// Position is the log position of a write, 0 where there is none.
	Position  uint64
	RequestID string
}

func (m *Meta) fill(r *http.Response) {
	if m == nil {
		return
	}
	*m = Meta{Status: r.StatusCode, RequestID: r.Header.Get(wire.HeaderRequestID)}
	if p, ok := wire.ParseUint(r.Header.Get(wire.HeaderPosition)); ok {
		m.Position = p
	}
	if v, ok := wire.ParseETag(r.Header.Get(wire.HeaderETag)); ok {
		m.Version = v
	}
}

// kind says what a call does, and so which options it takes and when it may
// be repeated.
type kind int

const (
	read        kind = iota // changes nothing
	exchange                // mints or releases a data key
	change                  // changes a secret
	create                  // makes a secret
	adminChange             // changes a directory
)

func (k kind) writes() bool { return k == change || k == create || k == adminChange }

func (c *call) apply(opts []Option) error {
	for _, o := range opts {
		o(c)
	}
	switch {
	case c.ifMatch != "" && c.kind != change && c.kind != create:
		return domain.Errorf(domain.CodePreconditionInvalid, "only a change of a secret takes If-Match")
	case c.ifNoneMatch && c.kind != create:
		return domain.Errorf(domain.CodePreconditionInvalid, "only the creation of a secret takes If-None-Match")
	case c.idempotencyKey != "" && !c.kind.writes():
		return domain.Errorf(domain.CodeInvalidRequest, "only a write takes an Idempotency-Key")
	}
	return nil
}
