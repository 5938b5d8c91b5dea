package eventstore

import (
	"crypto/sha256"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/chancery-dev/chancery/domain"
)

// TestForeign: a message that is no event stops every reading, with position
// and digest, until it is listed; then it is passed on as raw bytes.
func TestForeign(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	after := mustAppend(t, l, secretStream("s"), 0, fieldSet(1, 1)).Position
	foreign := map[uint64][32]byte{}
	for _, m := range []*nats.Msg{
		{Subject: domain.SubjectPrefix + "status", Data: []byte("no headers")},
		{Subject: domain.SubjectPrefix + secretStream("s").Subject(), Header: nats.Header{"A": {"b"}}, Data: []byte("x")},
		{Subject: domain.SubjectPrefix + "status", Header: nats.Header{"Status": {"404"}}},
	} {
		ack, err := l.js.PublishMsg(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		var raw []byte
		if m.Header != nil {
			raw = []byte("NATS/1.0\r\n")
			for name, values := range m.Header {
				raw = append(raw, name+": "+values[0]+"\r\n"...)
			}
			raw = append(raw, "\r\n"...)
		}
		foreign[ack.Sequence] = sha256.Sum256(append(raw, m.Data...))
	}
	// An append must expect the foreign message on its subject.
	if _, err := l.Append(t.Context(), secretStream("s"), after, fieldSet(2, 2)); !errors.Is(err, ErrConflict) {
		t.Errorf("got %v", err)
	}
	last := mustAppend(t, l, secretStream("s"), 3, fieldSet(2, 2))
	for _, follow := range []bool{false, true} {
		seen, err := readUntil(t, l, follow, last.Position)
		corrupt := &CorruptError{}
		if !errors.As(err, &corrupt) || corrupt.Position != 2 || corrupt.Digest != foreign[2] || len(seen) != 1 {
			t.Errorf("%d events, then %v", len(seen), err)
		}
	}
	known, err := OpenJetStream(t.Context(), nc, Options{Foreign: foreign, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, follow := range []bool{false, true} {
		seen, err := readUntil(t, known, follow, last.Position)
		if err != nil || len(seen) != int(last.Position) {
			t.Fatalf("%d events, then %v", len(seen), err)
		}
		for i, r := range seen {
			digest, isForeign := foreign[uint64(i+1)]
			if isForeign && (r.Event != nil || r.Version != 0 || sha256.Sum256(r.Raw) != digest) || r.Position != uint64(i+1) {
				t.Errorf("%d: %+v", i+1, r)
			}
			if onStream := r.Stream == secretStream("s"); onStream != (i+1 != 2 && i+1 != 4) {
				t.Errorf("%d: stream %v", i+1, r.Stream)
			}
		}
	}
	wrong := map[uint64][32]byte{2: foreign[3], 3: foreign[3], 4: foreign[4]}
	strict, err := OpenJetStream(t.Context(), nc, Options{Foreign: wrong})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readUntil(t, strict, false, last.Position); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a listed position with another message: %v", err)
	}
}

func readUntil(t *testing.T, l Log, follow bool, last uint64) (seen []domain.Recorded, err error) {
	events := l.Read(t.Context(), 0)
	if follow {
		events = l.Follow(t.Context(), 0)
	}
	for r, err := range events {
		if err != nil {
			return seen, err
		}
		if seen = append(seen, r); r.Position == last {
			break
		}
	}
	return seen, nil
}

// TestMissingEvent: a position without a message is corruption, found by
// Verify and by every reading.
func TestMissingEvent(t *testing.T) {
	nc := startExternal(t, server.Options{}).connect() // the embedded log would stop at such a file
	l := openLog(t, nc)
	// Deletion is denied, so the stream is made without that first.
	config := eventsConfig(1)
	config.DenyDelete = false
	if err := l.js.DeleteStream(t.Context(), EventsStream); err != nil {
		t.Fatal(err)
	}
	stream := makeStream(t, l.js, config)
	appendMany(t, l, secretStream("s"), 0, 1, 4)
	if err := stream.DeleteMsg(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if _, err := readUntil(t, l, true, 4); !errors.Is(err, ErrCorrupt) || corruption(err).Position != 2 {
		t.Errorf("following: %v", err)
	}
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := verifyComplete(EventsStream, info.State); !errors.Is(err, ErrCorrupt) {
		t.Errorf("verifying: %v", err)
	}
}

// TestFill: what a consumer fails to deliver is asked for one by one.
func TestFill(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	for i := range uint64(6) { // two streams in turn
		mustAppend(t, l, secretStream(domain.SecretID("s"+string(rune('a'+i%2)))), max(i, 1)-1, fieldSet(i+1, i/2+1))
	}
	subject := domain.SubjectPrefix + secretStream("sb").Subject()
	for _, tt := range []struct {
		d     delivery
		limit uint64
		want  []uint64
	}{
		{delivery{last: 1}, 3, []uint64{2, 3, 4}},
		{delivery{last: 1}, 1, []uint64{2}},
		{delivery{last: 1}, 0, nil},
		{delivery{last: 4}, 9, []uint64{5, 6}},
		{delivery{last: 1, until: 2}, 9, []uint64{2}},
		{delivery{last: 2, filter: subject}, 2, []uint64{4}},
		{delivery{last: 2, filter: subject}, 9, []uint64{4, 6}},
	} {
		var got []uint64
		err := l.fill(t.Context(), &tt.d, tt.limit, func(r domain.Recorded, _ error) bool {
			got = append(got, r.Position)
			return true
		})
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %v, %v", tt.d, got, err)
		}
	}
}

// TestReadOne: whoever takes one event of a long log costs no block of it.
func TestReadOne(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	var after uint64
	for n := uint64(1); n <= longRead+10; n++ {
		p := fieldSet(n, n)
		p.Event = domain.FieldSet{Field: sealed(eventID(n), "host", strings.Repeat("v", 16<<10))}
		after = mustAppend(t, l, secretStream("s"), after, p).Position
	}
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	for r, err := range l.Read(t.Context(), 4) {
		if err != nil || r.Position != 5 {
			t.Errorf("event %d, %v", r.Position, err)
		}
		break
	}
	runtime.ReadMemStats(&now)
	if bytes := now.TotalAlloc - before.TotalAlloc; bytes > 1<<20 {
		t.Errorf("one event of 16 KiB took %d bytes of memory", bytes)
	}
}
