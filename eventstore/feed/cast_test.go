package feed

import (
	"encoding/binary"
	"iter"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	sampleOrg   domain.OrgID   = "org_01JD3Z8Q7G00000000000000A1"
	otherOrg    domain.OrgID   = "org_01JD3Z8Q7G00000000000000A2"
	sampleAgent domain.AgentID = "agt_01JD3Z8Q7G00000000000000B1"
	teamID                     = "team_01JD3Z8Q7G00000000000000D1"
)

var sampleTime = time.Date(2026, 11, 23, 8, 9, 10, 45_000_000, time.UTC)

func sampleRef(id domain.SecretID) domain.SecretRef {
	return domain.SecretRef{Org: sampleOrg, Scope: domain.Scope{Kind: domain.ScopeAgent, ID: string(sampleAgent)}, ID: id}
}

func secretStream(id domain.SecretID) domain.Stream { return domain.SecretStream{Ref: sampleRef(id)} }

func proposed(n uint64, at time.Time, event domain.Event) domain.Proposed {
	var id ulid.ULID
	if err := id.SetTime(ulid.Timestamp(at)); err != nil {
		panic(err)
	}
	binary.BigEndian.PutUint64(id[8:], n)
	return domain.Proposed{
		ID: id, Version: n, Time: at,
		Actor:  domain.Actor{Kind: domain.ActorSystem, ID: "bootstrap"},
		Event:  event,
		Origin: domain.Origin{Reason: "für Zoë \U0001F511"},
	}
}

// renamed is an event whose record has characters of one to four bytes.
func renamed(n uint64) domain.Event {
	from := "Schlüssel é"
	return domain.SecretRenamed{Changes: domain.Changes{Name: &domain.Change[string]{From: &from, To: "clé \U0001F511 " + string(rune('a'+n%26))}}}
}

// appendMany appends n events to one stream, a minute apart.
func appendMany(t testing.TB, l eventstore.Log, stream domain.Stream, after, first, n uint64) (last uint64) {
	t.Helper()
	for i := first; i < first+n; i++ {
		after = mustAppend(t, l, stream, after, proposed(i, sampleTime.Add(time.Duration(i)*time.Minute), renamed(i))).Position
	}
	return after
}

func mustAppend(t testing.TB, l eventstore.Log, stream domain.Stream, after uint64, p domain.Proposed) domain.Recorded {
	t.Helper()
	r, err := l.Append(t.Context(), stream, after, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func collect(t testing.TB, events iter.Seq2[domain.Recorded, error]) []domain.Recorded {
	t.Helper()
	var rs []domain.Recorded
	for r, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	return rs
}

func logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func startEmbedded(t testing.TB, dir string) (*eventstore.Embedded, *nats.Conn) {
	t.Helper()
	e, err := eventstore.StartEmbedded(t.Context(), dir, logger(t))
	if err != nil {
		t.Fatal(err)
	}
	return e, connected(t, e)
}

func startListening(t testing.TB, dir string, consumers ...Consumer) (*eventstore.Embedded, *nats.Conn) {
	t.Helper()
	l, err := Listener("127.0.0.1:0", nil, consumers)
	if err != nil {
		t.Fatal(err)
	}
	e, err := eventstore.StartEmbeddedWith(t.Context(), dir, eventstore.EmbeddedOptions{Listener: &l, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	return e, connected(t, e)
}

func connected(t testing.TB, e *eventstore.Embedded) *nats.Conn {
	t.Helper()
	nc, err := e.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopEmbedded(t, e, nc) })
	return nc
}

func stopEmbedded(t testing.TB, e *eventstore.Embedded, nc *nats.Conn) {
	nc.Close()
	if err := e.Shutdown(); err != nil {
		t.Error(err)
	}
}

// startExternal starts a NATS server that syncs each message.
func startExternal(t testing.TB, o server.Options) *server.Server {
	t.Helper()
	o.Host, o.Port, o.NoSigs, o.NoLog, o.JetStream, o.SyncAlways = "127.0.0.1", server.RANDOM_PORT, true, true, true, true
	o.MaxPayload, o.StoreDir = 4<<20, t.TempDir()
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server did not start")
	}
	return s
}

func openLog(t testing.TB, nc *nats.Conn) *eventstore.JetStream {
	t.Helper()
	l, err := eventstore.OpenJetStream(t.Context(), nc, eventstore.Options{Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openFeed(t testing.TB, nc *nats.Conn, o Options) *Feed {
	t.Helper()
	f, err := Open(nc, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// waitFor polls until something holds; a test that waits in vain fails.
func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come: %s", what)
		}
	}
}
