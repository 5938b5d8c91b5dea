package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestOrigin: a request that had to wait for its connection counts from when it
// was due, one whose connection was free from when it was sent.
func TestOrigin(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	for _, test := range []struct{ due, free, sent, want time.Time }{
		{at(10), at(50), at(50), at(10)},
		{at(10), at(5), at(11), at(11)},
		{time.Time{}, at(5), at(6), at(6)},
	} {
		if got := origin(test.due, test.free, test.sent); !got.Equal(test.want) {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

// TestPace: requests are due at fixed times, however late the ones before are.
func TestPace(t *testing.T) {
	begin := time.UnixMilli(1000)
	p := newPace(begin, 100, 3)
	for i := range 3 {
		if due, ok := p.take(); !ok || !due.Equal(begin.Add(time.Duration(i)*10*time.Millisecond)) {
			t.Errorf("%d: %v %v", i, due, ok)
		}
	}
	if _, ok := p.take(); ok {
		t.Error("more than there are")
	}
}

func TestTemplate(t *testing.T) {
	w := newTemplate([]byte("GET /" + subjectMark + "/" + freshMark + "/" + subjectMark))
	if got := string(w.fill(42, 7)); got != "GET /000000042/000000000007/000000042" {
		t.Error(got)
	}
	if got := string(w.fill(1, 8)); got != "GET /000000001/000000000008/000000001" {
		t.Error(got)
	}
}

// server answers as a handler says.
func server(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func get(address string) []byte { return []byte("GET / HTTP/1.1\r\nHost: " + address + "\r\n\r\n") }

// TestConn reads answers with a length and in chunks, one after the other on
// one connection.
func TestConn(t *testing.T) {
	var n atomic.Int64
	address := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "short")
			return
		}
		for range 3 {
			_, _ = io.WriteString(w, strings.Repeat("x", 5000))
			w.(http.Flusher).Flush() //nolint:errcheck,forcetypeassert // httptest's can.
		}
	})
	c, err := dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for i := range 4 {
		var body bytes.Buffer
		status, length, err := c.do(get(address), &body)
		want, size := http.StatusOK, 15000
		if i%2 == 1 {
			want, size = http.StatusTeapot, 5
		}
		if err != nil || status != want || length != size || body.Len() != size {
			t.Errorf("%d: status %d, %d bytes, %v", i, status, length, err)
		}
	}
}

// TestLoad: only answers of the status and length that they must have are
// operations, and a server that goes away ends the run.
func TestLoad(t *testing.T) {
	var n atomic.Int64
	address := server(t, func(w http.ResponseWriter, _ *http.Request) {
		switch n.Add(1) % 4 {
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1:
			_, _ = io.WriteString(w, "x")
		default:
			_, _ = io.WriteString(w, "long enough")
		}
	})
	l := load{
		address: address, conns: 3, duration: time.Minute, ops: 40, status: http.StatusOK, least: 5,
		source: func(int) next { return func() []byte { return get(address) } },
	}
	tally, _, err := l.run(t.Context())
	if err != nil || tally.ops() != 20 || tally.wrong[http.StatusServiceUnavailable] != 10 || tally.wrong[http.StatusOK] != 10 || tally.broken != 0 {
		t.Errorf("%d ops, %v wrong, %d broken, %v", tally.ops(), tally.wrong, tally.broken, err)
	}
	l.address = "127.0.0.1:1"
	if _, _, err := l.run(t.Context()); err == nil {
		t.Error("a load of nobody")
	}
}

func TestMedians(t *testing.T) {
	runs := []result{{work: "a", conns: 1, rate: 3}, {work: "b", conns: 1, rate: 9}, {work: "a", conns: 1, rate: 1, errors: 2}, {work: "a", conns: 1, rate: 2}}
	got := medians(runs)
	if len(got) != 2 || got[0].rate != 2 || got[0].errors != 2 || got[1].rate != 9 {
		t.Errorf("%+v", got)
	}
}

// BenchmarkClients compares the client of a load with net/http's.
func BenchmarkClients(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	defer s.Close()
	address := strings.TrimPrefix(s.URL, "http://")
	b.Run("conn", func(b *testing.B) {
		c, err := dial(context.Background(), address)
		if err != nil {
			b.Fatal(err)
		}
		defer c.close()
		request := get(address)
		for b.Loop() {
			if _, _, err := c.do(request, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("net-http", func(b *testing.B) {
		for b.Loop() {
			res, err := http.Get(s.URL) //nolint:noctx // what it costs with as little as can be.
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	})
}
