package accesslog

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// benchLog draws messages of 16 to 60 records: 100,000 secrets, 1,000 actors,
// one record of 10,000 denied.
type benchLog struct {
	messages uint64
}

func (l benchLog) all() iter.Seq[domain.AccessMessage] {
	return func(yield func(domain.AccessMessage) bool) {
		random := rand.New(rand.NewPCG(1, 0))
		for p := uint64(1); p <= l.messages; p++ {
			m := domain.AccessMessage{Position: p}
			for range 16 + random.IntN(45) {
				m.Records = append(m.Records, benchRecord(random, p))
			}
			m.Raw = encode(m.Records)
			if !yield(m) {
				return
			}
		}
	}
}

func benchRecord(random *rand.Rand, p uint64) domain.Access {
	a := domain.Access{
		Org: "org_01JBENCHBENCHBENCHBENCH00", Target: "org_01JBENCHBENCHBENCHBENCH00", Action: "read", Outcome: domain.OutcomeAllowed,
		Actor:  domain.Actor{Kind: domain.ActorAgent, ID: fmt.Sprintf("agt_01JBENCHBENCHBENCHBEN%05d", random.IntN(1000))},
		Scope:  domain.Scope{Kind: domain.ScopeProject, ID: fmt.Sprintf("prj_01JBENCHBENCHBENCHBEN%05d", random.IntN(100))},
		Secret: domain.SecretID(fmt.Sprintf("database-credentials-%06d", random.IntN(1000))), Field: "password",
		Rule: "direct_membership", Method: "GET", Route: "/secrets/:scope/:scopeId/:secretId",
		Origin: domain.Origin{RequestID: "01JBENCHBENCHBENCHBENCH00", ClientIP: "192.0.2.1", UserAgent: "chancery-go/1.0"},
		Time:   epoch.Add(time.Duration(p) * time.Millisecond),
	}
	if random.IntN(10_000) == 0 {
		a.Outcome = domain.OutcomeDenied
	}
	return a
}

func benchConfig(path string) Config {
	c := testConfig(path, newLog())
	c.RunRecords, c.Resume = 0, nil
	return c
}

// BenchmarkApply is per record.
func BenchmarkApply(b *testing.B) {
	var batches [][]domain.AccessMessage
	s := mustOpen(b, benchConfig(filepath.Join(b.TempDir(), "access.db")))
	defer s.Close()
	const messages, batch = 27_000, 64 // a million records
	var some []domain.AccessMessage
	for m := range (benchLog{messages: messages}).all() {
		if some = append(some, m); len(some) == batch {
			batches, some = append(batches, some), nil
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	position := uint64(0)
	for n := 0; n < b.N; {
		for _, batch := range batches {
			for i := range batch {
				position++
				batch[i].Position = position
				n += len(batch[i].Records)
			}
			if err := s.apply(batch); err != nil {
				b.Fatal(err)
			}
			if n >= b.N {
				break
			}
		}
	}
}

// BenchmarkQuery asks for pages of 50. CHANCERY_BENCH_RECORDS is how many
// records there are, a million if it is not set.
func BenchmarkQuery(b *testing.B) {
	records := 1_000_000
	if n, err := strconv.Atoi(os.Getenv("CHANCERY_BENCH_RECORDS")); err == nil {
		records = n
	}
	path := filepath.Join(b.TempDir(), "access.db")
	s := mustOpen(b, benchConfig(path))
	defer s.Close()
	l := benchLog{messages: uint64(records) / 38}
	var batch []domain.AccessMessage
	for m := range l.all() {
		if batch = append(batch, m); len(batch) == 256 {
			if err := s.apply(batch); err != nil {
				b.Fatal(err)
			}
			batch = nil
		}
	}
	if err := s.apply(batch); err != nil {
		b.Fatal(err)
	}
	s.progress.change(func() { s.progress.answers = true })
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d messages, %d runs, heap %d MiB, file %d MiB", l.messages, len(s.state.Load().runs), memory.HeapAlloc>>20, info.Size()>>20)
	random := rand.New(rand.NewPCG(7, 7))
	at := func(part int) time.Time {
		return epoch.Add(time.Duration(l.messages) * time.Millisecond * time.Duration(part) / 100)
	}
	for name, ask := range map[string]func() domain.AccessQuery{
		"secret": func() domain.AccessQuery {
			a := benchRecord(random, 1)
			return domain.AccessQuery{Scope: a.Scope, Secret: a.Secret}
		},
		"actor":   func() domain.AccessQuery { return domain.AccessQuery{Actor: benchRecord(random, 1).Actor.ID} },
		"outcome": func() domain.AccessQuery { return domain.AccessQuery{Outcome: domain.OutcomeDenied} },
		"time":    func() domain.AccessQuery { return domain.AccessQuery{From: at(40), To: at(50)} },
		"actor-time": func() domain.AccessQuery {
			return domain.AccessQuery{Actor: benchRecord(random, 1).Actor.ID, From: at(40), To: at(50)}
		},
		"oldest": func() domain.AccessQuery { return domain.AccessQuery{Ascending: true} },
		"rare-pair": func() domain.AccessQuery {
			return domain.AccessQuery{Actor: benchRecord(random, 1).Actor.ID, Outcome: domain.OutcomeDenied}
		},
	} {
		b.Run(name, func(b *testing.B) {
			rows := 0
			for b.Loop() {
				q := ask()
				q.Target, q.Limit = "org_01JBENCHBENCHBENCHBENCH00", 50
				q.Examine = 100_000
				page, err := s.Query(q)
				if err != nil {
					b.Fatal(err)
				}
				rows = len(page.Entries)
			}
			b.ReportMetric(float64(rows), "rows")
		})
	}
	b.Run("last-reads", func(b *testing.B) {
		for b.Loop() {
			a := benchRecord(random, 1)
			if _, err := s.LastReads(refOf(&a)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
