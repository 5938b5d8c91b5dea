package eventstore

import (
	"net"
	"sync"
	"time"
)

const (
	// inProcessWaiting is how many bytes wait for the server before a writer does.
	inProcessWaiting = 1 << 20
	// inProcessKept is the largest buffer that is used again.
	inProcessKept = 256 << 10
)

// inProcessConn is this process's end of a pipe to the embedded server. A pipe
// has no buffer: a write returns when the server has read all of it, and the
// client holds the lock of its connection meanwhile, so every publisher and
// every answer would wait until the server's reader gets a processor. Here a
// write returns at once, as it does on a socket.
//
// Close drops what the server has not read: a message of a connection that is
// over must not come behind those of the next one.
type inProcessConn struct {
	net.Conn

	mu      sync.Mutex
	changed sync.Cond // waiting or err
	waiting []byte
	err     error // of the pipe, for good
}

func newInProcessConn(pipe net.Conn) *inProcessConn {
	c := &inProcessConn{Conn: pipe}
	c.changed.L = &c.mu
	go c.send()
	return c
}

// Write implements [net.Conn]. Nil means that b will be sent, unless the
// connection ends before.
func (c *inProcessConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && len(c.waiting) >= inProcessWaiting {
		c.changed.Wait()
	}
	if c.err != nil {
		return 0, c.err
	}
	c.waiting = append(c.waiting, b...)
	c.changed.Broadcast()
	return len(b), nil
}

// send writes what waits into the pipe until the connection ends.
func (c *inProcessConn) send() {
	var sending []byte
	for {
		c.mu.Lock()
		for c.err == nil && len(c.waiting) == 0 {
			c.changed.Wait()
		}
		if c.err != nil {
			c.mu.Unlock()
			return
		}
		if cap(sending) > inProcessKept {
			sending = nil
		}
		sending, c.waiting = c.waiting, sending[:0]
		c.changed.Broadcast()
		c.mu.Unlock()
		if _, err := c.Conn.Write(sending); err != nil {
			c.fail(err)
		}
	}
}

func (c *inProcessConn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	c.changed.Broadcast()
}

// Close implements [net.Conn].
func (c *inProcessConn) Close() error {
	c.fail(net.ErrClosed)
	return c.Conn.Close()
}

// SetWriteDeadline implements [net.Conn]; writes do not wait for the server.
func (*inProcessConn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline implements [net.Conn], for reads alone.
func (c *inProcessConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }
