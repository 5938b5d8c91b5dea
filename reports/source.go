package reports

import (
	"context"
	"iter"

	"github.com/chancery-dev/chancery/domain"
)

// Names of the logs, as checkpoints know them.
const (
	LogEvents = "events"
	LogAccess = "access"
)

// Events is the event log. Reports rely on it that only what is durable can be
// seen: a row is never taken back.
type Events interface {
	// Read gives the events behind a position, to the head as of the call.
	// Their At may be zero: reports fold it.
	Read(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error]
	// Status tells the first and the last position that are there.
	Status(ctx context.Context) (domain.LogStatus, error)
}

// Access is the access log, of which the same holds.
type Access interface {
	// Read gives the messages behind a position that are still there, to the
	// head as of the call.
	Read(ctx context.Context, after uint64) iter.Seq2[domain.AccessMessage, error]
	// Status tells the first and the last position that are there.
	Status(ctx context.Context) (domain.LogStatus, error)
}

// Checkpoint is a signed statement on a log.
type Checkpoint struct {
	Size uint64 // leaves that it covers: the positions up to Size
	Note string // the signed note (C2SP tlog-checkpoint)
}

// Checkpoints gives what was signed about the logs.
type Checkpoints interface {
	// Covering gives the oldest stored checkpoint of a log that covers a
	// position, so that every node gives the same one; for position 0 the
	// newest there is. ok is false where there is none.
	Covering(ctx context.Context, log string, position uint64) (c Checkpoint, ok bool, err error)
}

// Signer signs manifests.
type Signer interface {
	// SignManifest signs the bytes of a manifest and names the key. The same
	// bytes must give the same signature: Ed25519 does.
	SignManifest(manifest []byte) Signature
}

// Source is what reports are made from. Events is required. Without Access,
// reports that need it are refused; without Checkpoints a query's zero position
// is the head of the log; without a Signer manifests are not signed.
type Source struct {
	Events      Events
	Access      Access
	Checkpoints Checkpoints
	Signer      Signer
}
