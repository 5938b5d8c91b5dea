package eventstore

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// TestInProcessConn: a write does not wait for the reader, up to a bound; what
// was written arrives whole and in order.
func TestInProcessConn(t *testing.T) {
	client, server := net.Pipe()
	c := newInProcessConn(client)
	var sent []byte
	for n := range 10 { // nobody reads
		b := bytes.Repeat([]byte{byte(n)}, 1000*n)
		if got, err := c.Write(b); got != len(b) || err != nil {
			t.Fatalf("%d bytes: %d, %v", len(b), got, err)
		}
		sent = append(sent, b...)
		clear(b) // the caller's again
	}
	large := bytes.Repeat([]byte("large"), inProcessWaiting)
	sent = append(append(sent, large...), "last"...)
	var writing sync.WaitGroup
	writing.Go(func() {
		for _, b := range [][]byte{large, []byte("last")} { // the second waits for the reader
			if _, err := c.Write(b); err != nil {
				t.Error(err)
			}
		}
	})
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("other bytes arrived, %v", err)
	}
	writing.Wait()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if n, err := server.Read(got); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %d bytes, %v", n, err)
	}
}

// TestInProcessConnEnds: writers that wait are told of the end from either side,
// and what the server has not read is dropped.
func TestInProcessConnEnds(t *testing.T) {
	for name, end := range map[string]func(c *inProcessConn, server net.Conn) error{
		"closed here":  func(c *inProcessConn, _ net.Conn) error { return c.Close() },
		"closed there": func(_ *inProcessConn, server net.Conn) error { return server.Close() },
	} {
		client, server := net.Pipe()
		c := newInProcessConn(client)
		if err := c.SetDeadline(time.Now().Add(-time.Hour)); err != nil { // is for reads
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() {
			for {
				if _, err := c.Write(make([]byte, inProcessWaiting/2)); err != nil {
					failed <- err
					return
				}
			}
		}()
		first := make([]byte, 1)
		if _, err := io.ReadFull(server, first); err != nil {
			t.Fatal(err)
		}
		if err := end(c, server); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := <-failed; err == nil {
			t.Errorf("%s: a write succeeds", name)
		}
		if n, err := server.Read(first); n != 0 || err == nil {
			t.Errorf("%s: %d bytes arrive, %v", name, n, err)
		}
		_ = c.Close()
	}
}
