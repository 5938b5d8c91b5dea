package feed

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/chancery-dev/chancery/eventstore"
)

// feedUser is a service outside, with the key of its user.
type feedUser struct {
	Consumer
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
	return feedUser{Consumer: Consumer{Name: name, User: public, Filters: filters}, key: key}
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

// fetch asks for n messages one by one and acknowledges each, but for the last
// if it is to be kept.
func (o *outside) fetch(n int, keepLast bool) []jetstream.Msg {
	o.t.Helper()
	js, err := jetstream.New(o.Conn)
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(o.t.Context(), 40*time.Second)
	defer cancel()
	c, err := js.Consumer(ctx, Stream, o.Name) // asks CONSUMER.INFO
	if err != nil {
		o.t.Fatal(err)
	}
	var all []jetstream.Msg
	for len(all) < n {
		m, err := c.Next(jetstream.FetchContext(ctx))
		if err != nil {
			o.t.Fatalf("%d of %d messages came: %v", len(all), n, err)
		}
		if all = append(all, m); len(all) < n || !keepLast {
			if err := m.DoubleAck(ctx); err != nil {
				o.t.Fatal(err)
			}
		}
	}
	return all
}

// feedWorld is a server with every stream of ours, events in it and two
// consumers of the feed, which is followed.
type feedWorld struct {
	t        testing.TB
	nc       *nats.Conn // the service's
	url      string
	log      *eventstore.JetStream
	feed     *Feed
	follower *Follower
	own      feedUser
	other    feedUser
	embedded *eventstore.Embedded // nil with an external server
}

const worldEvents = 10

// populate makes the streams, some events and the durables.
func (w *feedWorld) populate() {
	w.t.Helper()
	ctx := w.t.Context()
	w.log = openLog(w.t, w.nc)
	js, err := jetstream.New(w.nc)
	if err != nil {
		w.t.Fatal(err)
	}
	for stream, subject := range map[string]string{
		eventstore.KeysStream: keyPrefix + ">", eventstore.AccessStream: accessSubject, eventstore.ProofStream: proofPrefix + ">",
	} {
		_, err := js.CreateStream(ctx, eventstore.StreamConfig(stream, subject, 1))
		if err == nil {
			_, err = js.Publish(ctx, strings.TrimSuffix(subject, ".>")+strings.Repeat(".secret.00", strings.Count(subject, ">")), []byte("wrapped checkpoint\n"))
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	appendMany(w.t, w.log, secretStream("db-password"), 0, 1, worldEvents)
	var epoch string
	if w.embedded != nil {
		epoch = w.embedded.Epoch()
	}
	w.feed = openFeed(w.t, w.nc, Options{Epoch: epoch})
	for _, c := range []Consumer{w.own.Consumer, w.other.Consumer} {
		if err := w.feed.Add(ctx, c); err != nil {
			w.t.Fatal(err)
		}
	}
	w.follower = followFeed(w.t, w.feed, w.log, filepath.Join(w.t.TempDir(), "feed.json")).Follower
	waitFor(w.t, "the feed", func() bool {
		position, ok := w.follower.Position()
		return ok && position == worldEvents
	})
}

const (
	keyPrefix     = "chancery.keys."
	proofPrefix   = "chancery.proof."
	accessSubject = "chancery.access"
)

// runningFollower is a follower that runs until stop or the test's end.
type runningFollower struct {
	*Follower
	stop func()
}

func followFeed(t testing.TB, f *Feed, log Log, path string, consumers ...Consumer) runningFollower {
	return runFollower(t, NewFollower(Config{
		Feed: f, Log: log, Path: path, Embedded: len(consumers) > 0, Consumers: consumers, Now: time.Now, Logger: logger(t),
	}))
}

func runFollower(t testing.TB, f *Follower) runningFollower {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx)
	}()
	r := runningFollower{Follower: f, stop: func() {
		cancel()
		<-done
	}}
	t.Cleanup(r.stop)
	return r
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

// status is the state with the other consumer's position.
func (w *feedWorld) status() string {
	w.t.Helper()
	list, err := w.feed.List(w.t.Context())
	if err != nil || len(list) != 2 {
		w.t.Fatalf("%+v, %v", list, err)
	}
	return w.state() + fmt.Sprintf("%+v", list[1])
}

// embeddedWorld is a world on the embedded server with a listener.
func embeddedWorld(t testing.TB, dir string) *feedWorld {
	t.Helper()
	w := &feedWorld{t: t, own: newFeedUser(t, "billing"), other: newFeedUser(t, "search")}
	e, nc := startListening(t, dir, w.own.Consumer, w.other.Consumer)
	w.nc, w.url, w.embedded = nc, "nats://"+e.Addr().String(), e
	w.populate()
	return w
}
