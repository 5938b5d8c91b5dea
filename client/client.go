package client

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// Client calls one server as one agent. Its zero value is not usable: see
// [New].
type Client struct {
	root       string
	apiKey     string
	userAgent  string
	http       *http.Client
	maxRetries int
	rand       io.Reader
	wait       func(context.Context, time.Duration) error
}

// New makes a Client. It sends nothing; an error says which member of the
// configuration can't be used, without repeating it.
func New(c Config) (*Client, error) {
	root, err := c.root()
	if err != nil {
		return nil, err
	}
	if err := c.checkAPIKey(); err != nil {
		return nil, err
	}
	made := &Client{
		root: root, apiKey: c.APIKey, userAgent: c.UserAgent, http: c.httpClient(),
		maxRetries: c.retries(), rand: c.rand(), wait: c.Wait,
	}
	if made.userAgent == "" {
		made.userAgent = DefaultUserAgent
	}
	if made.wait == nil {
		made.wait = sleep
	}
	return made, nil
}

// Admin gives the calls of the admin API with the same key and configuration.
func (c *Client) Admin() *Admin { return &Admin{c: c} }

// String names the server, never the API key.
func (c *Client) String() string { return "client.Client{" + c.root + "}" }

// GoString names the server, never the API key.
func (c *Client) GoString() string { return c.String() }

// LogValue names the server, never the API key.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.String()) }
