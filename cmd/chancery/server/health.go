package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/httpapi"
)

const (
	// maxClockSkew is how far this node's clock may be ahead of the log's.
	maxClockSkew = 5 * time.Second
	// probeFresh is how long the answers of the log and the key provider
	// count. Anybody may ask for readiness, and these two cost something.
	probeFresh = time.Second
	// probeTimeout bounds the questions to both.
	probeTimeout = 10 * time.Second
)

// health tells what keeps the node from serving. Causes go to the log; who
// asks over HTTP sees which part it is.
//
// What others must be asked for is asked at most once in [probeFresh],
// however many callers there are; what this process knows is looked up each
// time. A cause is logged when it changes, not when somebody asks.
type health struct {
	*store
	// askLog and askKeys are the probes; tests count them.
	askLog, askKeys func(context.Context) error

	mu     sync.Mutex
	latest *probing
	causes map[string]string // of the parts that are not ready, as last logged
}

// probing is one round of questions. Its results may be read once done is
// closed.
type probing struct {
	done      chan struct{}
	at        time.Time // when it ended; zero when it was broken off
	log, keys error
}

func newHealth(s *store) *health {
	return &health{
		store: s,
		askLog: func(ctx context.Context) error {
			_, err := s.log.Status(ctx)
			return err
		},
		askKeys: func(ctx context.Context) error { return probe(ctx, s.provider, s.rand) },
		causes:  map[string]string{},
	}
}

// Live is nil while the process can answer at all.
func (*health) Live() error { return nil }

// Ready asks every part the node needs. When ctx ends before the log or the
// key provider has answered, both count as silent for this caller.
func (h *health) Ready(ctx context.Context) []httpapi.Unready {
	asked, err := h.probe(ctx)
	if err != nil { // the caller's own haste says nothing about the parts
		return []httpapi.Unready{{Part: "log", Reason: noLog}, {Part: "keys", Reason: noKeys}}
	}
	var unready []httpapi.Unready
	look := func(part, reason string, err error) {
		h.note(ctx, part, err)
		if err != nil {
			unready = append(unready, httpapi.Unready{Part: part, Reason: reason})
		}
	}
	look("log", noLog, asked.log)
	look("log files", "the log's files are not as they must be or the disk failed: nothing is stored until a restart",
		errors.Join(h.log.Fault(), h.access.Fault(), h.proofs.Fault()))
	look("projection", "the projection is not caught up with the log", h.state.Ready())
	look("access log", "the access log's index does not follow it", h.index.Ready())
	if h.journal != nil {
		look("access journal", "access records cannot be stored, or wait for the access log", h.journal.Problem())
	}
	look("signer", "the logs cannot be signed", h.signer.Problem())
	look("feed", "the feed of the consumers does not follow the log", h.follower.Problem())
	look("streams", "a stream is not configured as it must be", h.streams.problem())
	look("keys", noKeys, asked.keys)
	if h.slots != nil {
		look("key files", "the key files are damaged or take no more writes", h.slots.Problem())
	}
	look("sweeper", "unclaimed keys cannot be swept safely", h.keyring.SweepProblem())
	look("clock", "this node's clock is ahead of the log's", clockProblem(h.state.ClockSkew()))
	return unready
}

const (
	noLog  = "the log does not answer"
	noKeys = "the key provider does not answer"
)

func clockProblem(skew time.Duration) error {
	if skew <= maxClockSkew {
		return nil
	}
	return fmt.Errorf("this node's clock is %v ahead of the log's", skew)
}

// probe gives the latest answers, or asks, or waits for the caller that asks.
// The error is ctx's.
func (h *health) probe(ctx context.Context) (*probing, error) {
	p, mine := h.join()
	if mine {
		h.ask(ctx, p)
		return p, nil
	}
	select {
	case <-p.done:
		return p, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// join gives the round that is going on or still fresh, else a new one, which
// the caller must carry out.
func (h *health) join() (p *probing, mine bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.latest != nil {
		select {
		case <-h.latest.done:
			if age := h.now().Sub(h.latest.at); age >= 0 && age < probeFresh {
				return h.latest, false
			}
		default:
			return h.latest, false
		}
	}
	h.latest = &probing{done: make(chan struct{}), log: errBrokenOff, keys: errBrokenOff}
	return h.latest, true
}

// ask does not end with the request that happened to come first: others wait
// for its answers.
func (h *health) ask(ctx context.Context, p *probing) {
	defer close(p.done)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	p.log, p.keys = h.askLog(ctx), h.askKeys(ctx)
	p.at = h.now()
}

// errBrokenOff stands until a probe has answered.
var errBrokenOff = errors.New("the question was broken off")

// note logs what is wrong with a part when that is new, and that nothing is
// any more. Numbers do not make it new: a projection that catches up counts.
func (h *health) note(ctx context.Context, part string, err error) {
	cause := ""
	if err != nil {
		cause = strings.Map(withoutDigits, err.Error())
	}
	h.mu.Lock()
	before := h.causes[part]
	h.causes[part] = cause
	h.mu.Unlock()
	switch {
	case cause == before:
	case err == nil:
		h.cfg.Logger.InfoContext(ctx, "ready again", slog.String("part", part))
	default:
		h.cfg.Logger.WarnContext(ctx, "not ready", slog.String("part", part), slog.Any("error", err))
	}
}

func withoutDigits(r rune) rune {
	if r >= '0' && r <= '9' {
		return -1
	}
	return r
}
