package eventstore

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// consumerIdle is how long the server keeps a consumer that nobody asks.
const consumerIdle = 30 * time.Second

// consumer makes a passing consumer that begins behind a position; remove
// takes it away again.
func (b *jetStreamBroker) consumer(ctx context.Context, filter string, after uint64) (c jetstream.Consumer, remove func(), err error) {
	create, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	c, err = b.js.CreateConsumer(create, b.config.Name, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1, FilterSubject: filter,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: consumerIdle,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	name := c.CachedInfo().Name
	return c, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiTimeout)
		defer cancel()
		if b.nc.IsConnected() {
			// If this fails the server removes the consumer once it is idle.
			_ = b.js.DeleteConsumer(ctx, b.config.Name, name)
		}
	}, nil
}
