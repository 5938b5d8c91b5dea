package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"

	"github.com/chancery-dev/chancery/domain"
)

// maxLogFile bounds a file of the log: an entry bundle has up to 256 entries
// of 64 KiB.
const maxLogFile = 256 * (2 + 1<<16)

// LogKeys gives the public keys that the logs' checkpoints are signed with.
// Hold them against a copy from elsewhere before you trust them.
func (c *Client) LogKeys(ctx context.Context, opts ...Option) ([]LogKey, error) {
	return send[[]LogKey](ctx, c, call{method: http.MethodGet, path: "/log/key"}, opts)
}

// LogFile gives a file of a log, "events" or "access", by its path in C2SP
// tlog-tiles: "checkpoint", "tile/0/x001/067", "tile/entries/000.p/7". What
// the newest checkpoint does not cover is not_found.
func (c *Client) LogFile(ctx context.Context, log, path string, opts ...Option) ([]byte, error) {
	if !regexp.MustCompile(`^(events|access)/(checkpoint|tile/(entries|[0-9]{1,2})(/[x0-9]+)+([.]p/[0-9]+)?)$`).MatchString(log + "/" + path) {
		return nil, domain.Errorf(domain.CodeInvalidID, "a file of the log is named as C2SP tlog-tiles does")
	}
	body, err := c.stream(ctx, call{method: http.MethodGet, path: "/log/" + log + "/" + path}, opts)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	got, err := io.ReadAll(io.LimitReader(body, maxLogFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("client: reading a file of the log: %w", err)
	case len(got) > maxLogFile:
		return nil, errAnswer
	}
	return got, nil
}
