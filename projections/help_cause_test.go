package projections

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/domain"
)

// TestWaitForTellsTheCause: where whoever waits has applied the events before
// one that cannot be applied, Run stops for the reason that it would give alone.
func TestWaitForTellsTheCause(t *testing.T) {
	w, ref := plain()
	log := heldLog{sliceLog: w.log, released: make(chan struct{})}
	s := openStore(t, w.log, nil)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background(), log) }()
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	w.change(ref, extra(w))
	good := w.log.head()
	w.record(domain.SecretStream{Ref: ref}, w.secret(ref).Version+2, domain.FieldSet{Field: w.sealed("plain")})
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.WaitFor(gone, w.log.head()); !errors.Is(err, context.Canceled) {
		t.Fatalf("waiting for what cannot be applied gave %v", err)
	}
	if s.Position() != good {
		t.Fatalf("at %d, not %d", s.Position(), good)
	}
	close(log.released)
	if err := <-ended; err == nil || strings.Contains(err.Error(), "the log has a gap") || !strings.Contains(err.Error(), "version") {
		t.Errorf("run ended with %v", err)
	}
}
