package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

const (
	// connBuffer holds a whole answer of most workloads.
	connBuffer = 32 << 10
	// maxAnswer bounds an answer's body.
	maxAnswer = 16 << 20
)

var errAnswer = errors.New("the answer is no HTTP/1.1 answer")

// conn is one keep-alive connection. It reads what a Go server sends: a
// status, a length or chunks. One goroutine uses it at a time. It sets no
// deadlines, which would cost two system timers a request: whoever needs an end
// closes it.
type conn struct {
	net  net.Conn
	in   *bufio.Reader
	done bool // the server ends the connection after this answer
}

func dial(ctx context.Context, address string) (*conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{net: c, in: bufio.NewReaderSize(c, connBuffer)}, nil
}

func (c *conn) close() { _ = c.net.Close() }

// do sends a request and reads its answer to the end. The body goes into
// body if that is not nil. It gives the status and the body's length. After an
// error the connection is of no more use.
func (c *conn) do(request []byte, body *bytes.Buffer) (status, length int, err error) {
	if _, err := c.net.Write(request); err != nil {
		return 0, 0, err
	}
	h, err := c.head()
	if err != nil {
		return 0, 0, err
	}
	c.done = h.closes
	if !h.chunked {
		if h.length < 0 {
			return 0, 0, fmt.Errorf("%w: it has no length", errAnswer)
		}
		return h.status, h.length, c.take(h.length, body)
	}
	for {
		line, err := c.line()
		if err != nil {
			return 0, 0, err
		}
		size, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil || length+int(size) > maxAnswer {
			return 0, 0, fmt.Errorf("%w: a bad chunk", errAnswer)
		}
		if err := c.take(int(size), body); err != nil {
			return 0, 0, err
		}
		if line, err = c.line(); err != nil || len(line) != 0 {
			return 0, 0, errors.Join(fmt.Errorf("%w: a chunk does not end", errAnswer), err)
		}
		if size == 0 {
			return h.status, length, nil
		}
		length += int(size)
	}
}

func (c *conn) take(n int, body *bytes.Buffer) error {
	if body == nil {
		_, err := c.in.Discard(n)
		return err
	}
	_, err := io.CopyN(body, c.in, int64(n))
	return err
}

// head is what matters of an answer's head.
type head struct {
	status  int
	length  int // -1: not said
	chunked bool
	closes  bool
}

func (c *conn) head() (head, error) {
	h := head{length: -1}
	line, err := c.line()
	if err != nil {
		return h, err
	}
	code, ok := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !ok || len(code) < 3 {
		return h, errAnswer
	}
	if h.status, err = strconv.Atoi(string(code[:3])); err != nil || h.status < 200 {
		return h, fmt.Errorf("%w: a bad status", errAnswer)
	}
	for {
		line, err := c.line()
		if err != nil {
			return h, err
		}
		if len(line) == 0 {
			return h, nil
		}
		if err := h.header(line); err != nil {
			return h, err
		}
	}
}

// header reads one line. Most are told by their first letter alone.
func (h *head) header(line []byte) error {
	switch line[0] {
	case 'C', 'c', 'T', 't':
	default:
		return nil
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseUint(string(value), 10, 31)
		if err != nil || n > maxAnswer {
			return fmt.Errorf("%w: a bad length", errAnswer)
		}
		h.length = int(n)
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		h.chunked = bytes.EqualFold(value, []byte("chunked"))
	case bytes.EqualFold(name, []byte("Connection")):
		h.closes = bytes.EqualFold(value, []byte("close"))
	}
	return nil
}

// line gives the next line without its end; it is good until the next read.
func (c *conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	line = line[:len(line)-1]
	return bytes.TrimSuffix(line, []byte("\r")), nil
}
