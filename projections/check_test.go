package projections

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/domain"
)

// full is a world with a row in every table.
func full(t testing.TB) *world {
	t.Helper()
	w := newWorld(&counter{})
	for range 600 {
		w.step()
	}
	org := w.orgs[0]
	agent := domain.AgentID(w.id(domain.AgentPrefix))
	w.command(org, domain.CreateScope{Scope: domain.Scope{Kind: domain.ScopeAgent, ID: string(agent)}, Name: "an agent"})
	w.command(org, domain.GrantMembership{Agent: agent, Scope: w.directory(org).OrgScope(), Role: domain.RoleReader})
	w.issueKey(org, agent)
	for _, id := range []domain.SecretID{"x", "y", "z"} {
		ref := domain.SecretRef{Org: org, Scope: w.scopes()[0], ID: id}
		w.change(ref, domain.CreateSecret{
			Name: "a name", Category: "category", Tags: []string{"tag"},
			Fields: []domain.Field{w.sealed("plain"), w.envelope("secret")},
		})
		if id != "x" {
			w.change(ref, domain.DeleteSecret{})
		}
	}
	w.destroy()
	return w
}

// TestCheckFinds plants every kind of difference in every bucket: invariant
// 10. The value of the row must not stand in what Check says.
func TestCheckFinds(t *testing.T) {
	w := full(t)
	o := testOptions(filepath.Join(t.TempDir(), "state.db"))
	s := mustOpen(t, o)
	defer s.Close()
	if err := s.CatchUp(context.Background(), w.log); err != nil {
		t.Fatal(err)
	}
	check(t, s, w.log)
	faults := map[string]func(*bbolt.Bucket, []byte, []byte) error{
		"missing":  func(b *bbolt.Bucket, k, _ []byte) error { return b.Delete(k) },
		"altered":  func(b *bbolt.Bucket, k, v []byte) error { return b.Put(k, append(v, 1)) },
		"too much": func(b *bbolt.Bucket, k, v []byte) error { return b.Put(append(k, 1), v) },
	}
	for _, table := range folded() {
		for fault, plant := range faults {
			t.Run(table.String()+" "+fault, func(t *testing.T) {
				var key, value []byte
				restore := func(tx *bbolt.Tx) error {
					b := tx.Bucket([]byte(table.String()))
					return errors.Join(b.Delete(append(bytes.Clone(key), 1)), b.Put(key, value))
				}
				if err := s.db.Update(func(tx *bbolt.Tx) error {
					b := tx.Bucket([]byte(table.String()))
					k, v := b.Cursor().Last()
					if k == nil {
						t.Fatal("the table is empty")
					}
					key, value = bytes.Clone(k), bytes.Clone(v)
					return plant(b, bytes.Clone(k), bytes.Clone(v))
				}); err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := s.db.Update(restore); err != nil {
						t.Fatal(err)
					}
				}()
				expectFinding(t, s, w.log, "bucket "+table.String()+": key ", "is "+fault)
				if text := Check(context.Background(), s, w.log).Error(); len(value) > 4 && strings.Contains(text, string(value)) {
					t.Error("the finding shows the value")
				}
			})
		}
	}
	check(t, s, w.log)
}

func expectFinding(t *testing.T, s *Store, log Source, parts ...string) {
	t.Helper()
	err := Check(context.Background(), s, log)
	found, ok := errors.AsType[*CheckError](err)
	if !ok {
		t.Fatalf("check gave %v", err)
	}
	for _, line := range found.Findings {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			return
		}
	}
	t.Errorf("no line with %q in %q", parts, found.Findings)
}

// Memory is compared with the rows, and compiled rights with the directory.
func TestCheckFindsInMemory(t *testing.T) {
	w := full(t)
	org := w.orgs[0]
	for name, plant := range map[string]struct {
		do      func(*directories)
		finding []string
	}{
		"altered scope": {func(ds *directories) {
			d := ds.byOrg[org]
			state := d.Scopes[d.OrgScope()]
			state.Name = "another name"
			d.Put(state)
		}, []string{"memory of scopes", "altered"}},
		"missing key": {func(ds *directories) {
			for id := range ds.byOrg[org].Keys {
				delete(ds.byOrg[org].Keys, id)
				return
			}
		}, []string{"memory of apikeys", "missing"}},
		"unknown organization": {func(ds *directories) { ds.of("org_other") }, []string{"memory of directories", "1 keys are too much"}},
		"lookup": {func(ds *directories) {
			ds.lookups["lookup"] = keyPlace{}
		}, []string{"memory of apikeys_by_lookup", "too much"}},
		"compiled rights": {func(ds *directories) {
			ds.cache.put(domain.Principal{Org: org, Agent: "agt_ghost"})
		}, []string{"memory", "agt_ghost"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, testOptions(filepath.Join(t.TempDir(), "state.db")))
			defer s.Close()
			if err := s.CatchUp(context.Background(), w.log); err != nil {
				t.Fatal(err)
			}
			plant.do(&s.directories)
			expectFinding(t, s, w.log, plant.finding...)
		})
	}
}

// Other faults than a wrong row.
func TestCheckFindsMore(t *testing.T) {
	ctx := context.Background()
	w := full(t)
	open := func(t *testing.T) *Store {
		s := mustOpen(t, testOptions(filepath.Join(t.TempDir(), "state.db")))
		t.Cleanup(func() { s.Close() })
		if err := s.CatchUp(ctx, w.log); err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("unknown bucket", func(t *testing.T) {
		s := open(t)
		if err := s.db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("other")); return err }); err != nil {
			t.Fatal(err)
		}
		expectFinding(t, s, w.log, `bucket "other" is unknown`)
	})
	t.Run("missing bucket", func(t *testing.T) {
		s := open(t)
		if err := s.db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("tags")) }); err != nil {
			t.Fatal(err)
		}
		expectFinding(t, s, w.log, "bucket tags is missing")
	})
	t.Run("bounded", func(t *testing.T) {
		s := open(t)
		if err := s.db.Update(func(tx *bbolt.Tx) error {
			return errors.Join(tx.DeleteBucket([]byte("history")), errors.Join(func() error { _, err := tx.CreateBucket([]byte("history")); return err }()))
		}); err != nil {
			t.Fatal(err)
		}
		found, ok := errors.AsType[*CheckError](Check(ctx, s, w.log))
		if !ok || len(found.Findings) != maxFindings || found.More == 0 {
			t.Errorf("got %v", found)
		}
	})
	t.Run("a lost tail", func(t *testing.T) {
		s := open(t)
		shorter := newLog()
		shorter.append(w.log.events[:10]...)
		expectFinding(t, s, shorter, "checkpoint", "ends before position")
	})
	t.Run("an unreadable log is no finding", func(t *testing.T) {
		s := open(t)
		broken := newLog()
		broken.append(w.log.events...)
		broken.unreadable = 5
		err := Check(ctx, s, broken)
		if _, ok := errors.AsType[*CheckError](err); ok || !errors.Is(err, errUnreadable) {
			t.Errorf("got %v", err)
		}
	})
}
