package eventstore

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
)

// The logs that have checkpoints, as [ProofStore] names them.
const (
	ProofOfEvents = "events"
	ProofOfAccess = "access"
)

const (
	proofKeySubject      = proofPrefix + "key"
	proofFrontierSubject = proofPrefix + "frontier"
	checkpointPrefix     = proofPrefix + "checkpoint."
)

// ProofStore keeps what proves the logs, for ever: the wrapped key that signs,
// signed checkpoints and frontiers. Their bytes are opaque to it. Safe for
// concurrent use.
//
// Everything is appended by compare-and-set: a revision is the one of the
// newest entry of its kind, 0 where there is none. Nil means durable.
// ErrConflict: not stored, another entry is newer than the revision, and
// durable.
// ErrUnavailable: not stored. ErrUncertain: it may or may not be stored, and
// finding out failed. ErrRefused: no entry, or none of a known log. Adding the
// same entry at the same revision again is safe: it is stored once.
//
// Only what is durable can be seen, as in a [Log]: the newest entry is given, and
// the entries of a kind are yielded, once the newest one is durable.
//
// Iterators yield an error at most once, as their last pair.
type ProofStore struct {
	broker   proofBroker
	appender appender
}

// proofBroker is what keeping proofs needs of a message store.
type proofBroker interface {
	broker
	// newest returns the last message of a subject once it is durable.
	newest(ctx context.Context, subject string) (m stored, ok bool, err error)
	// each yields the messages of a subject as of the call, oldest first, once
	// the last of them is durable.
	each(ctx context.Context, subject string) iter.Seq2[stored, error]
	verify(ctx context.Context) error
	// Fault returns why nothing more becomes durable, or nil.
	Fault() error
}

// OpenProofStore makes the proofs' stream when it is missing, verifies it and
// gives the store. The connection is as for [OpenJetStream], replicas as in
// [Options]. Errors: ErrConfiguration, ErrUnavailable.
func OpenProofStore(ctx context.Context, nc *nats.Conn, replicas int) (*ProofStore, error) {
	b, err := openBroker(ctx, nc, proofConfig(max(1, replicas)))
	if err != nil {
		return nil, err
	}
	p := newJetStreamProofs(b)
	return &ProofStore{broker: p, appender: appender{broker: p, timing: defaultTiming()}}, nil
}

// NewMemoryProofStore gives an empty store in this process's memory, for
// tests. now and fault are as for [NewMemory].
func NewMemoryProofStore(now func() time.Time, fault Fault) *ProofStore {
	b := newMemoryBroker(now, fault)
	p := &memoryProofs{memoryBroker: &b}
	return &ProofStore{broker: p, appender: appender{broker: p, timing: memoryTiming()}}
}

// Verify checks that the stream still is configured as it must be and that
// nothing is gone; ErrConfiguration names the setting that is not, ErrCorrupt
// says what is gone.
func (p *ProofStore) Verify(ctx context.Context) error { return p.broker.verify(ctx) }

// Fault returns why nothing more becomes durable in this process, or nil, as of
// [JetStream].
func (p *ProofStore) Fault() error { return p.broker.Fault() }

// Latest gives a log's newest checkpoint and its revision; nil and 0 where
// there is none. ErrUnavailable: the store cannot be reached.
func (p *ProofStore) Latest(ctx context.Context, log string) (note []byte, revision uint64, err error) {
	subject, err := checkpointSubject(log)
	if err != nil {
		return nil, 0, err
	}
	return p.latest(ctx, subject)
}

// Add appends a checkpoint of a log behind the one at a revision and gives
// its own.
func (p *ProofStore) Add(ctx context.Context, log string, revision uint64, note []byte) (uint64, error) {
	subject, err := checkpointSubject(log)
	if err != nil {
		return 0, err
	}
	return p.add(ctx, subject, revision, note)
}

// Checkpoints yields a log's checkpoints as of the call, oldest first.
func (p *ProofStore) Checkpoints(ctx context.Context, log string) iter.Seq2[[]byte, error] {
	subject, err := checkpointSubject(log)
	if err != nil {
		return func(yield func([]byte, error) bool) { yield(nil, err) }
	}
	return p.each(ctx, subject)
}

// SigningKey gives the wrapped key that signs, nil where there is none.
// ErrUnavailable: the store cannot be reached.
func (p *ProofStore) SigningKey(ctx context.Context) ([]byte, error) {
	key, _, err := p.latest(ctx, proofKeySubject)
	return key, err
}

// AddSigningKey stores the wrapped key that signs. ErrConflict: there is
// another one.
func (p *ProofStore) AddSigningKey(ctx context.Context, wrapped []byte) error {
	_, err := p.add(ctx, proofKeySubject, 0, wrapped)
	return err
}

// LatestFrontier gives the newest frontier of the access log's tree and its
// revision; nil and 0 where there is none. ErrUnavailable: the store cannot be
// reached.
func (p *ProofStore) LatestFrontier(ctx context.Context) (frontier []byte, revision uint64, err error) {
	return p.latest(ctx, proofFrontierSubject)
}

// AddFrontier appends a frontier behind the one at a revision and gives its
// own.
func (p *ProofStore) AddFrontier(ctx context.Context, revision uint64, frontier []byte) (uint64, error) {
	return p.add(ctx, proofFrontierSubject, revision, frontier)
}

// Frontiers yields the frontiers as of the call, oldest first.
func (p *ProofStore) Frontiers(ctx context.Context) iter.Seq2[[]byte, error] {
	return p.each(ctx, proofFrontierSubject)
}

func (p *ProofStore) latest(ctx context.Context, subject string) ([]byte, uint64, error) {
	m, ok, err := p.broker.newest(ctx, subject)
	if err != nil || !ok {
		return nil, 0, err
	}
	return m.data, m.position, nil
}

// add settles a lost acknowledgement as every append does, see
// [appender.store]: the one entry behind the revision is ours or a rival's.
func (p *ProofStore) add(ctx context.Context, subject string, revision uint64, entry []byte) (uint64, error) {
	if len(entry) == 0 || len(entry) > maxMessageLen {
		return 0, refusedf("it has %d bytes", len(entry))
	}
	position, _, err := p.appender.store(ctx, write{
		messages: []message{{subject: subject, body: bytes.Clone(entry)}}, after: revision,
	})
	return position, err
}

func (p *ProofStore) each(ctx context.Context, subject string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for m, err := range p.broker.each(ctx, subject) {
			if !yield(m.data, err) {
				return
			}
		}
	}
}

func checkpointSubject(log string) (string, error) {
	if log != ProofOfEvents && log != ProofOfAccess {
		return "", fmt.Errorf("%w: there is no such log", ErrRefused)
	}
	return checkpointPrefix + log, nil
}
