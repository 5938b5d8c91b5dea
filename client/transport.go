package client

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"

	"github.com/chancery-dev/chancery/httpapi/wire"
)

// maxAnswer bounds an answer in bytes. The largest legal one is a page of
// 1,000 secrets with 64 fields and 32 tags each.
const maxAnswer = 64 << 20

// errAnswer is an answer that is no part of the wire contract. What it holds
// is not repeated: it may be a value.
var errAnswer = errors.New("client: the server's answer is not understood")

// call is one call of the API before it is sent.
type call struct {
	kind   kind
	method string
	path   string // below the root, encoded
	query  url.Values
	body   any // nil for none

	ifMatch        string
	ifNoneMatch    bool
	idempotencyKey string
	minPosition    uint64
	reason         string
	runID          string
	requestID      string
	meta           *Meta
}

// send makes the call and decodes the answer's data into a T.
func send[T any](ctx context.Context, c *Client, k call, opts []Option) (T, error) {
	data, _, err := sendPage[T](ctx, c, k, opts)
	return data, err
}

// sendPage gives where the next page starts too, "" after the last.
func sendPage[T any](ctx context.Context, c *Client, k call, opts []Option) (data T, next string, err error) {
	if err := k.apply(opts); err != nil {
		return data, "", err
	}
	body, err := c.attempts(ctx, &k)
	if err != nil {
		return data, "", err
	}
	var got wire.Response[*T]
	if err := json.Unmarshal(body, &got); err != nil || got.Data == nil {
		err := errAnswer // without the decoder's text, which quotes the body.
		if k.kind.writes() {
			err = &OutcomeUnknownError{IdempotencyKey: k.idempotencyKey, Err: err}
		}
		return data, "", err
	}
	if k.kind == exchange {
		clear(body)
	}
	if got.Page != nil {
		next = got.Page.NextCursor
	}
	return *got.Data, next, nil
}

// newRequest makes a fresh request for one attempt: same bytes, same headers.
func (c *Client) newRequest(ctx context.Context, k *call, body []byte) (*http.Request, error) {
	target := c.root + k.path
	if len(k.query) > 0 {
		target += "?" + k.query.Encode()
	}
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, target, r)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	h := req.Header
	h.Set(wire.HeaderAuthorization, "Bearer "+c.apiKey)
	h.Set("Accept", wire.ContentJSON+", "+wire.ContentProblem)
	h.Set(wire.HeaderUserAgent, c.userAgent)
	if body != nil {
		h.Set("Content-Type", wire.ContentJSON)
	}
	for name, value := range map[string]string{
		wire.HeaderIdempotencyKey: k.idempotencyKey, wire.HeaderReason: k.reason, wire.HeaderRunID: k.runID,
		wire.HeaderRequestID: k.requestID, wire.HeaderIfMatch: k.ifMatch,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if k.ifNoneMatch {
		h.Set(wire.HeaderIfNoneMatch, "*")
	}
	if k.minPosition != 0 {
		h.Set(wire.HeaderMinPosition, strconv.FormatUint(k.minPosition, 10))
	}
	return req, nil
}

// attempt sends the call once. It gives the body of a success, a
// [*ProblemError], or the failure to get an answer.
func (c *Client) attempt(ctx context.Context, k *call, body []byte) ([]byte, error) {
	req, err := c.newRequest(ctx, k, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	defer resp.Body.Close()
	got, err := readAll(resp)
	if err != nil {
		return nil, fmt.Errorf("client: reading the answer: %w", err)
	}
	k.meta.fill(resp)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, problemOf(resp, got)
	}
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || media != wire.ContentJSON {
		return nil, errAnswer
	}
	return got, nil
}

// readAll reads into one buffer of the announced size where there is one, so
// that a key in it leaves no copies behind.
func readAll(r *http.Response) ([]byte, error) {
	if r.ContentLength > maxAnswer {
		return nil, errAnswer
	}
	if r.ContentLength >= 0 {
		got := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, got)
		return got, err
	}
	got, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	if len(got) > maxAnswer {
		return nil, errAnswer
	}
	return got, err
}

// newIdempotencyKey draws 128 random bits.
func (c *Client) newIdempotencyKey() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(c.rand, b[:]); err != nil {
		return "", fmt.Errorf("client: drawing an idempotency key: %w", err)
	}
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]), nil
}
