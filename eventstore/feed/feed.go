package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

const (
	// userKey and filtersKey are metadata of a consumer's durable. A durable
	// without userKey is never touched.
	userKey    = "chancery-feed-user"
	filtersKey = "chancery-feed-filters"

	// ackWait is when an event that was not acknowledged comes again.
	ackWait = 10 * time.Second
	// maxExpires keeps a request from outliving its way back: the server
	// forgets a reply between accounts after two idle minutes.
	maxExpires = time.Minute
	maxWaiting = 128
	// maxPending is what keeps the order: the server gives no later event while
	// one is not acknowledged. With more in flight, a consumer that was killed
	// would be given later events first, and then skip those that come again.
	maxPending = 1
)

// Status is a consumer and how far it is.
type Status struct {
	Consumer
	// Acknowledged is the position up to which everything is processed.
	Acknowledged uint64 `json:"acknowledged"`
	// Unacknowledged counts events that were delivered and may come again.
	Unacknowledged int `json:"unacknowledged"`
	// Waiting counts events in the feed that were never delivered.
	Waiting uint64 `json:"waiting"`
}

// Add makes the consumer's durable, which begins at the first event of the
// feed, and before it the feed where there is none yet. The same consumer again
// is no error and keeps its position.
//
// A crash between leaves a feed without the consumer: Add again goes on.
// Errors: conflict where a durable of that name is there and is another,
// invalid_request as of Consumer.Check, ErrConfiguration where the stream is
// not the feed's, and ErrUnavailable: the durable may or may not have been
// made; Add again settles that.
func (f *Feed) Add(ctx context.Context, c Consumer) error {
	if err := c.Check(); err != nil {
		return err
	}
	info, err := f.info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		// Filled from the first event. A follower with a retention makes it anew
		// at the first event inside that.
		info, err = f.create(ctx, f.config(1, true))
	}
	if err != nil {
		return err
	}
	if err := f.verify(info.Config); err != nil {
		return err
	}
	return f.addAt(ctx, c, 0)
}

// addAt makes the durable behind an acknowledged position, unless it is there.
func (f *Feed) addAt(ctx context.Context, c Consumer, acknowledged uint64) error {
	config, err := durable(c, acknowledged)
	if err != nil {
		return err
	}
	there, err := f.js.Consumer(ctx, Stream, c.Name)
	switch {
	case err == nil:
		if is, ours := consumerOf(there.CachedInfo().Config); !ours || !sameConsumer(is, c) {
			return domain.Errorf(domain.CodeConflict, "the stream %s has another consumer named %s", Stream, c.Name)
		}
		return nil
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return fmt.Errorf("%w: consumer %s: %w", eventstore.ErrUnavailable, c.Name, err)
	}
	if _, err = f.js.CreateConsumer(ctx, Stream, config); err != nil {
		return fmt.Errorf("%w: consumer %s: %w", eventstore.ErrUnavailable, c.Name, err)
	}
	return nil
}

// Remove deletes the durable and with it the consumer's position. It reports
// whether there was one; a durable that Chancery did not make is a conflict and
// stays. The feed stays. ErrUnavailable: the durable may or may not be gone.
func (f *Feed) Remove(ctx context.Context, name string) (bool, error) {
	c, err := f.js.Consumer(ctx, Stream, name)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("%w: consumer %s: %w", eventstore.ErrUnavailable, name, err)
	}
	if _, ok := consumerOf(c.CachedInfo().Config); !ok {
		return false, domain.Errorf(domain.CodeConflict, "%s is a consumer that Chancery did not make", name)
	}
	err = f.js.DeleteConsumer(ctx, Stream, name)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, fmt.Errorf("%w: consumer %s: %w", eventstore.ErrUnavailable, name, err)
	}
	return true, nil
}

// List returns every consumer that has a durable, by name, none where there is
// no feed. ErrUnavailable.
func (f *Feed) List(ctx context.Context) ([]Status, error) {
	all := []Status{}
	stream, err := f.js.Stream(ctx, Stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return all, nil
	case err != nil:
		return nil, fmt.Errorf("%w: stream %s: %w", eventstore.ErrUnavailable, Stream, err)
	}
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		if c, ok := consumerOf(info.Config); ok {
			all = append(all, Status{
				Consumer: c, Acknowledged: info.AckFloor.Stream, Unacknowledged: info.NumAckPending, Waiting: info.NumPending,
			})
		}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// ServiceAccount asks the server which account the connection belongs to.
// ErrUnavailable, also where the connection's user may not ask.
func (f *Feed) ServiceAccount(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	m, err := f.nc.RequestWithContext(ctx, "$SYS.REQ.USER.INFO", nil)
	if err != nil {
		return "", fmt.Errorf("%w: asking for the account: %w", eventstore.ErrUnavailable, err)
	}
	var answer struct {
		Data struct {
			Account string `json:"account"`
		} `json:"data"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil || answer.Data.Account == "" {
		return "", fmt.Errorf("%w: the server did not name the account", eventstore.ErrUnavailable)
	}
	return answer.Data.Account, nil
}

// Drop deletes the stream with all consumers. The log still has everything.
// ErrUnavailable: the stream may or may not be gone.
func (f *Feed) Drop(ctx context.Context) error {
	err := f.js.DeleteStream(ctx, Stream)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: stream %s: %w", eventstore.ErrUnavailable, Stream, err)
	}
	return nil
}

// info asks for the stream's state. ErrUnavailable, and within it
// jetstream.ErrStreamNotFound.
func (f *Feed) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := f.js.Stream(ctx, Stream)
	if err != nil {
		return nil, fmt.Errorf("%w: stream %s: %w", eventstore.ErrUnavailable, Stream, err)
	}
	return s.CachedInfo(), nil
}

func (f *Feed) create(ctx context.Context, config jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	s, err := f.js.CreateStream(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("%w: making the stream %s: %w", eventstore.ErrUnavailable, Stream, err)
	}
	return s.CachedInfo(), nil
}

// durable is how a consumer is made on the stream.
func durable(c Consumer, acknowledged uint64) (jetstream.ConsumerConfig, error) {
	subjects, err := c.subjects()
	if err != nil {
		return jetstream.ConsumerConfig{}, err
	}
	config := jetstream.ConsumerConfig{
		Durable: c.Name, Description: "Chancery consumer", FilterSubjects: subjects,
		DeliverPolicy: jetstream.DeliverAllPolicy, ReplayPolicy: jetstream.ReplayInstantPolicy,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1, MaxAckPending: maxPending,
		MaxWaiting: maxWaiting, MaxRequestExpires: maxExpires,
		Metadata: map[string]string{userKey: c.User, filtersKey: strings.Join(c.Filters, " ")},
	}
	if acknowledged > 0 {
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, acknowledged+1
	}
	return config, nil
}

// consumerOf reads back what durable wrote.
func consumerOf(config jetstream.ConsumerConfig) (Consumer, bool) {
	user, ok := config.Metadata[userKey]
	return Consumer{Name: config.Durable, User: user, Filters: strings.Fields(config.Metadata[filtersKey])}, ok
}

func sameConsumer(a, b Consumer) bool {
	return a.Name == b.Name && a.User == b.User && slices.Equal(a.Filters, b.Filters)
}
