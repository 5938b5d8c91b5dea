package reports

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"iter"
	"testing"

	"github.com/chancery-dev/chancery/domain"
)

// eventLog is an event log in memory.
type eventLog struct {
	events []domain.Recorded
	read   int // how many were handed out
}

func (l *eventLog) Read(_ context.Context, after uint64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		for _, r := range l.events {
			if r.Position <= after {
				continue
			}
			l.read++
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (l *eventLog) Status(context.Context) (domain.LogStatus, error) {
	var s domain.LogStatus
	if n := len(l.events); n > 0 {
		s.First, s.Head = l.events[0].Position, l.events[n-1].Position
	}
	return s, nil
}

// accessLog is an access log in memory.
type accessLog struct{ messages []domain.AccessMessage }

func (l *accessLog) Read(_ context.Context, after uint64) iter.Seq2[domain.AccessMessage, error] {
	return func(yield func(domain.AccessMessage, error) bool) {
		for _, m := range l.messages {
			if m.Position > after && !yield(m, nil) {
				return
			}
		}
	}
}

func (l *accessLog) Status(context.Context) (domain.LogStatus, error) {
	var s domain.LogStatus
	if n := len(l.messages); n > 0 {
		s.First, s.Head = l.messages[0].Position, l.messages[n-1].Position
	}
	return s, nil
}

// checkpoints are sizes that were signed, in order, for each log.
type checkpoints map[string][]Checkpoint

func (c checkpoints) Covering(_ context.Context, log string, position uint64) (Checkpoint, bool, error) {
	all := c[log]
	if position == 0 && len(all) > 0 {
		return all[len(all)-1], true, nil
	}
	for _, cp := range all {
		if position > 0 && cp.Size >= position {
			return cp, true, nil
		}
	}
	return Checkpoint{}, false, nil
}

// testSigner signs with a fixed key.
type testSigner struct{ key ed25519.PrivateKey }

func newTestSigner() testSigner {
	return testSigner{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}
}

func (s testSigner) SignManifest(manifest []byte) Signature {
	return Signature{Key: "test", Ed25519: ed25519.Sign(s.key, manifest)}
}

// run writes a report to memory.
func run(t testing.TB, s Source, q domain.ReportQuery) (string, Manifest) {
	t.Helper()
	p, err := New(s, nil).Prepare(t.Context(), q)
	if err != nil {
		t.Fatalf("%s as %s: %v", q.Name, q.Format, err)
	}
	var b bytes.Buffer
	m, err := p.Write(t.Context(), &b)
	if err != nil {
		t.Fatalf("%s as %s: %v", q.Name, q.Format, err)
	}
	return b.String(), m
}
