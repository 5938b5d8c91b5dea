// Command example-consumer follows Chancery's events: it fetches them over
// NATS, reads each as a CloudEvent, appends one line for it to a file, and
// acknowledges it then. docs/feeds.md explains it.
//
// Its work is the file, and the file's last line is the position that it has
// done: work and position are written together, in one write. An event comes
// again after a crash, or when 10 seconds have passed without an
// acknowledgement. One at or below the position is done already.
package main

import (
	"bytes"
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
	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	url := flag.String("url", "nats://127.0.0.1:4222", "where serve --nats-listen listens")
	name := flag.String("name", "", "the consumer's name, as given to consumer add")
	key := flag.String("key", "", "file with the seed of its user's key (default NAME.nk)")
	ca := flag.String("ca", "", "PEM file of the authority that signed the server's certificate")
	out := flag.String("out", "", "file to which a line for each event is appended (default NAME.events)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *key == "" {
		*key = *name + ".nk"
	}
	if *out == "" {
		*out = *name + ".events"
	}
	if err := run(ctx, *url, *name, *key, *ca, *out); err != nil {
		fmt.Fprintln(os.Stderr, "example-consumer:", err)
		os.Exit(1)
	}
}

// run follows the events until ctx ends.
func run(ctx context.Context, url, name, key, ca, out string) (err error) {
	file, done, err := open(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
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
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		m, err := next(ctx, js, name)
		if err != nil {
			// Nothing came, or the server is away: ask again.
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		if done, err = handle(file, m, done); err != nil {
			return err
		}
	}
	return nil
}

// next asks for the next event.
func next(ctx context.Context, js jetstream.JetStream, name string) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	c, err := js.Consumer(ctx, "CHANCERY_FEED", name)
	if err != nil {
		return nil, err
	}
	return c.Next(jetstream.FetchContext(ctx))
}

// handle is where a service does its work. It returns the position that is
// done.
func handle(file io.Writer, m jetstream.Msg, done uint64) (uint64, error) {
	meta, err := m.Metadata()
	if err != nil {
		return done, err
	}
	position := meta.Sequence.Stream
	if position > done {
		var e event.Event
		if err := errors.Join(e.UnmarshalJSON(m.Data()), e.Validate()); err != nil {
			return done, fmt.Errorf("no CloudEvent: %w", err)
		}
		line := fmt.Sprintf("%d %s %s %s %s\n", position, e.ID(), e.Time().Format(time.RFC3339), e.Type(), e.Subject())
		if _, err := io.WriteString(file, line); err != nil {
			return done, err
		}
		done = position
	}
	// Only now. When the acknowledgement gets lost, the event comes again.
	if err := m.Ack(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return done, err
	}
	return done, nil
}

// open opens the file and finds the position that is done. A last line without
// its end was never finished.
func open(path string) (file *os.File, done uint64, err error) {
	if file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil { //nolint:gosec // the user names the file.
		return nil, 0, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	if err := file.Truncate(int64(len(whole))); err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	if len(whole) > 0 {
		last := whole[bytes.LastIndexByte(whole[:len(whole)-1], '\n')+1:]
		if _, err := fmt.Sscanf(string(last), "%d ", &done); err != nil {
			return nil, 0, errors.Join(err, file.Close())
		}
	}
	return file, done, nil
}
