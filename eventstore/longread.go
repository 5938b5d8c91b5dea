package eventstore

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/chancery-dev/chancery/eventstore/natsfile"
)

const (
	// longRead is how many messages must be wanted before the embedded log's
	// files are read: a consumer yields fewer as quickly.
	longRead = 256
	// What is decoded at once, and how many of these may wait.
	partMessages, partBytes, partsWaiting = 128, 1 << 20, 8
)

// part is a run of messages that one processor decodes.
type part[T any] struct {
	messages []stored
	values   []T   // of the first messages, up to the first fault
	err      error // that fault
	decoded  chan struct{}
}

// readFiles yields what the files of an embedded log hold behind the last
// message of d, as far as they hold it without a gap, and moves d on. The
// server delivers one message at a time; this reads a block at once and decodes
// on all processors (a million events: ADR 14 has the figures).
func (l *reader[T]) readFiles(ctx context.Context, d *delivery, yield func(T, error) bool) error {
	if l.sync == nil || d.filter != "" || d.until < d.last+longRead {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	parts, work := make(chan *part[T], partsWaiting), make(chan *part[T], partsWaiting)
	for range min(4, runtime.GOMAXPROCS(0)) {
		working.Go(func() {
			for p := range work {
				l.decodePart(ctx, p)
			}
		})
	}
	var cutErr error
	last, until := d.last, d.until
	working.Go(func() {
		defer close(parts)
		defer close(work)
		cutErr = l.cutParts(last, until, func(p *part[T]) bool {
			for _, to := range []chan<- *part[T]{work, parts} {
				select {
				case to <- p:
				case <-ctx.Done():
					return false
				}
			}
			return true
		})
	})
	for p := range parts {
		select {
		case <-p.decoded:
		case <-ctx.Done():
			return ctx.Err()
		}
		for i, v := range p.values {
			if err := ctx.Err(); err != nil {
				return err
			}
			m := p.messages[i]
			d.last, d.previous, d.seen = m.position, m, true
			if !yield(v, nil) {
				return errLeft
			}
		}
		if p.err != nil {
			return p.err
		}
	}
	return cutErr
}

// cutParts reads the files and emits parts until emit returns false.
func (l *reader[T]) cutParts(after, until uint64, emit func(*part[T]) bool) error {
	var messages []stored
	size := 0
	flush := func() bool {
		ok := len(messages) == 0 || emit(&part[T]{messages: messages, decoded: make(chan struct{})})
		messages, size = make([]stored, 0, partMessages), 0
		return ok
	}
	for m, err := range l.sync.Read(after, until) {
		if err != nil {
			return err
		}
		s, ok := storedIn(m)
		if !ok {
			break // for the server to say what it is
		}
		messages, size = append(messages, s), size+len(m.Headers)+len(m.Data)
		if (len(messages) == partMessages || size >= partBytes) && !flush() {
			return nil
		}
	}
	flush()
	return nil
}

// storedIn copies a message of a file. false: its headers cannot be read.
func storedIn(m natsfile.Message) (stored, bool) {
	s := stored{subject: m.Subject, position: m.Sequence, data: bytes.Clone(m.Data)}
	if len(m.Headers) == 0 {
		return s, true
	}
	var ok bool
	s.headers, ok = decodeHeaders(m.Headers)
	return s, ok
}

func (l *reader[T]) decodePart(ctx context.Context, p *part[T]) {
	defer close(p.decoded)
	p.values = make([]T, 0, len(p.messages))
	for _, m := range p.messages {
		if p.err = ctx.Err(); p.err != nil {
			return
		}
		v, err := l.meaning(ctx, m)
		if err != nil {
			p.err = err
			return
		}
		p.values = append(p.values, v)
	}
}

// decodeHeaders reads the headers of a stored message. What is not plainly the
// form that clients write is left to the client library.
func decodeHeaders(text []byte) (map[string][]string, bool) {
	rest, ok := strings.CutPrefix(string(text), "NATS/1.0\r\n")
	headers := make(map[string][]string, 4)
	for ok {
		var line, name, value string
		if line, rest, ok = strings.Cut(rest, "\r\n"); line == "" {
			break
		}
		if name, value, ok = strings.Cut(line, ": "); ok {
			ok = plainHeader(name) && strings.TrimSpace(value) == value
		}
		headers[name] = append(headers[name], value)
	}
	if ok && rest == "" {
		return headers, true
	}
	decoded, err := nats.DecodeHeadersMsg(text)
	return decoded, err == nil
}

// plainHeader reports whether a header's name is made of letters, digits and
// hyphens.
func plainHeader(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		default:
			return false
		}
	}
	return name != ""
}
