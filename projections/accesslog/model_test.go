package accesslog

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/proof"
)

type hash = tlog.Hash

var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func pick[T any](t *rapid.T, label string, of ...T) T { return rapid.SampledFrom(of).Draw(t, label) }

func drawRecord(t *rapid.T, clock int) domain.Access {
	a := domain.Access{
		Target:  pick[domain.OrgID](t, "target", "org_a", "org_a", "org_a", "org_b", ""),
		Action:  pick(t, "action", "read", "read", "release", "list", domain.AccessAudit),
		Outcome: pick(t, "outcome", domain.OutcomeAllowed, domain.OutcomeAllowed, domain.OutcomeDenied, domain.OutcomeFailed),
		// Nearly but not exactly in order.
		Time: epoch.Add(time.Duration(clock*10+rapid.IntRange(-300, 300).Draw(t, "ms")) * time.Millisecond),
	}
	if rapid.IntRange(0, 4).Draw(t, "anonymous") > 0 {
		a.Actor = domain.Actor{Kind: domain.ActorAgent, ID: pick(t, "actor", "agt_1", "agt_2", "agt_3")}
	}
	if rapid.IntRange(0, 4).Draw(t, "scoped") > 0 {
		a.Scope = pick(t, "scope", domain.Scope{Kind: domain.ScopeOrg, ID: "x"}, domain.Scope{Kind: domain.ScopeTeam, ID: "x"})
		a.Secret = pick[domain.SecretID](t, "secret", "", "one", "two", "three")
		if a.Secret != "" {
			a.Field = pick[domain.FieldKey](t, "field", "", "user", "password")
		}
	}
	return a
}

func drawMessage(t *rapid.T, clock int) []domain.Access {
	records := make([]domain.Access, rapid.IntRange(1, 12).Draw(t, "records"))
	for i := range records {
		records[i] = drawRecord(t, clock)
	}
	return records
}

func drawQuery(t *rapid.T, clock int) domain.AccessQuery {
	maybe := func(label string) bool { return rapid.IntRange(0, 2).Draw(t, label) == 0 }
	q := domain.AccessQuery{
		Target:    pick[domain.OrgID](t, "asked", "org_a", "org_a", "org_b", "", "org_none"),
		Unowned:   rapid.Bool().Draw(t, "unowned"),
		Ascending: rapid.Bool().Draw(t, "ascending"),
		Limit:     pick(t, "limit", 1, 3, 7, 1000),
		Examine:   pick(t, "examine", 1, 2, 5, 40, 100_000),
	}
	if maybe("by scope") {
		q.Scope = pick(t, "scope", domain.Scope{Kind: domain.ScopeOrg, ID: "x"}, domain.Scope{Kind: domain.ScopeTeam, ID: "x"})
		if maybe("by secret") {
			q.Secret = pick[domain.SecretID](t, "secret", "one", "two", "none")
		}
	}
	if maybe("by actor") {
		q.Actor = pick(t, "actor", "agt_1", "agt_3", "agt_none")
	}
	if maybe("by action") {
		q.Action = pick(t, "action", "read", domain.AccessAudit)
	}
	if maybe("by outcome") {
		q.Outcome = pick(t, "outcome", domain.OutcomeAllowed, domain.OutcomeDenied, domain.OutcomeFailed)
	}
	instant := func() time.Time {
		return epoch.Add(time.Duration(rapid.IntRange(-400, clock*10+400).Draw(t, "instant"))*time.Millisecond +
			time.Duration(pick(t, "below a millisecond", 0, 0, 1, 999_999)))
	}
	if maybe("from") {
		q.From = instant()
	}
	if maybe("to") {
		q.To = instant()
	}
	return q
}

// naive answers a question by going through everything.
func naive(l *memLog, q domain.AccessQuery) []domain.AccessEntry {
	var found []domain.AccessEntry
	messages, _ := l.after(0)
	for _, m := range messages {
		for i, a := range m.Records {
			if wanted(q, &a) && (q.From.IsZero() || !a.Time.Before(q.From)) && (q.To.IsZero() || a.Time.Before(q.To)) {
				found = append(found, domain.AccessEntry{Access: a, Place: place{Position: m.Position, Index: uint16(i)}})
			}
		}
	}
	if !q.Ascending {
		slices.Reverse(found)
	}
	return found
}

// pages asks until there is no more.
func pages(t interface{ Fatalf(string, ...any) }, s *Store, q domain.AccessQuery) []domain.AccessEntry {
	var all []domain.AccessEntry
	for range 100_000 {
		page, err := s.Query(q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		if len(page.Entries) > q.Limit {
			t.Fatalf("%d rows instead of %d", len(page.Entries), q.Limit)
		}
		all = append(all, page.Entries...)
		if !page.More {
			return all
		}
		if page.Next == q.After {
			t.Fatalf("%+v: the page gets no further", q)
		}
		q.After = page.Next
	}
	t.Fatalf("%+v: no end", q)
	return nil
}

func naiveReads(l *memLog, ref domain.SecretRef) []domain.LastRead {
	last := map[domain.FieldKey]domain.LastRead{}
	messages, _ := l.after(0)
	for _, m := range messages {
		for i, a := range m.Records {
			if refOf(&a) == ref && a.Outcome == domain.OutcomeAllowed && (a.Action == "read" || a.Action == "release") {
				last[a.Field] = domain.LastRead{Field: a.Field, Time: a.Time, Actor: a.Actor, Place: place{Position: m.Position, Index: uint16(i)}}
			}
		}
	}
	var reads []domain.LastRead
	for _, f := range []domain.FieldKey{"", "password", "user"} {
		if r, ok := last[f]; ok {
			reads = append(reads, r)
		}
	}
	return reads
}

// TestModel holds invariants 1, 3, 4, 8 and 10 against a log in a slice: while
// messages are appended, applied in any batching, expire, and the process is
// killed or ends, every question has the answer of going through everything,
// the tree is that of the log, and Check finds nothing.
func TestModel(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		l := newLog()
		files := 0
		file := func() string {
			files++
			return filepath.Join(dir, fmt.Sprintf("%d-%d.db", runs, files))
		}
		c := testConfig(file(), l)
		c.RunRecords = pick(t, "run", 1, 20, 50)
		c.BatchMessages = pick(t, "batch", 1, 3, 512)
		s, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { s.Close() }()
		clock := 0
		catchUp := func(*rapid.T) {
			if err := s.CatchUp(context.Background(), l); err != nil {
				t.Fatal(err)
			}
		}
		catchUp(t)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				for range rapid.IntRange(1, 12).Draw(t, "messages") {
					clock++
					l.append(drawMessage(t, clock)...)
				}
			},
			"catch up": catchUp,
			"expire": func(t *rapid.T) {
				if l.head() > 0 {
					l.expire(rapid.Uint64Range(1, l.head()+1).Draw(t, "first"))
				}
			},
			"kill": func(t *rapid.T) {
				c.Path = file()
				copyFile(t, s.c.Path, c.Path)
				s.Close()
				if s, err = Open(c); err != nil {
					t.Fatal(err)
				}
				catchUp(t)
			},
			"restart": func(t *rapid.T) {
				position := s.Position()
				s.Close()
				if s, err = Open(c); err != nil {
					t.Fatal(err)
				}
				if s.Position() != position {
					t.Fatalf("position %d after a restart at %d", s.Position(), position)
				}
				catchUp(t)
			},
			"ask": func(t *rapid.T) {
				catchUp(t)
				q := drawQuery(t, clock)
				if got, want := pages(t, s, q), naive(l, q); !reflect.DeepEqual(got, want) {
					t.Fatalf("%+v:\n%d rows %+v\nwant %d %+v", q, len(got), got, len(want), want)
				}
			},
			"last reads": func(t *rapid.T) {
				catchUp(t)
				ref := domain.SecretRef{Org: "org_a", Scope: domain.Scope{Kind: domain.ScopeTeam, ID: "x"}, ID: pick[domain.SecretID](t, "secret", "one", "none")}
				got, err := s.LastReads(ref)
				if err != nil {
					t.Fatal(err)
				}
				if want := naiveReads(l, ref); !reflect.DeepEqual(got, want) {
					t.Fatalf("%+v\nwant %+v", got, want)
				}
			},
			"check": func(t *rapid.T) {
				if err := Check(context.Background(), s, l); err != nil {
					t.Fatal(err)
				}
			},
			"tree": func(t *rapid.T) {
				catchUp(t)
				if err := s.Tree(func(tree *proof.Tree) error { return sameRoot(tree, l) }); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}

func sameRoot(tree *proof.Tree, l *memLog) error {
	if tree.Size != l.head() {
		return fmt.Errorf("a tree of %d leaves for %d messages", tree.Size, l.head())
	}
	got, err := tree.Root(tree.Size)
	if err != nil {
		return err
	}
	want, err := l.tree.Root(tree.Size)
	if err == nil && got != want {
		err = fmt.Errorf("another root")
	}
	return err
}

// TestDeterminism holds invariant 2: two batchings give the same rows.
func TestDeterminism(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newLog()
		for clock := range rapid.IntRange(1, 60).Draw(rt, "messages") {
			l.append(drawMessage(rt, clock)...)
		}
		var dumps [2][]byte
		for i := range dumps {
			c := testConfig(filepath.Join(t.TempDir(), "access.db"), l)
			c.BatchMessages = rapid.IntRange(1, 20).Draw(rt, "batch")
			s := mustOpen(t, c)
			if err := s.CatchUp(context.Background(), l); err != nil {
				rt.Fatal(err)
			}
			dumps[i] = dump(t, s)
			s.Close()
		}
		if !bytes.Equal(dumps[0], dumps[1]) {
			rt.Fatal("two batchings give different rows")
		}
	})
}

// dump gives every row of every table.
func dump(t *testing.T, s *Store) []byte {
	t.Helper()
	var b bytes.Buffer
	var walk func(name string, bucket *bbolt.Bucket) error
	walk = func(name string, bucket *bbolt.Bucket) error {
		return bucket.ForEach(func(k, v []byte) error {
			if v == nil {
				return walk(fmt.Sprintf("%s/%x", name, k), bucket.Bucket(k))
			}
			fmt.Fprintf(&b, "%s %x %x\n", name, k, v)
			return nil
		})
	}
	if err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error { return walk(string(name), bucket) })
	}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func copyFile(t interface{ Fatal(...any) }, from, to string) {
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
