package projections

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
)

// A foreign message on the subject of a living secret changes its head, the
// checkpoint and the tree, no other row: no value, no history, no index, no
// claim.
func TestForeignChangesTheHeadAlone(t *testing.T) {
	ctx := context.Background()
	w, ref := plain()
	s := caughtUp(t, w.log)
	before := dump(t, s)
	was, err := s.Secret(ref)
	if err != nil {
		t.Fatal(err)
	}
	r := w.intrude(domain.SecretStream{Ref: ref})
	if err := s.CatchUp(ctx, w.log); err != nil {
		t.Fatal(err)
	}
	changed := map[string]int{}
	after := dump(t, s)
	for key, row := range after {
		if before[key] != row {
			table, _, _ := strings.Cut(key, " ")
			changed[table]++
		}
	}
	if diff := cmp.Diff(map[string]int{"meta": 1, "secrets": 1, "tiles": 1}, changed); diff != "" || len(after) != len(before) {
		t.Errorf("rows (-want +changed): %s", diff)
	}
	was.Head = r.Position
	is, err := s.Secret(ref)
	if diff := cmp.Diff(was, is); err != nil || diff != "" {
		t.Errorf("the secret (-want +got): %v %s", err, diff)
	}
	check(t, s, w.log)
}

// Writes go on behind a foreign message on every kind of stream, before its
// first event and behind its last, by a store that follows: each is decided
// on the head that the projection gives, versions stay dense, and a rebuild
// is the same. No state of a secret is left over where another took its place.
func TestWritesGoOnBehindForeign(t *testing.T) {
	w := newWorld(&counter{})
	s := openStore(t, w.log, nil)
	start(t, s, w.log)
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	// behind puts a foreign message on a stream and then does what must append
	// one event there.
	behind := func(stream domain.Stream, do func()) {
		t.Helper()
		version, _, err := s.StreamHead(stream)
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, s, w.intrude(stream).Position)
		v, head, err := s.StreamHead(stream)
		if err != nil || v != version || head != w.log.head() {
			t.Fatalf("%s: version %d at %d, %v", stream.Subject(), v, head, err)
		}
		do()
		waitFor(t, s, w.log.head())
		v, head, err = s.StreamHead(stream)
		if err != nil || v != version+1 || head != w.log.head() {
			t.Fatalf("%s: version %d at %d after the event, %v", stream.Subject(), v, head, err)
		}
	}
	org := domain.OrgID(w.id(domain.OrgPrefix))
	w.orgs = append(w.orgs, org)
	directory := domain.DirectoryStream{Org: org}
	ref := domain.SecretRef{Org: org, Scope: w.scopes()[0], ID: "s"}
	secret, keys := domain.SecretStream{Ref: ref}, domain.KeysStream{Org: org}
	command := func(c domain.DirectoryCommand) func() { return func() { w.command(org, c) } }
	change := func(c domain.SecretCommand) func() { return func() { w.change(ref, c) } }

	orgScope := domain.Scope{Kind: domain.ScopeOrg, ID: string(org)}
	behind(directory, command(domain.CreateScope{Scope: orgScope, Name: "an organization"}))
	behind(directory, command(domain.RenameScope{Scope: orgScope, Name: "another name"}))
	for range 2 { // two lives
		behind(secret, change(domain.CreateSecret{Name: "a name", Category: "category", Fields: []domain.Field{w.sealed("plain")}}))
		behind(secret, change(domain.SetField{Field: w.envelope("secret")}))
		behind(secret, change(domain.DeleteSecret{}))
		for len(w.pending) > 0 {
			behind(keys, w.destroy)
		}
	}
	behind(secret, change(domain.CreateSecret{Name: "a name", Category: "category"}))
	ref.ID = "first life"
	behind(domain.SecretStream{Ref: ref}, change(domain.CreateSecret{Name: "a name", Category: "category"}))
	want := dump(t, s)
	for key := range want {
		if table, _, _ := strings.Cut(key, " "); table == tableDeleted.String() {
			t.Errorf("left over: %s", key)
		}
	}
	w.verify(t, s)
	check(t, s, w.log)
	again := caughtUp(t, w.log)
	if diff := cmp.Diff(want, dump(t, again)); diff != "" {
		t.Errorf("folded in one go (-followed +folded): %s", diff)
	}
}

// Foreign messages make nothing that can be listed or looked at: neither an
// organization nor a secret.
func TestForeignMakesNothing(t *testing.T) {
	f := newStaff()
	nobody := domain.OrgID("org_" + "00000000000000000000000000") // before all others
	last := domain.OrgID("org_7ZZZZZZZZZZZZZZZZZZZZZZZZZ")
	ref := domain.SecretRef{Org: f.org, Scope: f.self(), ID: "s"}
	for _, stream := range []domain.Stream{
		domain.DirectoryStream{Org: nobody}, domain.DirectoryStream{Org: last}, domain.KeysStream{Org: nobody}, domain.SecretStream{Ref: ref},
	} {
		f.intrude(stream)
	}
	s := caughtUp(t, f.log)
	orgs, more, err := s.Organizations("", 1)
	if err != nil || more || len(orgs) != 1 || orgs[0].Scope.ID != string(f.org) {
		t.Errorf("organizations %v, more %v, %v", orgs, more, err)
	}
	if err := s.Directory(nobody, func(d *domain.Directory) error {
		if d.Exists() || d.Root || d.Head == 0 {
			t.Errorf("got %+v", d)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	secret, err := s.Secret(ref)
	if diff := cmp.Diff(domain.Secret{Ref: ref, Head: f.log.head()}, secret); err != nil || diff != "" {
		t.Errorf("the secret: %v %s", err, diff)
	}
	entries, _, err := historyOf(s, domain.HistoryQuery{Ref: ref})
	if err != nil || len(entries) != 0 {
		t.Errorf("history %v, %v", entries, err)
	}
	if _, ok, err := s.SecretAtTime(ref, f.at.Add(time.Hour)); ok || err != nil {
		t.Errorf("as of later: %v %v", ok, err)
	}
	check(t, s, f.log)
}
