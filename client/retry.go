package client

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// Bounds of the wait before a repeat.
const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
	// maxRetryAfter is the longest advice that is followed; a server that
	// asks for more has the call fail instead.
	maxRetryAfter = 30 * time.Second
)

// attempts sends a call until it has a verdict, the retries are used up or
// ctx ends, and gives the body of the success.
func (c *Client) attempts(ctx context.Context, k *call) ([]byte, error) {
	var body []byte
	if k.body != nil {
		var err error
		if body, err = json.Marshal(k.body); err != nil {
			return nil, fmt.Errorf("client: encoding the request: %w", err)
		}
	}
	if k.kind.writes() && k.idempotencyKey == "" {
		var err error
		if k.idempotencyKey, err = c.newIdempotencyKey(); err != nil {
			return nil, err
		}
	}
	// open says that an attempt so far may have been stored.
	open := false
	fail := func(err error) error {
		if open && !settles(err) {
			return &OutcomeUnknownError{IdempotencyKey: k.idempotencyKey, Err: err}
		}
		return err
	}
	for n := 0; ; n++ {
		got, err := c.attempt(ctx, k, body)
		if err == nil {
			return got, nil
		}
		open = open || k.kind.writes() && leavesOpen(err)
		if n >= c.maxRetries || ctx.Err() != nil || !k.kind.repeats(err) {
			return nil, fail(err)
		}
		d, randErr := c.backoff(n, err)
		if randErr != nil {
			return nil, fail(errors.Join(err, randErr))
		}
		if waitErr := c.wait(ctx, d); waitErr != nil {
			return nil, fail(fmt.Errorf("%w: gave up waiting for a repeat: %w", err, waitErr))
		}
	}
}

// repeats says whether a call that failed so may be sent again.
func (k kind) repeats(err error) bool {
	p, ok := asProblem(err)
	if ok && p.RetryAfter > maxRetryAfter {
		return false
	}
	if k == exchange {
		return ok && p.Status == http.StatusServiceUnavailable || !ok && neverSent(err) && !untrusted(err)
	}
	if !ok {
		return !errors.Is(err, errAnswer) && !untrusted(err)
	}
	switch p.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// neverSent says that no connection was made, so nobody saw the request.
func neverSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial" || untrusted(err)
}

// untrusted says that the server's certificate was refused, before any byte
// of the request was sent. Trying again does not help.
func untrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// leavesOpen says that the attempt may have been stored although it failed.
func leavesOpen(err error) bool {
	p, ok := asProblem(err)
	if !ok {
		return !neverSent(err)
	}
	if p.foreign {
		// A proxy knows nothing about what it passed on.
		return p.Status >= 300 && p.Status < 400 || p.Status >= 500
	}
	// Any other refusal by the server says that nothing was stored.
	return p.Code == domain.CodeOutcomeUnknown || p.Status == http.StatusInternalServerError
}

// settles says that the refusal was decided after the server had looked the
// Idempotency-Key up: an earlier attempt was not stored, or the answer is its
// result. Refusals that come before that look-up tell nothing about it.
func settles(err error) bool {
	p, ok := asProblem(err)
	if !ok || p.foreign {
		return false
	}
	switch p.Status {
	case http.StatusNotFound:
		return p.Code != domain.CodeRouteNotFound
	case http.StatusConflict, http.StatusGone, http.StatusPreconditionFailed, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// backoff gives the wait before repeat n (from 0): full jitter under a
// doubling bound, after the time that the server asked for.
func (c *Client) backoff(n int, err error) (time.Duration, error) {
	bound := maxBackoff
	if n < 6 {
		bound = min(bound, firstBackoff<<n)
	}
	var b [8]byte
	if _, err := io.ReadFull(c.rand, b[:]); err != nil {
		return 0, fmt.Errorf("client: drawing jitter: %w", err)
	}
	d := time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(bound)) //nolint:gosec // G115: bound is positive and the remainder below it.
	if p, ok := asProblem(err); ok {
		d += p.RetryAfter
	}
	return d, nil
}
