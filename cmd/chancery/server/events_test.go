package server_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// block is one block of an event stream.
type block struct{ id, event, data, comment string }

// events is an open event stream.
type events struct {
	res    *http.Response
	blocks *bufio.Scanner
	stop   context.CancelFunc
}

// openEvents opens a stream behind an id, "" for none.
func openEvents(t testing.TB, c caller, query, after string) *events {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/agent/secrets/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	var res *http.Response
	eventually(t, "a stream on a node that has just started", func() bool {
		if res, err = http.DefaultTransport.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusServiceUnavailable {
			return true
		}
		return res.Body.Close() != nil
	})
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("status %d, %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	e := &events{res: res, blocks: bufio.NewScanner(res.Body), stop: cancel}
	t.Cleanup(e.close)
	return e
}

func (e *events) close() {
	e.stop()
	_ = e.res.Body.Close()
}

// next reads a block; false at the end.
func (e *events) next() (b block, ok bool) {
	for e.blocks.Scan() {
		switch name, value, _ := strings.Cut(e.blocks.Text(), ": "); name {
		case "id":
			b.id = value
		case "event":
			b.event = value
		case "data":
			b.data = value
		case "":
			if value == "" {
				return b, true
			}
			b.comment = value
		}
	}
	return b, false
}

// event reads up to the next block that is an event or a comment.
func (e *events) event(t testing.TB) block {
	t.Helper()
	for {
		b, ok := e.next()
		if !ok {
			t.Fatalf("the stream ended: %v", e.blocks.Err())
		}
		if b.event != "" || b.comment != "" {
			return b
		}
	}
}

// TestEventsResume: a reader that is broken off at random places, once by a
// restart, sees every event that it may see once, in order, while others write.
func TestEventsResume(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	other := w.newTeam(t, "Other")
	stranger := w.newAgent(t, "stranger")
	w.grant(t, stranger, other, "writer")
	write := func(from, to int) *sync.WaitGroup {
		var writers sync.WaitGroup
		for i := range 3 {
			writers.Go(func() {
				for n := from; n < to; n++ {
					w.writer.create(t, w.team, fmt.Sprintf("s%d-%d", i, n), keyed("f", plain("x")))
					stranger.create(t, other, fmt.Sprintf("s%d-%d", i, n), keyed("f", plain("x")))
				}
			})
		}
		return &writers
	}
	last, seen, position := "0", map[string]bool{}, uint64(0)
	read := func(want int) {
		for len(seen) < want {
			e := openEvents(t, w.writer.caller, "?type=secret.created", last)
			for range rand.IntN(8) + 1 {
				b, ok := e.next()
				if !ok {
					break
				}
				at, err := strconv.ParseUint(b.id, 10, 64)
				if err != nil || at < position || b.event != "" && at == position {
					t.Fatalf("id %q after %d", b.id, position)
				}
				last, position = b.id, at
				if b.event == "" {
					continue
				}
				if b.event != "secret.created" || !strings.Contains(b.data, w.team.id) || seen[b.data] {
					t.Fatalf("not for this reader, or again: %+v", b)
				}
				if seen[b.data] = true; len(seen) == want {
					break
				}
			}
			e.close()
		}
	}
	writers := write(0, 10)
	read(30)
	writers.Wait()
	w.restart(t)
	stranger.url = w.URL
	writers = write(10, 15)
	read(45)
	writers.Wait()
}

// TestEventsRights: a grant and a revocation act on an open stream, and what
// was revoked does not show in old events either.
func TestEventsRights(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	reader := w.newAgent(t, "reader")
	home := w.newTeam(t, "Home")
	w.grant(t, reader, home, "viewer")
	e := openEvents(t, reader.caller, "?type=secret.created", "0")
	w.writer.create(t, w.team, "unseen", keyed("f", plain("x")))
	w.grant(t, w.writer, home, "writer")
	w.writer.create(t, home, "first", keyed("f", plain("x")))
	if b := e.event(t); !strings.Contains(b.data, `"first"`) {
		t.Fatalf("got %+v, want the first of its own scope", b)
	}
	w.grant(t, reader, w.team, "viewer")
	w.writer.create(t, w.team, "granted", keyed("f", plain("x")))
	if b := e.event(t); !strings.Contains(b.data, `"granted"`) {
		t.Fatalf("got %+v, want what was granted", b)
	}
	w.admin.do(t, http.MethodDelete, w.inOrg("agents", reader.id, "memberships", w.team.scope, w.team.id), nil).ok(t, 200)
	w.writer.create(t, w.team, "revoked", keyed("f", plain("x")))
	w.writer.create(t, home, "second", keyed("f", plain("x")))
	for name, stream := range map[string]*events{"open": e, "new": openEvents(t, reader.caller, "?type=secret.created", "0")} {
		var got []string
		for len(got) == 0 || !strings.Contains(got[len(got)-1], `"second"`) {
			got = append(got, stream.event(t).data)
		}
		if all := strings.Join(got, "\n"); strings.Contains(all, w.team.id) {
			t.Errorf("%s stream shows a revoked scope: %s", name, all)
		}
	}
	w.admin.do(t, http.MethodPatch, w.inOrg("agents", reader.id), map[string]any{"archived": true}).ok(t, 200)
	if b := e.event(t); b.comment != "unauthenticated" {
		t.Errorf("an archived agent's stream goes on: %+v", b)
	}
}

// TestEventsRefused: what is malformed is refused, a denial and an opening are
// recorded, and a stop ends open streams.
func TestEventsRefused(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	e := openEvents(t, w.writer.caller, "?type=secret.created", "")
	if _, ok := e.next(); !ok {
		t.Fatal("no first id")
	}
	for _, bad := range []string{"x", "-1", "01", "999999", "18446744073709551616"} {
		w.writer.do(t, http.MethodGet, "/agent/secrets/events", nil, header("Last-Event-ID", bad)).code(t, "invalid_request")
	}
	for _, bad := range []string{"?type=secret.none", "?scope=team", "?secretId=s", "?scope=x&scopeId=y", "?type=secret.created&type=secret.deleted", "?q=x"} {
		w.writer.do(t, http.MethodGet, "/agent/secrets/events"+bad, nil).code(t, "invalid_query")
	}
	rows := w.access(t, "actor", w.writer.id, "type", "subscribe", "outcome", "allowed")
	if len(rows) != 1 || rows[0].Detail != "type=secret.created" {
		t.Errorf("the record of the opening: %+v", rows)
	}
	w.restart(t)
	if b, ok := e.next(); !ok || b.comment != "shutting down" {
		t.Errorf("a stop did not end the stream: %+v", b)
	}
}
