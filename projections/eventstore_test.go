package projections_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/projections"
)

var _ projections.Source = eventstore.Log(nil)

// TestEventstore folds the real logs: several writers append, each waits for
// its own events and reads them back; what the codec made of them survives a
// restart, a rebuild and Check.
func TestEventstore(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	for name, open := range map[string]func(*testing.T) eventstore.Log{
		"memory": func(*testing.T) eventstore.Log { return eventstore.NewMemory(time.Now, nil) },
		"jetstream": func(t *testing.T) eventstore.Log {
			server, err := eventstore.StartEmbedded(t.Context(), t.TempDir(), logger)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Shutdown() })
			nc, err := server.Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(nc.Close)
			log, err := eventstore.OpenJetStream(t.Context(), nc, eventstore.Options{Logger: logger})
			if err != nil {
				t.Fatal(err)
			}
			return log
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := open(t)
			o := projections.Options{
				Path: filepath.Join(t.TempDir(), "state.db"), Now: time.Now, Logger: logger, Heartbeat: 50 * time.Millisecond,
			}
			s, err := projections.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx, log) }()
			var writers sync.WaitGroup
			for i := range 4 {
				writers.Go(func() { write(t, log, s, domain.SecretID(fmt.Sprint("secret-", i))) })
			}
			writers.Wait()
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = projections.Open(o); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.Position() != 4*writes {
				t.Errorf("position %d after opening again", s.Position())
			}
			for _, again := range []func(context.Context, projections.Source) error{s.CatchUp, s.Rebuild} {
				if err := again(context.Background(), log); err != nil {
					t.Fatal(err)
				}
				if err := projections.Check(context.Background(), s, log); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

const writes = 15

// write makes a secret and changes it, each time from the state it has read.
func write(t *testing.T, log eventstore.Log, s *projections.Store, id domain.SecretID) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ref := domain.SecretRef{
		Org: "org_01ARZ3NDEKTSV4RRFFQ69G5FAV", Scope: domain.Scope{Kind: domain.ScopeProject, ID: "p"}, ID: id,
	}
	var head uint64
	for n := range uint64(writes) {
		p := domain.Proposed{
			ID: ulid.MustNew(ulid.Now(), rand.Reader), Version: n + 1, Time: time.Now().UTC().Truncate(time.Millisecond),
			Actor:  domain.Actor{Kind: domain.ActorAgent, ID: "agt_01ARZ3NDEKTSV4RRFFQ69G5FAV", KeyID: "key_01ARZ3NDEKTSV4RRFFQ69G5FAV"},
			Origin: domain.Origin{RequestID: "request", ClientIP: "192.0.2.1", IdempotencyKey: fmt.Sprint(id, "-", n)},
		}
		sealed := domain.Sealed{KekID: domain.KekID{1}, EventID: p.ID, Box: make([]byte, 64)}
		p.Event = domain.FieldSet{Field: domain.Field{Key: "field", Value: sealed}}
		if n == 0 {
			p.Event = domain.SecretCreated{Name: "a name", Category: "category", KekIDs: []domain.KekID{domain.KekID(p.ID)}}
		}
		r, err := log.Append(ctx, domain.SecretStream{Ref: ref}, head, p)
		if err != nil {
			t.Error(err)
			return
		}
		if err := s.WaitFor(ctx, r.Position); err != nil {
			t.Error(err)
			return
		}
		secret, err := s.Secret(ref)
		if domain.CodeOf(err) == domain.CodeUnavailable && n == 0 {
			continueWhenServing(ctx, s)
			secret, err = s.Secret(ref)
		}
		if err != nil || secret.Version != n+1 || secret.Head != r.Position {
			t.Errorf("read version %d at %d, %v", secret.Version, secret.Head, err)
			return
		}
		head = r.Position
	}
}

// continueWhenServing waits out the first heartbeat.
func continueWhenServing(ctx context.Context, s *projections.Store) {
	for s.Serving() != nil && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
}
