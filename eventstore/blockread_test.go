package eventstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/chancery-dev/chancery/domain"
)

// readBlocksOf gives what the blocks alone give behind a position.
func readBlocksOf(t *testing.T, l *JetStream, after, until uint64) ([]domain.Recorded, delivery, error) {
	t.Helper()
	var events []domain.Recorded
	d := delivery{last: after, until: until}
	err := l.readBlocks(t.Context(), &d, func(r domain.Recorded, _ error) bool {
		events = append(events, r)
		return true
	})
	return events, d, err
}

// TestReadBlocks: the blocks give what a consumer does, and where they can't be
// read the consumer takes over.
func TestReadBlocks(t *testing.T) {
	e, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	const n = blockWorth + 2*partMessages + 7
	appendMany(t, l, secretStream("s"), 0, 1, n)
	var want []domain.Recorded
	l.deliverFrom(t, delivery{until: n}, &want)

	for _, after := range []uint64{0, 1, 50} {
		got, d, err := readBlocksOf(t, l, after, n-1)
		if err != nil || !reflect.DeepEqual(want[after:n-1], got) || d.last != n-1 {
			t.Errorf("after %d: %d other events, to %d: %v", after, len(got), d.last, err)
		}
	}
	if few, d, err := readBlocksOf(t, l, n-blockWorth+1, n); err != nil || few != nil || d.last != n-blockWorth+1 {
		t.Errorf("what is not worth it: %d events, to %d, %v", len(few), d.last, err)
	}

	files, err := BlockFiles(e.dir, EventsStream)
	noError(t, err)
	sound, err := ReadBlock(files[0], nil)
	noError(t, err)
	middle := len(sound) / 2
	// Blocks of another directory, so that the server keeps what it has.
	l.sync = newBlockSync(t.TempDir(), EventsStream)
	l.sync.synced = n
	path := filepath.Join(messagesDir(l.sync.dir, EventsStream), "1"+BlockSuffix)
	noError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	for name, bad := range map[string][]byte{
		"changed":    append(append(append([]byte(nil), sound[:middle]...), ^sound[middle]), sound[middle+1:]...),
		"cut off":    sound[:middle],
		"gone":       nil,
		"compressed": append([]byte(compressedBlock), sound...),
	} {
		t.Run(name, func(t *testing.T) {
			noError(t, os.WriteFile(path, bad, 0o600))
			got, d, err := readBlocksOf(t, l, 0, n)
			if err != nil || int(d.last) != len(got) || len(got) >= n {
				t.Fatalf("%d events, to %d: %v", len(got), d.last, err)
			}
			if !reflect.DeepEqual(want[:len(got)], append([]domain.Recorded{}, got...)) {
				t.Error("they are other events")
			}
			// The rest comes from the server.
			if all := collect(t, l.Read(t.Context(), 0)); !reflect.DeepEqual(want, all) {
				t.Errorf("with the server's there are %d events, or others", len(all))
			}
		})
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

// TestReadBlocksEnds: whoever leaves, or whose time is over, is not held up, and
// what cannot be decoded ends the reading in its place.
func TestReadBlocksEnds(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	const n = 2 * blockWorth
	appendMany(t, l, secretStream("s"), 0, 1, n)

	d := delivery{until: n}
	if err := l.readBlocks(t.Context(), &d, func(domain.Recorded, error) bool { return d.last < 5 }); !errors.Is(err, errLeft) || d.last != 5 {
		t.Errorf("left: %v at %d", err, d.last)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d = delivery{until: n}
	err := l.readBlocks(ctx, &d, func(domain.Recorded, error) bool { cancel(); return true })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v at %d", err, d.last)
	}
	l.meaning = func(ctx context.Context, m stored) (domain.Recorded, error) {
		if m.position == blockWorth {
			return domain.Recorded{}, &CorruptError{Position: m.position}
		}
		return l.interpret(ctx, m)
	}
	d = delivery{until: n}
	if err := l.readBlocks(t.Context(), &d, func(domain.Recorded, error) bool { return true }); !errors.Is(err, ErrCorrupt) || d.last != blockWorth-1 {
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

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
