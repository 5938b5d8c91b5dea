package webhooks

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

const (
	maxAnswer = 4 << 10
	// skipsSaved bounds how many records that the filter leaves out are looked
	// at again after a crash.
	skipsSaved = 256
)

// line is one endpoint with its cursor. One goroutine owns it.
type line struct {
	config   Config
	endpoint Endpoint
	client   *http.Client
	path     string
	at       cursor
	saved    uint64 // the position that the file holds
}

func (l *line) run(ctx context.Context) error {
	defer l.client.CloseIdleConnections()
	if l.at.Disabled {
		l.logDisabled(ctx)
		return nil
	}
	for r, err := range l.config.Source.Follow(ctx, l.at.Position) {
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		if l.endpoint.filter.passes(r) && !l.send(ctx, r) {
			break
		}
		l.at.Position = r.Position
		if l.endpoint.filter.passes(r) || l.at.Position-l.saved >= skipsSaved {
			if !l.save(ctx) {
				break
			}
		}
		l.config.Observer.Moved(l.endpoint.Name, l.at.Position)
	}
	if l.at.Position == l.saved {
		return nil
	}
	// What was skipped, or taken while the disk was full, need not come again.
	return writeCursor(l.path, l.at)
}

// send tries until the endpoint takes the record; false when it is gone or ctx
// ended, and the cursor must stay.
func (l *line) send(ctx context.Context, r domain.Recorded) bool {
	for attempt := 0; ; attempt++ {
		status, after, err := l.attempt(ctx, r)
		if ctx.Err() != nil && !taken(status) {
			return false // no failure of the endpoint's
		}
		l.config.Observer.Attempted(l.endpoint.Name, taken(status))
		switch {
		case taken(status):
			return true
		case status == http.StatusGone:
			return l.disable(ctx)
		}
		pause := max(after, l.backoff(attempt))
		l.config.Logger.WarnContext(ctx, "a webhook was not delivered", slog.String("webhook", l.endpoint.Name),
			slog.String("id", r.ID.String()), slog.Uint64("position", r.Position), slog.Int("attempt", attempt+1),
			slog.Int("status", status), slog.String("cause", cause(status, err)), slog.Duration("again", pause))
		if wait(ctx, pause) != nil {
			return false
		}
	}
}

func taken(status int) bool { return status >= 200 && status < 300 }

// cause names a failure. The text of the HTTP client's errors holds the URL.
func cause(status int, err error) string {
	var timeout interface{ Timeout() bool }
	switch {
	case err == nil && status >= 300 && status < 400:
		return "redirect, not followed"
	case err == nil:
		return "status"
	case errors.Is(err, errTarget):
		return errTarget.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return "connection"
}

// attempt sends once. The status is 0 where no answer came.
func (l *line) attempt(ctx context.Context, r domain.Recorded) (status int, after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.endpoint.target.String(), bytes.NewReader(r.Raw))
	if err != nil {
		return 0, 0, err
	}
	id, now := r.ID.String(), l.config.Now()
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", "chancery-webhooks")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", signatures(l.endpoint.secrets, id, now, r.Raw))
	res, err := l.client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	// The status decides. A little of the body is read so that the connection
	// can be used again; a longer one closes it.
	_, _ = io.CopyN(io.Discard, res.Body, maxAnswer)
	_ = res.Body.Close()
	return res.StatusCode, min(retryAfter(res.Header.Get("Retry-After"), now), l.config.MostRetry), nil
}

// retryAfter reads seconds or a date; 0 where there is neither.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// backoff doubles up to the most; half of it is chance, so that many endpoints
// do not come back together.
func (l *line) backoff(attempt int) time.Duration {
	d := l.config.FirstRetry
	for range attempt {
		if d >= l.config.MostRetry/2 {
			d = l.config.MostRetry
			break
		}
		d *= 2
	}
	var chance [4]byte
	_, _ = io.ReadFull(l.config.Rand, chance[:]) // without chance it is the half
	part := float64(binary.LittleEndian.Uint32(chance[:])) / (1 << 32)
	return d/2 + time.Duration(part*float64(d/2))
}

// save makes the cursor durable, however long the disk refuses: a cursor that
// runs ahead of its file would only repeat more after a crash. False when ctx
// ended.
func (l *line) save(ctx context.Context) bool {
	for attempt := 0; ; attempt++ {
		err := writeCursor(l.path, l.at)
		if err == nil {
			l.saved = l.at.Position
			return true
		}
		l.config.Logger.ErrorContext(ctx, "a webhook's cursor was not written", slog.String("webhook", l.endpoint.Name), slog.Any("error", err))
		if wait(ctx, l.backoff(attempt)) != nil {
			return false
		}
	}
}

// disable stops sending until the endpoint's entry changes; the cursor stays
// before the record that was refused.
func (l *line) disable(ctx context.Context) bool {
	l.at.Disabled = true
	l.config.Observer.Disabled(l.endpoint.Name, true)
	l.logDisabled(ctx)
	l.save(ctx)
	return false
}

func (l *line) logDisabled(ctx context.Context) {
	l.config.Logger.ErrorContext(ctx, "a webhook is disabled: its endpoint answered 410 Gone; change its entry to go on from where it stopped",
		slog.String("webhook", l.endpoint.Name), slog.Uint64("position", l.at.Position))
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
