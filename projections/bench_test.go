package projections

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/proof"
)

// benchWorld has n secrets in one scope, each with two fields.
func benchWorld(n int) (*world, domain.Scope) {
	w, ref := plain()
	for i := range n {
		ref.ID = domain.SecretID(fmt.Sprintf("secret-%06d", i))
		w.change(ref, domain.CreateSecret{
			Name: "a name", Category: fmt.Sprint("category", i%10), Tags: []string{"tag"},
			Fields: []domain.Field{w.sealed("plain"), w.envelope("secret")},
		})
	}
	return w, ref.Scope
}

func benchStore(b *testing.B, w *world) *Store {
	b.Helper()
	s := mustOpen(b, testOptions(filepath.Join(b.TempDir(), "state.db")))
	b.Cleanup(func() { s.Close() })
	if err := s.CatchUp(context.Background(), w.log); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkApply changes a field in each event, spread over 10,000 secrets.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 512} {
		b.Run(fmt.Sprint("batch-", size), func(b *testing.B) {
			w, scope := benchWorld(10_000)
			s := benchStore(b, w)
			field := domain.FieldSet{Field: w.sealed("plain")}
			position := s.Position()
			versions := map[int]uint64{}
			raw := make([]byte, 700)
			b.ResetTimer()
			for n := 0; n < b.N; {
				batch := make([]domain.Recorded, 0, size)
				for ; len(batch) < size && n < b.N; n++ {
					i := n * 7919 % 10_000
					versions[i]++
					position++
					ref := domain.SecretRef{Org: w.orgs[0], Scope: scope, ID: domain.SecretID(fmt.Sprintf("secret-%06d", i))}
					batch = append(batch, domain.Recorded{
						Stream: domain.SecretStream{Ref: ref}, Position: position, Version: versions[i] + 1, Time: w.now, Event: field,
						Actor: domain.Actor{Kind: domain.ActorAgent, ID: "agt_writer"}, Origin: domain.Origin{IdempotencyKey: fmt.Sprint(n)}, Raw: raw,
					})
				}
				if err := s.apply(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTree is what the tree adds to a transaction.
func BenchmarkTree(b *testing.B) {
	for _, size := range []int{1, 512} {
		b.Run(fmt.Sprint("batch-", size), func(b *testing.B) {
			s := mustOpen(b, testOptions(filepath.Join(b.TempDir(), "state.db")))
			b.Cleanup(func() { s.Close() })
			raw, position := make([]byte, 700), uint64(0)
			leaves := make([]tlog.Hash, size)
			b.ResetTimer()
			for n := 0; n < b.N; n += size {
				if err := s.db.Update(func(tx *bbolt.Tx) error {
					for i := range leaves {
						leaves[i] = proof.LeafHash(raw)
					}
					ts := tables{tx: tx}
					tree := ts.tree(position)
					defer func() { position = tree.Size }()
					return tree.Append(leaves)
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRebuild(b *testing.B) {
	w, _ := benchWorld(10_000)
	s := benchStore(b, w)
	for b.Loop() {
		if err := s.Rebuild(context.Background(), w.log); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(w.log.head())/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkSecret reads secrets of which few and all are asked for, and all in
// turn where few fit into memory.
func BenchmarkSecret(b *testing.B) {
	w, scope := benchWorld(10_000)
	for name, c := range map[string]struct{ asked, cached int }{"few": {100, 0}, "all": {10_000, 0}, "uncached": {10_000, 1}, "missing": {10_000, 1 << 20}} {
		b.Run(name, func(b *testing.B) {
			s := benchStore(b, w)
			if c.cached > 0 {
				s.secrets.capacity = c.cached
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				ref := domain.SecretRef{Org: w.orgs[0], Scope: scope, ID: domain.SecretID(fmt.Sprintf("secret-%06d", n*7919%c.asked))}
				if secret, err := s.Secret(ref); err != nil || !secret.Exists {
					b.Fatal(secret.Exists, err)
				}
			}
			b.ReportMetric(float64(s.secrets.bytes)/float64(max(1, len(s.secrets.young))), "bytes/secret")
		})
	}
}

func BenchmarkList100(b *testing.B) {
	w, scope := benchWorld(10_000)
	s := benchStore(b, w)
	for name, q := range map[string]domain.SecretQuery{
		"all":              {},
		"category":         {Category: "category3"},
		"category-and-tag": {Category: "category3", Tags: []string{"tag"}},
		"text":             {Text: "99"},
	} {
		q.Org, q.Scope, q.Limit = w.orgs[0], scope, 100
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				shown := 0
				if _, err := s.ListSecrets(context.Background(), q, func(*domain.Secret) { shown++ }); err != nil || shown != 100 {
					b.Fatal(shown, err)
				}
			}
		})
	}
}

func BenchmarkHistory100(b *testing.B) {
	w, ref := plain()
	for range 5000 {
		w.change(ref, extra(w))
	}
	s := benchStore(b, w)
	for b.Loop() {
		shown := 0
		_, err := s.History(domain.HistoryQuery{Ref: ref, After: 2500, Limit: 100}, func(*domain.HistoryEntry) error {
			shown++
			return nil
		})
		if err != nil || shown != 100 {
			b.Fatal(shown, err)
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	f := newStaff()
	s := benchStore(b, f.world)
	for b.Loop() {
		if _, _, ok := s.Authenticate(f.key.LookupID); !ok {
			b.Fatal("unknown")
		}
	}
}
