package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
)

// accessRig is an access log under test with a switchable fault.
type accessRig struct {
	AccessReadWriter
	restart func()
	intrude func(data []byte)
	rig     *rig // for its fault
}

var accessBackends = map[string]func(t testing.TB) *accessRig{
	"memory": func(t testing.TB) *accessRig {
		r := &accessRig{restart: func() {}, rig: &rig{}}
		l := NewMemoryAccessLog(time.Now, r.rig.hook)
		r.AccessReadWriter = l
		r.rig.hold = func() *heldSync { return r.rig.holdMemory(t) }
		r.intrude = func(data []byte) { l.broker.intrude(accessSubject, data, false) }
		return r
	},
	// Others may append, too: followed by consumers.
	"jetstream": func(t testing.TB) *accessRig {
		return newAccessRig(t, func(l *AccessLog) { l.sync, l.tail = nil, nil })
	},
	"embedded": func(t testing.TB) *accessRig {
		var l *AccessLog
		r := newAccessRig(t, func(opened *AccessLog) { l = opened })
		r.rig.hold = func() *heldSync { return holdFiles(t, l.nc) }
		return r
	},
}

func newAccessRig(t testing.TB, opened func(*AccessLog)) *accessRig {
	dir := t.TempDir()
	e, nc := startEmbedded(t, dir)
	r := &accessRig{rig: &rig{}}
	var l *AccessLog
	open := func() {
		l = openAccessLog(t, nc, 0)
		l.fault = r.rig.hook
		opened(l)
		r.AccessReadWriter = l
	}
	open()
	r.restart = func() {
		stopEmbedded(t, e, nc)
		e, nc = startEmbedded(t, dir)
		open()
	}
	r.intrude = func(data []byte) {
		if _, err := l.js.Publish(t.Context(), accessSubject, data); err != nil {
			t.Error(err)
		}
	}
	return r
}

func openAccessLog(t testing.TB, nc *nats.Conn, maxAge time.Duration) *AccessLog {
	t.Helper()
	l, err := OpenAccessLog(t.Context(), nc, AccessOptions{MaxAge: maxAge, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// accessOf gives a small record, different for each n.
func accessOf(n int) domain.Access {
	return domain.Access{
		Action: string(domain.ActionRead), Outcome: domain.OutcomeAllowed, Time: sampleTime,
		Origin: domain.Origin{RequestID: fmt.Sprint("r", n)},
	}
}

func accessData(ns ...int) (data []byte) {
	for _, n := range ns {
		a := accessOf(n)
		data = appendAccess(data, &a)
	}
	return data
}

func mustAppendAccess(t testing.TB, l AccessReadWriter, ns ...int) uint64 {
	t.Helper()
	position, err := l.Append(t.Context(), accessData(ns...), nil)
	if err != nil {
		t.Fatal(err)
	}
	return position
}

// positions collects a reading until it ends or has given a position.
func positions(t testing.TB, messages iter.Seq2[domain.AccessMessage, error], last uint64) (seen []uint64, err error) {
	t.Helper()
	for m, err := range messages {
		if err != nil {
			return seen, err
		}
		if seen = append(seen, m.Position); m.Position == last {
			break
		}
	}
	return seen, nil
}

func checkPositions(t testing.TB, what string, messages iter.Seq2[domain.AccessMessage, error], first, last uint64) {
	t.Helper()
	var want []uint64
	for p := first; p <= last; p++ {
		want = append(want, p)
	}
	if got, err := positions(t, messages, last); err != nil || !cmp.Equal(want, got) {
		t.Errorf("%s: %v, %v", what, got, err)
	}
}

// TestAccessConformance is the one suite that every access log passes.
func TestAccessConformance(t *testing.T) {
	for backend, open := range accessBackends {
		for name, test := range map[string]func(*testing.T, *accessRig){
			"append and read": testAccessAppendRead,
			"outcomes":        testAccessOutcomes,
			"corrupt":         testAccessCorrupt,
			"contexts":        testAccessContexts,
			"restart":         testAccessRestart,
			"held sync":       testAccessHeldSync,
		} {
			t.Run(backend+"/"+name, func(t *testing.T) { test(t, open(t)) })
		}
	}
}

func testAccessAppendRead(t *testing.T, r *accessRig) {
	empty, err := r.Status(t.Context())
	if err != nil || empty.First != 0 || empty.Head != 0 || empty.Created.IsZero() {
		t.Errorf("empty: %+v, %v", empty, err)
	}
	checkPositions(t, "empty", r.Read(t.Context(), 0), 1, 0)
	for i := range 5 {
		if got := mustAppendAccess(t, r, i, 100+i); got != uint64(i+1) {
			t.Errorf("position %d", got)
		}
	}
	n := 0
	for m, err := range r.Read(t.Context(), 0) {
		want := domain.AccessMessage{
			Position: uint64(n + 1), Raw: accessData(n, 100+n),
			Records: []domain.Access{accessOf(n), accessOf(100 + n)},
		}
		if diff := cmp.Diff(want, m); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		n++
	}
	n = 0
	for m, err := range r.Follow(t.Context(), 0) {
		if n++; err != nil || m.Position != uint64(n) || !cmp.Equal(m.Raw, accessData(n-1, 99+n)) || len(m.Records) != 2 {
			t.Errorf("followed to %+v, %v", m, err)
		}
		if n == 5 {
			break
		}
	}
	for after := range uint64(7) {
		checkPositions(t, "Read", r.Read(t.Context(), after), after+1, 5)
	}
	checkPositions(t, "Follow", r.Follow(t.Context(), 2), 3, 5)
	next, stop := iter.Pull2(r.Follow(t.Context(), 5))
	defer stop()
	mustAppendAccess(t, r, 6)
	want := domain.AccessMessage{Position: 6, Raw: accessData(6), Records: []domain.Access{accessOf(6)}}
	if m, err, ok := next(); !ok || err != nil || !cmp.Equal(want, m) {
		t.Errorf("what came later: %v, %v", err, cmp.Diff(want, m))
	}
	if _, err := positions(t, r.Follow(t.Context(), 7), 8); !errors.Is(err, ErrReplaced) {
		t.Errorf("from beyond the head: %v", err)
	}
	if s, err := r.Status(t.Context()); err != nil || s.First != 1 || s.Head != 6 || !s.Created.Equal(empty.Created) {
		t.Errorf("%+v, %v", s, err)
	}
	if err := r.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// testAccessOutcomes: nil means stored, ErrUnavailable not stored, and what is
// not known is never called either (invariant 3).
func testAccessOutcomes(t *testing.T, r *accessRig) {
	var stored uint64
	for _, tt := range []struct {
		name  string
		apply bool
		err   error
		want  error
	}{
		{"no fault", true, nil, nil},
		{"stored, answer lost", true, errLost, ErrUncertain},
		{"not stored, answer lost", false, errLost, ErrUncertain},
		{"timeout", true, context.DeadlineExceeded, ErrUncertain},
		{"unavailable", false, ErrUnavailable, ErrUnavailable},
		{"no room", false, &jetstream.APIError{Code: 500, ErrorCode: 10023}, ErrUnavailable},
		{"failed write", true, &jetstream.APIError{Code: 503, ErrorCode: 10077}, ErrUncertain},
	} {
		r.rig.inject(func(Op) (bool, error) { return tt.apply, tt.err })
		_, err := r.Append(t.Context(), accessData(1), nil)
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if n := r.rig.count(OpAppend); n != 1 {
			t.Errorf("%s: sent %d times", tt.name, n)
		}
		if tt.apply {
			stored++
		}
		if s, err := r.Status(t.Context()); err != nil || s.Head != stored {
			t.Errorf("%s: head %d, %v", tt.name, s.Head, err)
		}
	}
	r.rig.inject(func(Op) (bool, error) { t.Error("sent"); return true, nil })
	for _, n := range []int{0, MaxAccessMessage + 1} {
		if _, err := r.Append(t.Context(), make([]byte, n), nil); !errors.Is(err, ErrRefused) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// testAccessCorrupt: what is no message of access records ends every reading,
// and is named.
func testAccessCorrupt(t *testing.T, r *accessRig) {
	mustAppendAccess(t, r, 1)
	r.intrude([]byte("no record\n"))
	mustAppendAccess(t, r, 3)
	for _, messages := range []iter.Seq2[domain.AccessMessage, error]{r.Read(t.Context(), 0), r.Follow(t.Context(), 0)} {
		seen, err := positions(t, messages, 3)
		if !errors.Is(err, ErrCorrupt) || len(seen) != 1 || corruption(err).Position != 2 {
			t.Errorf("%v, %v", seen, err)
		}
	}
}

func testAccessContexts(t *testing.T, r *accessRig) {
	mustAppendAccess(t, r, 1)
	mustAppendAccess(t, r, 2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, last = range r.Read(ctx, 0) {
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("ended between two messages: %v", last)
	}
	for m, err := range r.Follow(ctx, 0) {
		t.Errorf("an ended context yields %v, %v", m.Position, err)
	}
	if _, err := r.Append(ctx, accessData(3), nil); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("appending: %v", err)
	}
	if s, err := r.Status(t.Context()); err != nil || s.Head != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

func testAccessRestart(t *testing.T, r *accessRig) {
	mustAppendAccess(t, r, 1, 2)
	mustAppendAccess(t, r, 3)
	before, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.restart()
	after, err := r.Status(t.Context())
	if err != nil || !after.Created.Equal(before.Created) || after.Head != 2 {
		t.Errorf("%+v, then %+v, %v", before, after, err)
	}
	checkPositions(t, "Read", r.Read(t.Context(), 0), 1, 2)
}

// expireAccess sets a short age and waits until everything before a position
// has expired.
func expireAccess(t testing.TB, nc *nats.Conn, first uint64) *AccessLog {
	t.Helper()
	l := openAccessLog(t, nc, 100*time.Millisecond)
	waitFor(t, func() bool { s, err := l.Status(t.Context()); return err == nil && s.First == first })
	return l
}

// TestAccessExpiry: what has expired is passed over by every reading, what is
// left is dense, and positions go on. The retention can be changed.
func TestAccessExpiry(t *testing.T) {
	dir := t.TempDir()
	e, nc := startEmbedded(t, dir)
	l := openAccessLog(t, nc, 0)
	for i := range 3 {
		mustAppendAccess(t, l, i)
	}
	follower, stop := iter.Pull2(l.Follow(t.Context(), 2))
	defer stop()
	if m, err, _ := follower(); err != nil || m.Position != 3 {
		t.Fatal(m.Position, err)
	}
	short := expireAccess(t, nc, 4)
	checkSetting(t, l.Verify(t.Context()), AccessStream, "max_age")
	if s, err := short.Status(t.Context()); err != nil || s.Head != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	checkPositions(t, "all expired", short.Read(t.Context(), 0), 4, 3)
	if err := short.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	// From here on nothing expires during the test.
	long := openAccessLog(t, nc, time.Hour)
	late := tailFollower[domain.AccessMessage]{log: &long.reader, yield: func(m domain.AccessMessage, _ error) bool {
		t.Errorf("position %d is still there", m.Position)
		return true
	}}
	if err := late.read(t.Context(), 3); err != nil || late.last != 3 {
		t.Errorf("a follower stands at %d before what has expired, %v", late.last, err)
	}
	mustAppendAccess(t, long, 4)
	mustAppendAccess(t, long, 5)
	for after := range uint64(3) {
		checkPositions(t, "Read", long.Read(t.Context(), after), 4, 5)
		checkPositions(t, "Follow", long.Follow(t.Context(), after), 4, 5)
	}
	checkPositions(t, "Read after 4", long.Read(t.Context(), 4), 5, 5)
	if m, err, _ := follower(); err != nil || m.Position != 4 {
		t.Errorf("a follower from before: %v, %v", m.Position, err)
	}
	stop()
	stopEmbedded(t, e, nc)
	_, nc = startEmbedded(t, dir)
	again := openAccessLog(t, nc, time.Hour)
	if s, err := again.Status(t.Context()); err != nil || s.First != 4 || s.Head != 5 {
		t.Errorf("after a restart: %+v, %v", s, err)
	}
}

// TestAccessExpiredFollow: a follower does not wait for the disk to have what
// has expired: after a start no block has it any more.
func TestAccessExpiredFollow(t *testing.T) {
	dir := t.TempDir()
	e, nc := startEmbedded(t, dir)
	l := openAccessLog(t, nc, 0)
	for i := range 3 {
		mustAppendAccess(t, l, i)
	}
	expireAccess(t, nc, 4)
	stopEmbedded(t, e, nc)
	_, nc = startEmbedded(t, dir)
	again := openAccessLog(t, nc, time.Hour)
	f := tailFollower[domain.AccessMessage]{log: &again.reader, yield: func(m domain.AccessMessage, _ error) bool {
		t.Errorf("position %d is still there", m.Position)
		return true
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := f.compare(ctx); err != nil || f.last != 3 {
		t.Errorf("the follower stands at %d, %v", f.last, err)
	}
	next, stop := iter.Pull2(again.Follow(t.Context(), 0))
	defer stop()
	mustAppendAccess(t, again, 4)
	if m, err, _ := next(); err != nil || m.Position != 4 {
		t.Errorf("what comes next: %d, %v", m.Position, err)
	}
}

// TestMemoryAccessExpiry: the log in memory passes over what has expired too.
func TestMemoryAccessExpiry(t *testing.T) {
	l := NewMemoryAccessLog(time.Now, nil)
	for i := range 4 {
		mustAppendAccess(t, l, i)
	}
	l.Expire(2)
	checkPositions(t, "Read", l.Read(t.Context(), 0), 3, 4)
	checkPositions(t, "Follow", l.Follow(t.Context(), 1), 3, 4)
	l.Expire(9)
	checkPositions(t, "all expired", l.Read(t.Context(), 0), 5, 4)
	mustAppendAccess(t, l, 5)
	if s, err := l.Status(t.Context()); err != nil || s.First != 5 || s.Head != 5 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestAccessExpiryAhead: a bounded reading whose end expires while it runs
// ends, and gives nothing that came later.
func TestAccessExpiryAhead(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openAccessLog(t, nc, time.Hour)
	for i := range 4 {
		mustAppendAccess(t, l, i)
	}
	next, stop := iter.Pull2(l.Read(t.Context(), 0))
	defer stop()
	expire := func() {
		expireAccess(t, nc, 5)
		openAccessLog(t, nc, time.Hour)
	}
	expire()
	mustAppendAccess(t, l, 5)
	if m, err, ok := next(); ok || err != nil {
		// The reading began with next, so its end is the head of then.
		if m.Position != 5 || err != nil {
			t.Errorf("%v, %v", m.Position, err)
		}
	}
	d := delivery{until: 4}
	if err := l.consume(t.Context(), &d, func(m domain.AccessMessage, err error) bool {
		t.Errorf("%v, %v", m.Position, err)
		return true
	}); err != nil {
		t.Error(err)
	}
	d = delivery{last: 3, until: 4}
	if err := l.hand(t.Context(), &d, stored{subject: accessSubject, position: 5, data: accessData(5)}, func(domain.AccessMessage, error) bool {
		t.Error("a message behind the end")
		return true
	}); err != nil || !d.done() {
		t.Error(err)
	}
}

// TestAccessHole: a message that is missing in the middle has not expired.
func TestAccessHole(t *testing.T) {
	nc := startExternal(t, server.Options{}).connect() // the embedded log would stop at such a file
	l := openAccessLog(t, nc, 0)
	config := accessConfig(1, 0)
	config.DenyDelete = false // a change of which is refused, so made anew
	if err := l.js.DeleteStream(t.Context(), AccessStream); err != nil {
		t.Fatal(err)
	}
	stream := makeStream(t, l.js, config)
	for i := range 5 {
		mustAppendAccess(t, l, i)
	}
	for _, p := range []uint64{1, 3} {
		if err := stream.DeleteMsg(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	for _, messages := range []iter.Seq2[domain.AccessMessage, error]{l.Read(t.Context(), 0), l.Follow(t.Context(), 0)} {
		seen, err := positions(t, messages, 5)
		if !errors.Is(err, ErrCorrupt) || corruption(err).Position != 3 || !cmp.Equal(seen, []uint64{2}) {
			t.Errorf("%v, %v", seen, err)
		}
	}
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := verifyDense(AccessStream, info.State); !errors.Is(err, ErrCorrupt) || corruption(err).Position != 0 {
		t.Errorf("what is gone: %v", err)
	}
	checkSetting(t, l.Verify(t.Context()), AccessStream, "deny_delete")
	_, err = OpenAccessLog(t.Context(), nc, AccessOptions{MaxAge: time.Hour})
	checkSetting(t, err, AccessStream, "deny_delete")
	if info, err = stream.Info(t.Context()); err != nil || info.Config.MaxAge != 0 {
		t.Errorf("a stream that is wrong in more was changed: %v, %v", info.Config.MaxAge, err)
	}
}

// TestAccessFollowLost: following goes on without gap or repeat when the
// server forgets the consumer, and when it restarts (invariant 5).
func TestAccessFollowLost(t *testing.T) {
	x := startExternal(t, server.Options{})
	nc := x.connect()
	l := openAccessLog(t, nc, 0)
	next, stop := iter.Pull2(l.Follow(t.Context(), 0))
	defer stop()
	for round := range uint64(3) {
		mustAppendAccess(t, l, int(round))
		if m, err, _ := next(); err != nil || m.Position != round+1 {
			t.Fatalf("%v, %v", m.Position, err)
		}
		switch round {
		case 0:
			stream, err := l.js.Stream(t.Context(), AccessStream)
			if err != nil {
				t.Fatal(err)
			}
			for name := range stream.ConsumerNames(t.Context()).Name() {
				if err := stream.DeleteConsumer(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		case 1:
			x.stop()
			waitFor(t, func() bool { return !nc.IsConnected() })
			if _, err := l.Append(t.Context(), accessData(9), nil); !errors.Is(err, ErrUnavailable) {
				t.Errorf("appending offline: %v", err)
			}
			x.start()
			waitFor(t, func() bool { _, err := l.Status(t.Context()); return err == nil })
		}
	}
}

// TestAccessAppendAfter: whatever becomes of an acknowledgement, the only writer
// stores a message once, at the position that it expects.
func TestAccessAppendAfter(t *testing.T) {
	r := accessBackends["embedded"](t)
	l, ok := r.AccessReadWriter.(*AccessLog)
	if !ok {
		t.Fatal("not an access log")
	}
	add := func(after uint64, n int) error { return l.AppendAfter(t.Context(), after, accessData(n), nil) }
	if err := add(0, 0); err != nil {
		t.Fatal(err)
	}
	for after := 1; after <= 2; after++ {
		apply := after == 1
		r.rig.inject(func(Op) (bool, error) { return apply, errLost })
		if err := add(uint64(after), after); !errors.Is(err, ErrUncertain) {
			t.Fatalf("a lost acknowledgement: %v", err)
		}
		r.rig.inject(nil)
		for range 2 {
			if err := add(uint64(after), after); err != nil {
				t.Fatalf("again: %v", err)
			}
		}
	}
	for _, after := range []uint64{0, 1, 7} { // two that are taken, one that comes too early
		if err := add(after, 9); !errors.Is(err, ErrConflict) {
			t.Errorf("after %d: %v", after, err)
		}
	}
	checkPositions(t, "once each", l.Read(t.Context(), 0), 1, 3)
	checkPositions(t, "followed", l.Follow(t.Context(), 0), 1, 3)
}
