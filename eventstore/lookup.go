package eventstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// getRequest asks a stream's leader for one message. Direct gets are faster
// but may be answered by a replica that is behind.
type getRequest struct {
	Sequence uint64 `json:"seq,omitempty"`
	Last     string `json:"last_by_subj,omitempty"`
	Next     string `json:"next_by_subj,omitempty"`
}

// next implements broker.
func (b *jetStreamBroker) next(ctx context.Context, subject string, after uint64) (stored, bool, error) {
	var m stored
	var ok bool
	err := b.fault.inject(Op{Kind: OpLookUp, Subject: subject, Attempt: 1}, func() error {
		var err error
		m, _, ok, err = b.get(ctx, getRequest{Sequence: after + 1, Next: subject})
		return err
	})
	return m, ok, err
}

// last gives the last message of a subject, which may have wildcards.
func (b *jetStreamBroker) last(ctx context.Context, subject string) (stored, bool, error) {
	m, _, ok, err := b.get(ctx, getRequest{Last: subject})
	return m, ok, err
}

// durableLast returns the last message of a subject once it is durable.
func (b *jetStreamBroker) durableLast(ctx context.Context, subject string) (stored, bool, error) {
	m, ok, err := b.last(ctx, subject)
	if err == nil && ok {
		err = awaitDurable(ctx, b, m.position)
	}
	return m, ok, err
}

// awaitDurable returns nil once everything up to a position is durable, ctx's
// error when that ends first, and else ErrUnavailable.
func awaitDurable(ctx context.Context, b broker, position uint64) error {
	err := b.durable(ctx, position)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// batchesSynced returns nil once the server is done with every atomic batch
// that it had begun when it stored a position. Without replicas it shows a
// batch to consumers and counts it before the batch's one fsync; its answer to
// this question waits for the end of the batch.
func (b *jetStreamBroker) batchesSynced(ctx context.Context, position uint64) error {
	if b.group == nil || position == 0 { // nobody sends batches to this stream
		return nil
	}
	_, _, _, err := b.get(ctx, getRequest{Sequence: position})
	return err
}

// get asks for one message and gives its raw bytes too: the header block and
// then the data.
func (b *jetStreamBroker) get(ctx context.Context, req getRequest) (m stored, raw []byte, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	question, err := json.Marshal(req)
	if err != nil {
		return stored{}, nil, false, err
	}
	answer, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+b.config.Name, question)
	if err != nil {
		return stored{}, nil, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	var got struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Headers  []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		return stored{}, nil, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if got.Error != nil {
		if got.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return stored{}, nil, false, nil
		}
		return stored{}, nil, false, fmt.Errorf("%w: %w", ErrUnavailable, got.Error)
	}
	m = stored{subject: got.Message.Subject, position: got.Message.Sequence, at: got.Message.Time, data: got.Message.Data}
	if headers, err := nats.DecodeHeadersMsg(got.Message.Headers); err == nil {
		// Headers that are none leave a message without a record.
		m.headers = headers
	}
	return m, append(got.Message.Headers, got.Message.Data...), true, nil
}
