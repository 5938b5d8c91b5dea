package eventstore

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/chancery-dev/chancery/domain"
)

// readFilesOf returns what the files alone have behind a position.
func readFilesOf(t *testing.T, l *JetStream, after, until uint64) ([]domain.Recorded, delivery, error) {
	t.Helper()
	var events []domain.Recorded
	d := delivery{last: after, until: until}
	err := l.readFiles(t.Context(), &d, func(r domain.Recorded, _ error) bool {
		events = append(events, r)
		return true
	})
	return events, d, err
}

// TestReadFiles: the files yield what a consumer does.
func TestReadFiles(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	const n = longRead + 2*partMessages + 7
	appendMany(t, l, secretStream("s"), 0, 1, n)
	var want []domain.Recorded
	l.deliverFrom(t, delivery{until: n}, &want)

	for _, after := range []uint64{0, 1, 50} {
		got, d, err := readFilesOf(t, l, after, n-1)
		if err != nil || !reflect.DeepEqual(want[after:n-1], got) || d.last != n-1 {
			t.Errorf("after %d: %d other events, to %d: %v", after, len(got), d.last, err)
		}
	}
	if few, d, err := readFilesOf(t, l, n-longRead+1, n); err != nil || few != nil || d.last != n-longRead+1 {
		t.Errorf("what is not worth it: %d events, to %d, %v", len(few), d.last, err)
	}
}

// deliverFrom reads with a consumer alone.
func (l *JetStream) deliverFrom(t *testing.T, d delivery, events *[]domain.Recorded) {
	t.Helper()
	noError(t, l.consume(t.Context(), &d, func(r domain.Recorded, err error) bool {
		noError(t, err)
		*events = append(*events, r)
		return true
	}))
}

// TestReadFilesEnds: whoever leaves, or whose time is over, is not held up, and
// what cannot be decoded ends the reading in its place.
func TestReadFilesEnds(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	const n = 2 * longRead
	appendMany(t, l, secretStream("s"), 0, 1, n)

	d := delivery{until: n}
	if err := l.readFiles(t.Context(), &d, func(domain.Recorded, error) bool { return d.last < 5 }); !errors.Is(err, errLeft) || d.last != 5 {
		t.Errorf("left: %v at %d", err, d.last)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d = delivery{until: n}
	err := l.readFiles(ctx, &d, func(domain.Recorded, error) bool { cancel(); return true })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v at %d", err, d.last)
	}
	l.meaning = func(ctx context.Context, m stored) (domain.Recorded, error) {
		if m.position == longRead {
			return domain.Recorded{}, &CorruptError{Position: m.position}
		}
		return l.interpret(ctx, m)
	}
	d = delivery{until: n}
	if err := l.readFiles(t.Context(), &d, func(domain.Recorded, error) bool { return true }); !errors.Is(err, ErrCorrupt) || d.last != longRead-1 {
		t.Errorf("corrupt: %v at %d", err, d.last)
	}
}

// TestDecodeHeaders: the quick way gives what the client library gives.
func TestDecodeHeaders(t *testing.T) {
	for _, block := range []string{
		"NATS/1.0\r\n\r\n",
		"NATS/1.0\r\nA: b\r\n\r\n",
		"NATS/1.0\r\nA: b\r\nA: c\r\na: d\r\nNats-Msg-Id: x: y\r\n\r\n",
		"NATS/1.0\r\nA:b\r\n\r\n", "NATS/1.0\r\nA:  b \r\n\r\n", "NATS/1.0\r\nA:\r\n\r\n", "NATS/1.0\r\nA b: c\r\n\r\n",
		"NATS/1.0\r\nA: b\r\n c\r\n\r\n", "NATS/1.0 503 No\r\n\r\n", "NATS/1.0\r\nA: b\r\n", "NATS/1.0\r\nA: b\r\n\r\nrest", "", "x",
	} {
		got, ok := decodeHeaders([]byte(block))
		want, err := nats.DecodeHeadersMsg([]byte(block))
		if ok != (err == nil) || ok && !cmp.Equal(got, map[string][]string(want)) {
			t.Errorf("%q: %v, %v; want %v, %v", block, got, ok, want, err)
		}
	}
}
