package client

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Defaults of a [Config].
const (
	DefaultMaxRetries = 4
	DefaultTimeout    = 30 * time.Second // of one attempt
	DefaultUserAgent  = "chancery-go"
)

// Config says which server a [Client] speaks to and as whom. Addr and APIKey
// are required.
type Config struct {
	// Addr is the server's root, such as "https://chancery.example:8420". It
	// has no user, query or fragment.
	Addr string
	// APIKey is the token ("chy_…"). It is sent to Addr alone and never
	// printed.
	APIKey string
	// HTTPClient sends the requests; nil means one of our own with
	// [DefaultTimeout] for an attempt. It is copied, and the copy follows no
	// redirects.
	HTTPClient *http.Client
	// UserAgent stands in the records of what this client does, up to 256
	// characters; "" means [DefaultUserAgent].
	UserAgent string
	// MaxRetries bounds the attempts after the first; 0 means
	// [DefaultMaxRetries], a negative number none.
	MaxRetries int
	// Rand gives the bytes of Idempotency-Keys and of jitter; nil means
	// crypto/rand. It must be safe for concurrent use.
	Rand io.Reader
	// Wait sleeps before a repeat and gives ctx's error when ctx ends first;
	// nil means a timer.
	Wait func(ctx context.Context, d time.Duration) error
}

var (
	errAddr   = errors.New("client: Addr must be http(s)://host[:port][/path] without user, query or fragment")
	errAPIKey = errors.New("client: APIKey must be printable ASCII without blanks")
)

// String gives the configuration without the API key.
func (c Config) String() string { return "client.Config{" + redactedAddr(c.Addr) + "}" }

// GoString gives the configuration without the API key.
func (c Config) GoString() string { return c.String() }

// LogValue gives the configuration without the API key.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// redactedAddr keeps a password, which does not belong into an address, from
// being printed.
func redactedAddr(addr string) string {
	if u, err := url.Parse(addr); err == nil {
		return u.Redacted()
	}
	return "invalid address"
}

func (c Config) root() (string, error) {
	u, err := url.Parse(c.Addr)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" {
		// The parser's error would repeat the address, password and all.
		return "", errAddr
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", errAddr
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func (c Config) checkAPIKey() error {
	for i := range len(c.APIKey) {
		if b := c.APIKey[i]; b <= ' ' || b > '~' {
			return errAPIKey
		}
	}
	if c.APIKey == "" {
		return errAPIKey
	}
	return nil
}

func (c Config) httpClient() *http.Client {
	h := http.Client{Timeout: DefaultTimeout}
	if c.HTTPClient != nil {
		h = *c.HTTPClient
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &h
}

func (c Config) rand() io.Reader {
	if c.Rand != nil {
		return c.Rand
	}
	return rand.Reader
}

func (c Config) retries() int {
	switch {
	case c.MaxRetries < 0:
		return 0
	case c.MaxRetries == 0:
		return DefaultMaxRetries
	}
	return c.MaxRetries
}

// sleep waits by a timer.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
