package eventstore

import (
	"context"
	"iter"
)

// jetStreamProofs keeps proofs on a NATS server.
type jetStreamProofs struct {
	jetStreamBroker
	reader[stored]
}

func newJetStreamProofs(b jetStreamBroker) *jetStreamProofs {
	p := &jetStreamProofs{jetStreamBroker: b}
	p.reader = newReader(&p.jetStreamBroker, nil, allProofs, func(_ context.Context, m stored) (stored, error) { return m, nil })
	return p
}

func (p *jetStreamProofs) newest(ctx context.Context, subject string) (stored, bool, error) {
	return p.durableLast(ctx, subject)
}

func (p *jetStreamProofs) each(ctx context.Context, subject string) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) { p.load(ctx, subject, yield) }
}

// verify implements proofBroker: nothing may be missing, whatever its subject.
func (p *jetStreamProofs) verify(ctx context.Context) error {
	if err := p.jetStreamBroker.verify(ctx); err != nil {
		return err
	}
	info, err := p.info(ctx)
	if err != nil {
		return err
	}
	return verifyComplete(ProofStream, info.State)
}

// memoryProofs keeps proofs in memory.
type memoryProofs struct{ *memoryBroker }

func (p *memoryProofs) newest(ctx context.Context, subject string) (stored, bool, error) {
	position := p.lastOf(subject)
	if position == 0 {
		return stored{}, false, nil
	}
	m, ok := p.find(subject, position-1)
	return m, ok, awaitDurable(ctx, p, position)
}

func (p *memoryProofs) each(ctx context.Context, subject string) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		var after uint64
		until := p.lastOf(subject)
		if err := awaitDurable(ctx, p, until); err != nil {
			yield(stored{}, err)
			return
		}
		for {
			if err := ctx.Err(); err != nil {
				yield(stored{}, err)
				return
			}
			m, ok := p.find(subject, after)
			if !ok || m.position > until || !yield(m, nil) {
				return
			}
			after = m.position
		}
	}
}

func (*memoryProofs) verify(context.Context) error { return nil }

// Fault implements proofBroker.
func (*memoryProofs) Fault() error { return nil }
