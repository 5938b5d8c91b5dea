package eventstore

import (
	"context"
	"iter"

	"github.com/chancery-dev/chancery/domain"
)

// Log is the log of all events.
//
// Only what is durable can be seen: every event that Load, Get, Read and Follow
// yield, and the head that Status names, survives a power loss. On an embedded
// server this process has synced it. On an external server that is so exactly
// when the server syncs always; Status says who vouches.
//
// What lies in it and is no event ends every reading with ErrCorrupt, unless it
// is a proven foreign message: those are yielded in their place, without an
// event (see domain.Recorded), by Load too, and an append to their stream must
// expect them.
//
// Iterators yield an error at most once, as their last pair. They may be left
// at any time and hold no resources afterwards.
type Log interface {
	// Append stores one event if the last message of the stream is at position
	// after (0: the stream has none), and gives it as it is recorded, At left
	// zero. Nil means durable.
	//
	// ErrConflict: not stored, another message came first; it is durable, so
	// a Status from now on covers it. ErrUnavailable: not stored, try later.
	// ErrUncertain: it may or may not be stored, and finding out failed.
	// ErrRefused: this event can never be stored as it is.
	//
	// Once sending began, the end of ctx does not cut the append short.
	// Appending the same event (same id, same bytes, same after) again is
	// safe: it is stored once, and the answer is its one position.
	Append(ctx context.Context, stream domain.Stream, after uint64, p domain.Proposed) (domain.Recorded, error)

	// Bootstrap stores the events in order on one stream, all or none, if the
	// whole log is empty; else ErrConflict. The other errors are Append's.
	Bootstrap(ctx context.Context, stream domain.Stream, ps []domain.Proposed) ([]domain.Recorded, error)

	// Load yields every event that the stream has as of the call, in order,
	// once the last of them is durable. ErrUnavailable: the log cannot be
	// reached, or cannot make it durable. When ctx ends first, its error is
	// yielded: a reading that ends without an error is complete.
	Load(ctx context.Context, stream domain.Stream) iter.Seq2[domain.Recorded, error]

	// Get returns the one event of a stream at a position once it is durable.
	// ErrUnavailable is Load's. ErrCorrupt: the event is unreadable or missing.
	Get(ctx context.Context, stream domain.Stream, position uint64) (domain.Recorded, error)

	// Read yields every event after a position, to the head that Status names
	// as of the call. Its errors are Load's.
	Read(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error]

	// Follow yields every event after a position, then those to come. It ends
	// with ctx (then without an error), with ErrCorrupt, or with ErrReplaced,
	// and with nothing else: it survives lost connections and consumers
	// without gap or repeat. An event that is stored and that nobody made
	// durable, such as one whose append ended with ErrUncertain, it makes
	// durable within about a second and then yields.
	Follow(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error]

	// Status asks the log about itself and never waits for a sync.
	// ErrUnavailable: it cannot be reached.
	Status(ctx context.Context) (domain.LogStatus, error)

	// Verify checks that the log still is configured as it must be and that
	// no event is missing. ErrConfiguration names the setting that is not,
	// ErrCorrupt says what is missing.
	Verify(ctx context.Context) error
}
