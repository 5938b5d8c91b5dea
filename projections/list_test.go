package projections

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// livingIDs gives the ids of the scope's living secrets that keep accepts, in
// byte order.
func (w *world) livingIDs(org domain.OrgID, scope domain.Scope, keep func(domain.Secret) bool) []domain.SecretID {
	ids := []domain.SecretID{}
	for ref, s := range w.secrets {
		if ref.Org == org && ref.Scope == scope && s.Exists && keep(*s) {
			ids = append(ids, ref.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

func every(domain.Secret) bool { return true }

// TestList compares every filter, at every page and examination size, with the
// model: same ids, in byte order, each once, and every page gets further.
func TestList(t *testing.T) {
	w := newWorld(&counter{})
	for range 1500 {
		w.step()
	}
	s := caughtUp(t, w.log)
	rapid.Check(t, func(t *rapid.T) {
		q := domain.SecretQuery{
			Org:      rapid.SampledFrom(w.orgs).Draw(t, "org"),
			Scope:    rapid.SampledFrom(w.scopes()).Draw(t, "scope"),
			Category: rapid.SampledFrom([]string{"", "category0", "category1", "none"}).Draw(t, "category"),
			Tags:     rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"blau", "grün", "rot"}), 0, 3, rapid.ID).Draw(t, "tags"),
			Text:     rapid.SampledFrom([]string{"", "a", "-", "name 1", "A", "zz"}).Draw(t, "text"),
			Limit:    rapid.IntRange(1, 5).Draw(t, "limit"),
			Examine:  rapid.IntRange(1, 12).Draw(t, "examine"),
		}
		want := w.livingIDs(q.Org, q.Scope, func(s domain.Secret) bool {
			for _, tag := range q.Tags {
				if !slices.Contains(s.Tags, tag) {
					return false
				}
			}
			return (q.Category == "" || s.Category == q.Category) &&
				(strings.Contains(string(s.Ref.ID), q.Text) || strings.Contains(s.Name, q.Text))
		})
		got := []domain.SecretID{}
		for {
			page, next, err := listSecrets(context.Background(), s, q)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) > q.Limit {
				t.Fatalf("%d rows of %d", len(page), q.Limit)
			}
			for _, secret := range page {
				got = append(got, secret.Ref.ID)
				if diff := cmp.Diff(withoutValues(w.secrets[secret.Ref].Clone()), secret, equateEmpty()); diff != "" {
					t.Fatal(diff)
				}
			}
			if next == "" {
				break
			}
			if next <= q.After {
				t.Fatalf("the page behind %q leads to %q", q.After, next)
			}
			q.After = next
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A page looks at no more rows than it may, whatever there is.
func TestListExamines(t *testing.T) {
	w, _ := plain()
	ref := domain.SecretRef{Org: w.orgs[0], Scope: w.scopes()[1]}
	for i := range 300 {
		ref.ID = domain.SecretID(fmt.Sprintf("id-%03d", i))
		tags := []string{"even"}
		if i%2 == 1 {
			tags = []string{"odd"}
		}
		w.change(ref, domain.CreateSecret{Name: "n", Category: "c", Tags: tags})
	}
	s := caughtUp(t, w.log)
	for _, q := range []domain.SecretQuery{{Tags: []string{"even", "odd"}}, {Text: "nothing"}, {Category: "c", Text: "nothing"}} {
		q.Org, q.Scope, q.Limit, q.Examine = ref.Org, ref.Scope, 10, 50
		page, next, err := listSecrets(context.Background(), s, q)
		if err != nil || len(page) != 0 || next == "" || next > "id-060" {
			t.Errorf("%v: %d rows, next %q, %v", q, len(page), next, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := listSecrets(ctx, s, domain.SecretQuery{Org: ref.Org, Scope: ref.Scope, Text: "nothing"}); err == nil {
		t.Error("a long list outlives its context")
	}
}

// TestListIsStable holds invariant 9: while others create and delete around
// them, secrets that live throughout are seen exactly once.
func TestListIsStable(t *testing.T) {
	w, _ := plain()
	scope := w.scopes()[1]
	at := func(id string) domain.SecretRef {
		return domain.SecretRef{Org: w.orgs[0], Scope: scope, ID: domain.SecretID(id)}
	}
	var steady []string
	for i := range 40 {
		steady = append(steady, fmt.Sprintf("k%02d", i))
		w.change(at(steady[i]), domain.CreateSecret{Name: "n", Category: "c"})
	}
	s := openStore(t, w.log, nil)
	start(t, s, w.log)
	waitFor(t, s, w.log.head())
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	q := domain.SecretQuery{Org: w.orgs[0], Scope: scope, Limit: 3}
	var seen []string
	for round := 0; ; round++ {
		page, next, err := listSecrets(context.Background(), s, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range page {
			if slices.Contains(steady, string(secret.Ref.ID)) {
				seen = append(seen, string(secret.Ref.ID))
			}
		}
		if next == "" {
			break
		}
		q.After = next
		for _, id := range []string{fmt.Sprintf("k%02dx", round), fmt.Sprintf("k%02dx", 39-round%40)} {
			if w.secret(at(id)).Exists {
				w.change(at(id), domain.DeleteSecret{})
			} else {
				w.change(at(id), domain.CreateSecret{Name: "n", Category: "c"})
			}
		}
		waitFor(t, s, w.log.head())
	}
	if diff := cmp.Diff(steady, seen); diff != "" {
		t.Error(diff)
	}
}

// TestEffective compares the merged set with the model for any list of scopes.
func TestEffective(t *testing.T) {
	w := newWorld(&counter{})
	for range 1500 {
		w.step()
	}
	s := caughtUp(t, w.log)
	rapid.Check(t, func(t *rapid.T) {
		q := domain.EffectiveQuery{
			Org:     rapid.SampledFrom(w.orgs).Draw(t, "org"),
			Scopes:  rapid.SliceOfDistinct(rapid.SampledFrom(w.scopes()), func(s domain.Scope) domain.Scope { return s }).Draw(t, "scopes"),
			Limit:   rapid.IntRange(1, 4).Draw(t, "limit"),
			Examine: rapid.IntRange(1, 12).Draw(t, "examine"),
		}
		byID := map[domain.SecretID][]domain.Scope{}
		for _, scope := range q.Scopes {
			for _, id := range w.livingIDs(q.Org, scope, every) {
				byID[id] = append(byID[id], scope)
			}
		}
		seen := 0
		for {
			page, err := s.Effective(context.Background(), q)
			if err != nil || len(page.Secrets) > q.Limit {
				t.Fatalf("%d rows, %v", len(page.Secrets), err)
			}
			for _, row := range page.Secrets {
				id := row.Secret.Ref.ID
				if id <= q.After {
					t.Fatalf("%q does not come behind %q", id, q.After)
				}
				q.After = id
				seen++
				if diff := cmp.Diff(byID[id], row.Scopes); diff != "" {
					t.Fatalf("%s: %s", id, diff)
				}
				first := domain.SecretRef{Org: q.Org, Scope: byID[id][0], ID: id}
				if diff := cmp.Diff(withoutValues(w.secrets[first].Clone()), row.Secret, equateEmpty()); diff != "" {
					t.Fatalf("%s: %s", id, diff)
				}
			}
			if page.Next == "" {
				break
			}
			if len(page.Secrets) == 0 || page.Next != q.After {
				t.Fatalf("next is %q behind %q", page.Next, q.After)
			}
		}
		if seen != len(byID) {
			t.Fatalf("%d of %d", seen, len(byID))
		}
	})
}

// TestHistory walks both ways at every page size.
func TestHistory(t *testing.T) {
	w := newWorld(&counter{})
	for range 600 {
		w.step()
	}
	s := caughtUp(t, w.log)
	for ref, entries := range w.history {
		for _, ascending := range []bool{true, false} {
			want := slices.Clone(entries)
			if !ascending {
				slices.Reverse(want)
			}
			for limit := 1; limit <= len(entries)+1; limit += 3 {
				q := domain.HistoryQuery{Ref: ref, Ascending: ascending, Limit: limit}
				var got []domain.HistoryEntry
				for more := true; more; {
					var page []domain.HistoryEntry
					var err error
					page, more, err = historyOf(s, q)
					if err != nil || len(page) > limit || more && len(page) < limit {
						t.Fatalf("%d entries, more %v, %v", len(page), more, err)
					}
					got = append(got, page...)
					if more {
						q.After = page[len(page)-1].Version
					}
				}
				if diff := cmp.Diff(want, got, equateEmpty()); diff != "" {
					t.Fatalf("%s ascending %v limit %d: %s", ref, ascending, limit, diff)
				}
			}
		}
	}
	none := domain.SecretRef{Org: w.orgs[0], Scope: w.scopes()[0], ID: "none"}
	for _, q := range []domain.HistoryQuery{
		{Ref: none},
		{Ref: none, Ascending: true},
		{Ref: none, Ascending: true, After: ^uint64(0)},
		{Ref: none, After: 1},
	} {
		if page, more, err := historyOf(s, q); err != nil || len(page) > 0 || more {
			t.Errorf("history of nothing: %v %v", page, err)
		}
	}
	if _, err := s.Entry(none, 1); domain.CodeOf(err) != domain.CodeNotFound {
		t.Errorf("got %v", err)
	}
}
