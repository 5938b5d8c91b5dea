package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Headers of an atomic batch (NATS ADR-50).
const (
	batchIDHeader       = "Nats-Batch-Id"
	batchSequenceHeader = "Nats-Batch-Sequence"
	batchCommitHeader   = "Nats-Batch-Commit"
)

// send implements broker.
func (b *jetStreamBroker) send(ctx context.Context, w write, attempt int) (uint64, error) {
	var position uint64
	err := b.fault.inject(writeOp(w, attempt), func() error {
		if !b.nc.IsConnected() {
			return fmt.Errorf("%w: not connected", ErrUnavailable)
		}
		if err := b.Fault(); err != nil && attempt == 1 {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		var err error
		switch {
		case w.first:
			position, err = b.sendFirst(ctx, w.messages)
		case b.group != nil:
			position, err = b.group.send(ctx, w.messages[0], w.after)
		default:
			position, err = b.sendAlone(ctx, w, attempt)
		}
		return err
	})
	return position, outcome(err)
}

// durable implements broker.
func (b *jetStreamBroker) durable(ctx context.Context, position uint64) error {
	if b.sync == nil {
		return nil
	}
	return b.sync.Wait(ctx, position)
}

// sendAlone sends one message, and has its expectation checked unless that is
// certain.
func (b *jetStreamBroker) sendAlone(ctx context.Context, w write, attempt int) (uint64, error) {
	if w.certain && attempt == 1 {
		return b.publish(ctx, w.messages[0])
	}
	return b.sendOne(ctx, w.messages[0], w.after)
}

// sendOne implements groupSender.
func (b *jetStreamBroker) sendOne(ctx context.Context, m message, after uint64) (uint64, error) {
	return b.publish(ctx, m, jetstream.WithExpectLastSequencePerSubject(after))
}

func (b *jetStreamBroker) publish(ctx context.Context, m message, expect ...jetstream.PublishOpt) (uint64, error) {
	ack, err := b.js.PublishMsg(ctx, natsMessage(m), append(expect, jetstream.WithExpectStream(b.config.Name))...)
	if err != nil {
		return 0, outcome(err)
	}
	return ack.Sequence, nil
}

// sendGroup implements groupSender.
func (b *jetStreamBroker) sendGroup(ctx context.Context, ws []*groupedWrite) (uint64, error) {
	last, err := b.sendBatch(ctx, len(ws), func(i int) *nats.Msg {
		msg := natsMessage(ws[i].message)
		msg.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(ws[i].after, 10)}
		return msg
	})
	return last, outcome(err)
}

// sendFirst publishes one atomic batch on an empty stream.
func (b *jetStreamBroker) sendFirst(ctx context.Context, ms []message) (uint64, error) {
	return b.sendBatch(ctx, len(ms), func(i int) *nats.Msg {
		msg := natsMessage(ms[i])
		if i == 0 {
			msg.Header[jetstream.ExpectedLastSeqHeader] = []string{"0"}
		}
		return msg
	})
}

// sendBatch publishes n messages as one atomic batch: the server stages them,
// and checks and stores all when it has the last one, which alone is answered.
// Each call makes a batch of its own.
func (b *jetStreamBroker) sendBatch(ctx context.Context, n int, message func(i int) *nats.Msg) (uint64, error) {
	id := b.batchID + strconv.FormatUint(b.batches.Add(1), 10)
	for i := range n - 1 {
		msg := message(i)
		msg.Header[batchIDHeader] = []string{id}
		msg.Header[batchSequenceHeader] = []string{strconv.Itoa(i + 1)}
		if err := b.nc.PublishMsg(msg); err != nil {
			return 0, err
		}
	}
	msg := message(n - 1)
	msg.Header[batchIDHeader] = []string{id}
	msg.Header[batchSequenceHeader] = []string{strconv.Itoa(n)}
	msg.Header[batchCommitHeader] = []string{"1"}
	answer, err := b.nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return 0, err
	}
	var ack struct {
		Sequence uint64              `json:"seq"`
		Count    int                 `json:"count"`
		Error    *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(answer.Data, &ack); {
	case err != nil:
		return 0, err
	case ack.Error != nil:
		return 0, ack.Error
	case ack.Sequence < uint64(n) || ack.Count != n: //nolint:gosec // not negative.
		return 0, errors.New("the answer does not acknowledge the batch")
	}
	return ack.Sequence, nil
}

func natsMessage(m message) *nats.Msg {
	msg := &nats.Msg{Subject: m.subject, Header: nats.Header{}, Data: m.body}
	if m.record != nil {
		msg.Header[RecordHeader] = []string{string(m.record)}
	}
	return msg
}

// Codes of refusals (errors.json of nats-server) that say for certain that
// this message was not stored, beside the two of a wrong expectation, one for
// single and one for replicated streams or batches. Others, like a failed
// write (10077), do not say so.
const codeWrongLastSequenceConstant jetstream.ErrorCode = 10164

func notStored(c jetstream.ErrorCode) bool {
	return slices.Contains([]jetstream.ErrorCode{
		10002, // resource limits exceeded for account
		10008, // JetStream system temporarily unavailable
		10023, // insufficient resources
		10028, // insufficient memory resources available
		10039, // JetStream not enabled for account
		10047, // insufficient storage resources available
		10054, // message size exceeds maximum allowed
		10060, // expected stream does not match
		10076, // JetStream not enabled
		10097, // header size exceeds maximum allowed of 64k
		10109, // invalid operation on sealed stream
		10174, // atomic publish is disabled
		10176, // atomic publish batch is incomplete
	}, c)
}

// outcome says what an error of sending means for what was sent.
func outcome(err error) error {
	if err == nil {
		return nil
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		switch {
		case api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence, api.ErrorCode == codeWrongLastSequenceConstant:
			return fmt.Errorf("%w: %w", ErrConflict, err)
		case notStored(api.ErrorCode):
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return err
	}
	for _, notSent := range []error{
		nats.ErrNoResponders, jetstream.ErrNoStreamResponse, nats.ErrReconnectBufExceeded,
		nats.ErrConnectionDraining, nats.ErrMaxPayload, nats.ErrHeadersNotSupported,
	} {
		if errors.Is(err, notSent) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	return err
}
