package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/chancery-dev/chancery/httpapi"
)

// maxClockSkew is how far this node's clock may be ahead of the log's.
const maxClockSkew = 5 * time.Second

// health tells what keeps the node from serving. Causes go to the log; who
// asks over HTTP sees which part it is.
type health struct{ *store }

// Live is nil while the process can answer at all.
func (health) Live() error { return nil }

// Ready asks every part the node needs.
func (h health) Ready(ctx context.Context) []httpapi.Unready {
	var unready []httpapi.Unready
	add := func(part, reason string, err error) {
		if err != nil {
			h.cfg.Logger.WarnContext(ctx, "not ready", slog.String("part", part), slog.Any("error", err))
			unready = append(unready, httpapi.Unready{Part: part, Reason: reason})
		}
	}
	_, err := h.log.Status(ctx)
	add("log", "the log does not answer", err)
	add("projection", "the projection is not caught up with the log", h.state.Ready())
	add("streams", "a stream is not configured as it must be", h.streams.problem())
	add("keys", "the key provider does not answer", probe(ctx, h.provider, h.rand))
	add("sweeper", "unclaimed keys cannot be swept safely", h.keyring.SweepProblem())
	if h.state.ClockSkew() > maxClockSkew {
		unready = append(unready, httpapi.Unready{Part: "clock", Reason: "this node's clock is ahead of the log's"})
	}
	return unready
}
