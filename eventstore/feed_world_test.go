package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/chancery-dev/chancery/domain"
)

// feedUser is a service outside, with the key of its user.
type feedUser struct {
	Feed
	key nkeys.KeyPair
}

func newFeedUser(t testing.TB, name string, filters ...string) feedUser {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return feedUser{Feed: Feed{Name: name, User: public, Filters: filters}, key: key}
}

// outside is a connection of a feed's user, with everything the server
// reports on it.
type outside struct {
	*nats.Conn
	feedUser
	t testing.TB
	// refused is what the server refused, told in the background.
	refused chan error
}

// dial connects from outside, over the network.
func (u feedUser) dial(t testing.TB, url string, options ...nats.Option) *outside {
	t.Helper()
	o := &outside{feedUser: u, t: t, refused: make(chan error, 1<<12)}
	nc, err := nats.Connect(url, append([]nats.Option{
		nats.Nkey(u.User, u.key.Sign), nats.CustomInboxPrefix(u.InboxPrefix()), nats.NoReconnect(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { o.refused <- err }),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	o.Conn = nc
	return o
}

// flush waits until the server has handled what was sent.
func (o *outside) flush() {
	o.t.Helper()
	if err := o.FlushTimeout(10 * time.Second); err != nil {
		o.t.Fatal(err)
	}
}

// waitRefused waits until the server has refused n things.
func (o *outside) waitRefused(n int, what string) {
	o.t.Helper()
	deadline := time.After(20 * time.Second)
	for i := range n {
		select {
		case err := <-o.refused:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				o.t.Fatalf("%s: %v", what, err)
			}
		case <-deadline:
			o.t.Fatalf("%s: %d of %d were refused", what, i, n)
		}
	}
}

// fetch asks for n messages and gives those that come, without acknowledging.
func (o *outside) fetch(n int) []*nats.Msg {
	o.t.Helper()
	js, err := o.JetStream()
	if err != nil {
		o.t.Fatal(err)
	}
	sub, err := js.PullSubscribe("", o.Name, nats.Bind(EventsStream, o.Name), nats.SkipConsumerLookup())
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	ctx, cancel := context.WithTimeout(o.t.Context(), 20*time.Second)
	defer cancel()
	var all []*nats.Msg
	for len(all) < n {
		got, err := sub.Fetch(n-len(all), nats.Context(ctx))
		if err != nil {
			o.t.Fatalf("%d of %d messages came: %v", len(all), n, err)
		}
		all = append(all, got...)
	}
	return all
}

// feedWorld is a server with every stream of ours, events in it and two feeds.
type feedWorld struct {
	t        testing.TB
	nc       *nats.Conn // the service's
	url      string
	log      *JetStream
	feeds    *Feeds
	own      feedUser
	other    feedUser
	embedded *Embedded // nil with an external server
}

// populate makes the streams, some events with bodies and the durables.
func (w *feedWorld) populate() {
	w.t.Helper()
	ctx := w.t.Context()
	w.log = openLog(w.t, w.nc)
	keys, err := OpenKeyStore(ctx, w.nc, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	access, err := OpenAccessLog(ctx, w.nc, AccessOptions{Logger: logger(w.t)})
	if err != nil {
		w.t.Fatal(err)
	}
	proofs, err := OpenProofStore(ctx, w.nc, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	js, err := jetstream.New(w.nc)
	if err != nil {
		w.t.Fatal(err)
	}
	_, errKey := js.Publish(ctx, keyPrefix+"secret.00", []byte("a wrapped key"))
	a := domain.Access{Action: domain.AccessStart, Outcome: domain.OutcomeAllowed, Time: sampleTime}
	_, errAccess := access.Append(ctx, appendAccess(nil, &a))
	_, errProof := proofs.Add(ctx, "events", 0, []byte("a checkpoint\n"))
	if err := errors.Join(errKey, errAccess, errProof, keys.Verify(ctx)); err != nil {
		w.t.Fatal(err)
	}
	appendMany(w.t, w.log, secretStream("db-password"), 0, 1, 10)
	if w.feeds, err = NewFeeds(w.nc); err != nil {
		w.t.Fatal(err)
	}
	for _, f := range []Feed{w.own.Feed, w.other.Feed} {
		if err := w.feeds.Add(ctx, f); err != nil {
			w.t.Fatal(err)
		}
	}
}

// state is what nobody outside may move.
func (w *feedWorld) state() string {
	w.t.Helper()
	js, err := jetstream.New(w.nc)
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	var names []string
	list := js.StreamNames(w.t.Context())
	for name := range list.Name() {
		names = append(names, name)
	}
	if err := list.Err(); err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range names {
		s, err := js.Stream(w.t.Context(), name)
		if err != nil {
			w.t.Fatal(err)
		}
		i := s.CachedInfo()
		fmt.Fprintf(&b, "%s: head %d, %d messages, %d consumers\n", name, i.State.LastSeq, i.State.Msgs, i.State.Consumers)
	}
	return b.String()
}

// status is the state with the other feed's place in the log.
func (w *feedWorld) status() string {
	w.t.Helper()
	list, err := w.feeds.List(w.t.Context())
	if err != nil || len(list) != 2 {
		w.t.Fatalf("%+v, %v", list, err)
	}
	return w.state() + fmt.Sprintf("%+v", list[1])
}

// embeddedWorld is a world on the embedded server with a listener.
func embeddedWorld(t testing.TB, dir string) *feedWorld {
	t.Helper()
	w := &feedWorld{t: t, own: newFeedUser(t, "billing"), other: newFeedUser(t, "search")}
	e, err := StartEmbeddedWith(t.Context(), dir, EmbeddedOptions{Listener: &Listener{Address: "127.0.0.1:0", Feeds: []Feed{w.own.Feed, w.other.Feed}}, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := e.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopEmbedded(t, e, nc) })
	w.nc, w.url, w.embedded = nc, "nats://"+e.Addr().String(), e
	w.populate()
	return w
}
