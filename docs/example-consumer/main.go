// Command example-consumer follows Chancery's events: it fetches them over
// NATS, reads each as a CloudEvent, prints one line for it and acknowledges it
// then. docs/feeds.md explains it.
//
// An event that was not acknowledged comes again: after a crash, or when 30
// seconds have passed. So what is done for an event must be harmless when done
// twice, or its id be remembered with what was done.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"
)

const (
	stream = "CHANCERY_EVENTS"
	header = "Chancery-Record" // the whole CloudEvent, in its JSON format
	batch  = 100
	wait   = 5 * time.Second // for a batch, before asking again
)

func main() {
	url := flag.String("url", "nats://127.0.0.1:4222", "where serve --nats-listen listens")
	name := flag.String("name", "", "the consumer's name, as given to consumer add")
	key := flag.String("key", "", "file with the seed of its user's key (default NAME.nk)")
	ca := flag.String("ca", "", "PEM file of the authority that signed the server's certificate")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *key == "" {
		*key = *name + ".nk"
	}
	if err := run(ctx, os.Stdout, *url, *name, *key, *ca); err != nil {
		fmt.Fprintln(os.Stderr, "example-consumer:", err)
		os.Exit(1)
	}
}

// run follows the events until ctx ends.
func run(ctx context.Context, out io.Writer, url, name, key, ca string) error {
	user, err := nats.NkeyOptionFromSeed(key)
	if err != nil {
		return err
	}
	options := []nats.Option{
		user,
		nats.CustomInboxPrefix("_INBOX_" + name), // the user may listen nowhere else
		// Whatever happens to the server, go on when it is back.
		nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.IgnoreAuthErrorAbort(),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { fmt.Fprintln(os.Stderr, "example-consumer:", err) }),
	}
	if ca != "" {
		options = append(options, nats.RootCAs(ca))
	}
	nc, err := nats.Connect(url, options...)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := nc.JetStream()
	if err != nil {
		return err
	}
	// The consumer is there already, and its user may not ask about it.
	sub, err := js.PullSubscribe("", name, nats.Bind(stream, name), nats.SkipConsumerLookup())
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := next(ctx, out, sub); err != nil {
			return err
		}
	}
	return nil
}

// next fetches some events and processes them one by one.
func next(ctx context.Context, out io.Writer, sub *nats.Subscription) error {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	messages, err := sub.Fetch(batch, nats.Context(waiting))
	if err != nil {
		// Nothing came, or the server is away. What counts is in the log.
		<-waiting.Done()
		return nil // the next call asks again
	}
	for _, m := range messages {
		if err := process(out, m); err != nil {
			return err
		}
		// Only now: an event that was not processed is not acknowledged. That
		// the acknowledgement got lost is harmless, the event comes again.
		if err := m.Ack(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			return err
		}
	}
	return nil
}

// process is where a service does its work.
func process(out io.Writer, m *nats.Msg) error {
	var e event.Event
	if err := e.UnmarshalJSON([]byte(m.Header.Get(header))); err != nil {
		return fmt.Errorf("no CloudEvent: %w", err)
	}
	if err := e.Validate(); err != nil {
		return fmt.Errorf("no CloudEvent: %w", err)
	}
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	// The position orders all events; the body is empty, whatever the event.
	_, err = fmt.Fprintf(out, "%d %s %s %s %s body=%d\n",
		meta.Sequence.Stream, e.ID(), e.Time().Format(time.RFC3339), e.Type(), e.Subject(), len(m.Data))
	return err
}
