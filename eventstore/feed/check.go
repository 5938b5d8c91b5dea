package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// ErrDiffers says that the feed is not what the log makes it. See [Difference].
var ErrDiffers = errors.New("feed: the feed differs from the log")

// Difference says where the feed differs. It is an [ErrDiffers].
type Difference struct {
	Position uint64
	Reason   string
}

// Error implements error.
func (d *Difference) Error() string {
	return fmt.Sprintf("%v: position %d: %s", ErrDiffers, d.Position, d.Reason)
}

// Unwrap returns [ErrDiffers].
func (*Difference) Unwrap() error { return ErrDiffers }

// Report is what Check compared.
type Report struct {
	// First and Last are the first and the last position of the feed; Last is
	// before First where it is empty.
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// Skipped says why nothing was compared; "" where something was.
	Skipped string `json:"skipped,omitempty"`
}

// Check compares every message of the feed with the log, and changes nothing.
// A feed that lags behind the log is no fault. Nobody may append meanwhile. It
// returns nil where there is no feed. Errors: ErrDiffers, ErrConfiguration,
// ErrUnavailable, and those of the log's Read.
func (f *Feed) Check(ctx context.Context, log Log) (*Report, error) {
	info, err := f.info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil //nolint:nilnil // there is nothing to compare.
	}
	if err != nil {
		return nil, err
	}
	if err := f.verify(info.Config); err != nil {
		return nil, err
	}
	state := info.State
	report := &Report{First: max(1, state.FirstSeq), Last: state.LastSeq}
	if info.Config.Metadata[epochKey] != f.o.Epoch {
		report.Skipped = "the machine stopped uncleanly: the next start makes the feed anew"
		return report, nil
	}
	status, err := log.Status(ctx)
	if err != nil {
		return report, err
	}
	if state.LastSeq > status.Head {
		return report, &Difference{Position: status.Head + 1, Reason: fmt.Sprintf("the log ends at %d: it has lost events that consumers were given", status.Head)}
	}
	if state.Lost != nil || state.LastSeq > 0 && state.Msgs != state.LastSeq+1-state.FirstSeq {
		return report, &Difference{Position: report.First, Reason: fmt.Sprintf("%d messages lie in positions %d to %d", state.Msgs, state.FirstSeq, state.LastSeq)}
	}
	if state.Msgs == 0 {
		return report, nil
	}
	return report, f.compare(ctx, log, report.First, report.Last)
}

func (f *Feed) compare(ctx context.Context, log Log, first, last uint64) error {
	consumer, err := f.js.OrderedConsumer(ctx, Stream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: first,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	defer messages.Stop()
	for r, err := range log.Read(ctx, first-1) {
		if err != nil {
			return err
		}
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
		}
		if meta.Sequence.Stream != r.Position {
			return &Difference{Position: r.Position, Reason: "the message is missing"}
		}
		if !equal(m.Subject(), m.Data(), r) {
			return &Difference{Position: r.Position, Reason: "the message is not the event's record"}
		}
		if r.Position == last {
			return nil
		}
	}
	return &Difference{Position: last, Reason: "the log has no such position"}
}

// equal reports whether a message is what an event gives.
func equal(subject string, data []byte, r domain.Recorded) bool {
	want := message(r)
	return subject == want.Subject && bytes.Equal(data, want.Data)
}
