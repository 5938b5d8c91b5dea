package httpapi

import (
	"context"
	"io"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// Writer carries changes out: it loads, decides, seals, appends and waits
// until this node's [State] has applied the event.
//
// A refusal is a [domain.Error]. A result is durable. An error that is not
// outcome_unknown means that nothing was stored.
type Writer interface {
	// ChangeSecret changes one secret. Plaintext values in the result are
	// open, as [domain.SecretResult] says.
	ChangeSecret(ctx context.Context, r domain.SecretRequest) (domain.SecretResult, error)
	// ChangeDirectory changes an organization's directory.
	ChangeDirectory(ctx context.Context, r domain.DirectoryRequest) (domain.DirectoryResult, error)
}

// State is what this node knows of the log. Every method is safe for
// concurrent use; results are the caller's own but for what they share
// immutably.
type State interface {
	// Position is the last position that was applied.
	Position() uint64
	// WaitFor returns when position has been applied, with ctx's error when
	// that ends first, and with another when the state follows no longer.
	WaitFor(ctx context.Context, position uint64) error
	// Serving is nil once the node knows what the log held when it started to
	// follow it. Before that it knows no API key.
	Serving() error
	// Fresh is nil while the node has heard from the log lately enough to
	// release values and keys.
	Fresh(now time.Time) error

	// Secret gives a secret with its stored values, one with Exists false
	// where there is none. It is the caller's.
	Secret(ref domain.SecretRef) (domain.Secret, error)
	// SecretMetadata is Secret without values.
	SecretMetadata(ref domain.SecretRef) (domain.Secret, error)
	// ListSecrets shows a page by id, in byte order, metadata only: each secret
	// to show, which must neither keep nor change it. next is the After of the
	// next page, "" when this is the last; it can stand beside fewer rows than
	// asked for, even none.
	ListSecrets(ctx context.Context, q domain.SecretQuery, show func(*domain.Secret)) (next domain.SecretID, err error)
	// Effective gives a page, by id, of what lies in any of several scopes.
	Effective(ctx context.Context, q domain.EffectiveQuery) (domain.EffectivePage, error)
	// History shows a page of a secret's events, over all its incarnations, to
	// show, which may keep a copy of the entry, and says whether another page
	// follows. It returns show's error.
	History(q domain.HistoryQuery, show func(*domain.HistoryEntry) error) (more bool, err error)
	// SecretAtVersion gives a secret's metadata as it stood after its n-th
	// event; false when it has no such event.
	SecretAtVersion(ref domain.SecretRef, version uint64) (domain.Secret, bool, error)
	// SecretAtTime gives it as it stood after every event not later than at;
	// false when there was none.
	SecretAtTime(ref domain.SecretRef, at time.Time) (domain.Secret, bool, error)

	// Directory shows an organization's directory to f, which must neither
	// keep nor change it; an unknown organization's is empty. It returns f's
	// error.
	Directory(org domain.OrgID, f func(*domain.Directory) error) error
	// Authenticate finds an API key by its lookup id, and the rights of its
	// agent as they are now; false when there is none or its agent is
	// archived. Whether the key is revoked or has expired is for the caller
	// to see.
	Authenticate(lookupID string) (domain.APIKey, domain.Principal, bool)
	// AgentName gives an agent's name, "" for one that is unknown.
	AgentName(org domain.OrgID, agent domain.AgentID) string
	// Organizations gives up to limit organizations with ids behind after, in
	// byte order, and whether more follow.
	Organizations(after domain.OrgID, limit int) ([]domain.ScopeState, bool, error)
	// Scopes gives an organization's scopes of one kind in the same way.
	Scopes(org domain.OrgID, kind domain.ScopeKind, after string, limit int) ([]domain.ScopeState, bool, error)
	// Keys gives an agent's API keys in the same way.
	Keys(org domain.OrgID, agent domain.AgentID, after domain.APIKeyID, limit int) ([]domain.APIKey, bool, error)
	// Memberships gives up to limit rows behind after, an opaque text that
	// this method returned, and the after of the next page or "".
	Memberships(org domain.OrgID, agent domain.AgentID, after string, limit int) ([]domain.Membership, string, error)
}

// Keys is the keyring. keys are the living secret's key ids, none where there
// is no secret. The caller clears the keys that it gets.
type Keys interface {
	// Mint makes a data key for a field: the key, its wrapped form (base64)
	// and the id of the secret key that wraps it.
	Mint(ctx context.Context, ref domain.SecretRef, field domain.FieldKey, agent domain.AgentID, keys []domain.KekID) (key [32]byte, ciphertext string, kek domain.KekID, err error)
	// Release unwraps a data key: that of current, the field's present
	// envelope ("" for none), or a fresh one of the agent's own; anything
	// else is data_key_mismatch.
	Release(ctx context.Context, ref domain.SecretRef, field domain.FieldKey, agent domain.AgentID, keys []domain.KekID, ciphertext, current string) ([32]byte, error)
	// Open gives fields of a secret with every plaintext field's stored value
	// opened.
	Open(ctx context.Context, ref domain.SecretRef, fields []domain.Field) ([]domain.Field, error)
}

// Recorder keeps the access log.
type Recorder interface {
	// Record is durable when it returns nil. Of a flood of refusals it may keep
	// a summary instead; what was allowed it keeps always.
	Record(ctx context.Context, a domain.Access) error
}

// AccessLog is what this node knows of the access log.
type AccessLog interface {
	// Access gives a page of records. It waits until this node knows all that
	// was recorded before the call.
	Access(ctx context.Context, q domain.AccessQuery) (domain.AccessPage, error)
}

// Proofs proves that events are in the log.
type Proofs interface {
	// EventProof gives the leaf of a stream's event at a position, exactly its
	// record's bytes, its index in the tree, and a C2SP tlog-proof under the
	// newest signed checkpoint: "" while that does not cover it.
	EventProof(ctx context.Context, stream domain.Stream, position uint64) (leaf []byte, index uint64, proof string, err error)
}

// LogTiles is the static side of the logs (C2SP tlog-tiles). log is "events"
// or "access". What the newest signed checkpoint does not cover, a partial
// tile that is no part of it included, is not_found.
type LogTiles interface {
	// Checkpoint gives the newest signed checkpoint (C2SP tlog-checkpoint).
	Checkpoint(ctx context.Context, log string) ([]byte, error)
	// Tile gives the first width hashes of a tile, 1 to 256. Levels are 0 to 63.
	Tile(ctx context.Context, log string, level int, index uint64, width int) ([]byte, error)
	// Entries gives the first width leaves of an entry bundle in the same way,
	// each behind its length.
	Entries(ctx context.Context, log string, index uint64, width int) ([]byte, error)
	// Keys gives the public keys that checkpoints are signed with.
	Keys(ctx context.Context) ([]wire.LogKey, error)
}

// Reports makes compliance reports.
type Reports interface {
	// Names lists what there is, in the order to show it in.
	Names() []wire.ReportName
	// Open finds out whether a report can be made; a name that is unknown is
	// not_found, a format invalid_query. write then writes it as a stream, once;
	// it stops at the context's end.
	Open(ctx context.Context, q domain.ReportQuery) (contentType, filename string, write func(ctx context.Context, w io.Writer) error, err error)
}

// Health tells how the process is.
type Health interface {
	// Live is nil while the process can go on.
	Live() error
	// Ready lists what keeps this node from serving; nothing when it serves.
	Ready(ctx context.Context) []Unready
}

// Unready is one part that is not ready. Both texts are shown to anybody: they
// are fixed words, never an error's.
type Unready struct {
	Part   string // "log", "projection", "keys"
	Reason string
}
