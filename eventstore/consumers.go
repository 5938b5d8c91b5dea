package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
)

const (
	// feedUserKey and feedFiltersKey are metadata of a feed's durable. What
	// has no feedUserKey is no feed and is never touched.
	feedUserKey    = "chancery-feed-user"
	feedFiltersKey = "chancery-feed-filters"

	feedAckWait = 30 * time.Second
	// feedMaxExpires keeps a request from outliving its way back: the server
	// forgets a reply between accounts after two idle minutes.
	feedMaxExpires = time.Minute
	feedMaxWaiting = 128
	feedMaxPending = 1000
)

// Feeds makes and removes the durables of feeds on the events' stream.
type Feeds struct {
	nc *nats.Conn
	js jetstream.JetStream
}

// FeedStatus is a feed and how far it is.
type FeedStatus struct {
	Feed
	// Acknowledged is the position up to which everything is processed.
	Acknowledged uint64 `json:"acknowledged"`
	// Unacknowledged counts events that were delivered and may come again.
	Unacknowledged int `json:"unacknowledged"`
	// Waiting counts events that were never delivered.
	Waiting uint64 `json:"waiting"`
}

// NewFeeds needs a connection of the service's account, which stays the
// caller's to close. ErrUnavailable.
func NewFeeds(nc *nats.Conn) (*Feeds, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(apiTimeout))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return &Feeds{nc: nc, js: js}, nil
}

// Add makes the durable, which begins at the first event. The same feed again
// is no error and keeps its place. Errors: conflict where a durable of that
// name is there and is another, invalid_request as of Feed.Check, and
// ErrUnavailable: it may or may not have been made; Add again settles it.
func (f *Feeds) Add(ctx context.Context, feed Feed) error {
	if err := feed.Check(); err != nil {
		return err
	}
	config, err := feedConfig(feed)
	if err != nil {
		return err
	}
	_, err = f.js.CreateConsumer(ctx, EventsStream, config)
	switch {
	case errors.Is(err, jetstream.ErrConsumerExists):
		return domain.Errorf(domain.CodeConflict, "the stream %s has another consumer named %s", EventsStream, feed.Name)
	case err != nil:
		return fmt.Errorf("%w: consumer %s: %w", ErrUnavailable, feed.Name, err)
	}
	return nil
}

// Remove deletes the durable and with it the feed's place in the log. It says
// whether there was one; a durable that is no feed's is a conflict and stays.
// ErrUnavailable: it may or may not be gone.
func (f *Feeds) Remove(ctx context.Context, name string) (bool, error) {
	c, err := f.js.Consumer(ctx, EventsStream, name)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("%w: consumer %s: %w", ErrUnavailable, name, err)
	}
	if _, ok := feedOf(c.CachedInfo().Config); !ok {
		return false, domain.Errorf(domain.CodeConflict, "%s is a consumer that Chancery did not make", name)
	}
	err = f.js.DeleteConsumer(ctx, EventsStream, name)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, fmt.Errorf("%w: consumer %s: %w", ErrUnavailable, name, err)
	}
	return true, nil
}

// List gives every feed that has a durable, by name. ErrUnavailable.
func (f *Feeds) List(ctx context.Context) ([]FeedStatus, error) {
	stream, err := f.js.Stream(ctx, EventsStream)
	if err != nil {
		return nil, fmt.Errorf("%w: stream %s: %w", ErrUnavailable, EventsStream, err)
	}
	all := []FeedStatus{}
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		if feed, ok := feedOf(info.Config); ok {
			all = append(all, FeedStatus{
				Feed: feed, Acknowledged: info.AckFloor.Stream, Unacknowledged: info.NumAckPending, Waiting: info.NumPending,
			})
		}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	slices.SortFunc(all, func(a, b FeedStatus) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// ServiceAccount asks the server which account the connection belongs to.
// ErrUnavailable, also where the connection's user may not ask.
func (f *Feeds) ServiceAccount(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	m, err := f.nc.RequestWithContext(ctx, "$SYS.REQ.USER.INFO", nil)
	if err != nil {
		return "", fmt.Errorf("%w: asking for the account: %w", ErrUnavailable, err)
	}
	var answer struct {
		Data struct {
			Account string `json:"account"`
		} `json:"data"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil || answer.Data.Account == "" {
		return "", fmt.Errorf("%w: the server did not name the account", ErrUnavailable)
	}
	return answer.Data.Account, nil
}

// feedConfig is how a feed's durable is made. HeadersOnly is what keeps
// bodies in: the server sends the record and the body's size.
func feedConfig(feed Feed) (jetstream.ConsumerConfig, error) {
	subjects, err := feed.subjects()
	if err != nil {
		return jetstream.ConsumerConfig{}, err
	}
	return jetstream.ConsumerConfig{
		Durable: feed.Name, Description: "Chancery feed", FilterSubjects: subjects, HeadersOnly: true,
		DeliverPolicy: jetstream.DeliverAllPolicy, ReplayPolicy: jetstream.ReplayInstantPolicy,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: feedAckWait, MaxDeliver: -1, MaxAckPending: feedMaxPending,
		MaxWaiting: feedMaxWaiting, MaxRequestExpires: feedMaxExpires,
		Metadata: map[string]string{feedUserKey: feed.User, feedFiltersKey: strings.Join(feed.Filters, " ")},
	}, nil
}

// feedOf reads back what feedConfig wrote.
func feedOf(config jetstream.ConsumerConfig) (Feed, bool) {
	user, ok := config.Metadata[feedUserKey]
	return Feed{Name: config.Durable, User: user, Filters: strings.Fields(config.Metadata[feedFiltersKey])}, ok
}
