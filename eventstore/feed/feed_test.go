package feed

import (
	"bytes"
	"crypto/sha256"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// TestFeedFetch: a consumer gets every event's record byte by byte, characters
// beyond ASCII too, so that it can hash one into the Merkle leaf, and no header
// that is not ASCII (invariants 2 and 5).
func TestFeedFetch(t *testing.T) {
	w := embeddedWorld(t, t.TempDir())
	events := collect(t, w.log.Read(t.Context(), 0))
	for i, m := range w.own.dial(t, w.url).fetch(len(events), false) {
		if !bytes.Equal(m.Data(), events[i].Raw) || !bytes.Contains(m.Data(), []byte("é")) || !bytes.Contains(m.Data(), []byte("\U0001F511")) {
			t.Errorf("event %d is not its record: %s", i+1, m.Data())
		}
		if leaf := sha256.Sum256(append([]byte{0}, m.Data()...)); tlog.Hash(leaf) != tlog.RecordHash(events[i].Raw) {
			t.Errorf("event %d has another leaf", i+1)
		}
		if meta, err := m.Metadata(); err != nil || meta.Sequence.Stream != events[i].Position {
			t.Errorf("event %d: %+v, %v", i+1, meta, err)
		}
		if want := subjectPrefix + events[i].Stream.Subject(); m.Subject() != want || m.Headers().Get("Content-Type") != "application/cloudevents+json" {
			t.Errorf("event %d: %s %v", i+1, m.Subject(), m.Headers())
		}
		for key, values := range m.Headers() {
			if text := key + strings.Join(values, ""); strings.IndexFunc(text, func(r rune) bool { return r > 0x7e || r < 0x20 }) >= 0 {
				t.Errorf("event %d has the header %q", i+1, text)
			}
		}
	}
	list, err := w.feed.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Status{
		{Consumer: w.own.Consumer, Acknowledged: uint64(len(events))},
		{Consumer: w.other.Consumer, Waiting: uint64(len(events))},
	}
	for i := range want {
		want[i].Filters = []string{}
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Error(diff)
	}
}

// TestFeedKeepsTheOrder: while one event is not acknowledged no later one is
// given, and it comes again before them (invariant 5).
func TestFeedKeepsTheOrder(t *testing.T) {
	w := embeddedWorld(t, t.TempDir())
	killed := w.own.dial(t, w.url)
	killed.fetch(1, true)
	killed.Close()
	for i, m := range w.own.dial(t, w.url).fetch(3, false) {
		if meta, err := m.Metadata(); err != nil || meta.Sequence.Stream != uint64(i+1) || (meta.NumDelivered == 2) != (i == 0) {
			t.Errorf("%+v, %v", meta, err)
		}
	}
}

// TestFeedDurables: Add again keeps the position, another consumer of the name
// is a conflict, and a durable that Chancery did not make is never touched.
func TestFeedDurables(t *testing.T) {
	w := embeddedWorld(t, t.TempDir())
	w.own.dial(t, w.url).fetch(1, false)
	if err := w.feed.Add(t.Context(), w.own.Consumer); err != nil {
		t.Error(err)
	}
	if list, err := w.feed.List(t.Context()); err != nil || list[0].Acknowledged != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	again := newFeedUser(t, w.own.Name)
	if err := w.feed.Add(t.Context(), again.Consumer); domain.CodeOf(err) != domain.CodeConflict {
		t.Errorf("another user: %v", err)
	}
	if _, err := w.feed.js.CreateConsumer(t.Context(), Stream, jetstream.ConsumerConfig{Durable: "theirs"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.feed.Remove(t.Context(), "theirs"); domain.CodeOf(err) != domain.CodeConflict {
		t.Errorf("somebody else's consumer: %v", err)
	}
	for _, want := range []bool{true, false} {
		if was, err := w.feed.Remove(t.Context(), w.own.Name); err != nil || was != want {
			t.Errorf("removed %v, %v; want %v", was, err, want)
		}
	}
	if account, err := w.feed.ServiceAccount(t.Context()); err != nil || account != "$G" {
		t.Errorf("the service's account: %q, %v", account, err)
	}
}

// TestFeedFilters: a consumer is given what its filters select and nothing
// else.
func TestFeedFilters(t *testing.T) {
	scope := domain.Scope{Kind: domain.ScopeAgent, ID: string(sampleAgent)}
	type sample struct {
		stream domain.Stream
		event  domain.Event
	}
	all := map[string]sample{
		"secret":    {secretStream("a"), renamed(1)},
		"other":     {secretStream("ab"), renamed(2)},
		"directory": {domain.DirectoryStream{Org: sampleOrg}, domain.ScopeArchived{Scope: scope}},
		"keys":      {domain.KeysStream{Org: sampleOrg}, domain.KeyDestroyed{Ref: sampleRef("a"), KekIDs: []domain.KekID{{1}}}},
		"foreign":   {domain.DirectoryStream{Org: otherOrg}, domain.ScopeArchived{Scope: domain.Scope{Kind: domain.ScopeTeam, ID: teamID}}},
	}
	_, nc := startEmbedded(t, t.TempDir())
	l, f := openLog(t, nc), openFeed(t, nc, Options{})
	for i, key := range []string{"secret", "other", "directory", "keys", "foreign"} {
		p := proposed(uint64(i), sampleTime, all[key].event)
		p.Version = 1
		mustAppend(t, l, all[key].stream, 0, p)
	}
	org := string(sampleOrg)
	cases := map[string]struct {
		filters []string
		want    []string
	}{
		"everything":   {nil, []string{"secret", "other", "directory", "keys", "foreign"}},
		"organization": {[]string{org}, []string{"secret", "other", "directory", "keys"}},
		"scope":        {[]string{org + "/agent/" + string(sampleAgent)}, []string{"secret", "other"}},
		"one-secret":   {[]string{org + "/agent/" + string(sampleAgent) + "/a"}, []string{"secret"}},
		"two-parts":    {[]string{org + "/keys", org + "/directory"}, []string{"directory", "keys"}},
		"overlapping":  {[]string{org + "/keys", org, org, org + "/agent/" + string(sampleAgent)}, []string{"secret", "other", "directory", "keys"}},
		"wrong-org":    {[]string{string(otherOrg) + "/agent/" + string(sampleAgent)}, nil},
	}
	for name, c := range cases {
		if err := f.Add(t.Context(), newFeedUser(t, name, c.filters...).Consumer); err != nil {
			t.Fatal(err)
		}
	}
	running := followFeed(t, f, l, filepath.Join(t.TempDir(), "feed.json"))
	waitFor(t, "the feed", func() bool { position, _ := running.Position(); return position == uint64(len(all)) })
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			consumer, err := f.js.Consumer(t.Context(), Stream, name)
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for range len(all) {
				batch, err := consumer.FetchNoWait(1)
				if err != nil {
					t.Fatal(err)
				}
				for m := range batch.Messages() {
					got = append(got, m.Subject())
					if err := m.DoubleAck(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if batch.Error() != nil {
					t.Fatal(batch.Error())
				}
			}
			for _, key := range c.want {
				want = append(want, subjectPrefix+all[key].stream.Subject())
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestFeedRefusals: nothing gets into a server's configuration that could mean
// more than it says.
func TestFeedRefusals(t *testing.T) {
	good := newFeedUser(t, "good").Consumer
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	public, err := account.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []Consumer{
		{Name: "", User: good.User},
		{Name: strings.Repeat("a", 33), User: good.User},
		{Name: "a.b", User: good.User},
		{Name: "a*", User: good.User},
		{Name: "a>", User: good.User},
		{Name: "a b", User: good.User},
		{Name: "a\"", User: good.User},
		{Name: "a\n", User: good.User},
		{Name: "a", User: ""},
		{Name: "a", User: public},
		{Name: "a", User: good.User + "\n"},
		{Name: "a", User: good.User, Filters: []string{">"}},
	} {
		if err := bad.Check(); domain.CodeOf(err) != domain.CodeInvalidRequest {
			t.Errorf("%+v: %v", bad, err)
		}
		if _, err := Accounts("CHANCERY", []Consumer{bad}); domain.CodeOf(err) != domain.CodeInvalidRequest {
			t.Errorf("accounts of %+v: %v", bad, err)
		}
	}
	if _, err := Accounts("CHANCERY", []Consumer{good, good}); domain.CodeOf(err) != domain.CodeInvalidRequest {
		t.Errorf("one user twice: %v", err)
	}
	for _, service := range []string{"", "$G", "a b", "\"", good.Account()} {
		if _, err := Accounts(service, []Consumer{good}); domain.CodeOf(err) != domain.CodeInvalidRequest {
			t.Errorf("the service's account %q: %v", service, err)
		}
	}
}

// TestFeedFilterLaw: whatever is typed, a filter that is accepted stays below
// the feed's subject, and only its last token may be a wildcard.
func TestFeedFilterLaw(t *testing.T) {
	token := rapid.OneOf(
		rapid.SampledFrom([]string{"", ">", "*", ".", "directory", "keys", "team", "agent", "org", string(sampleOrg), teamID, string(sampleAgent), "chancery"}),
		rapid.StringMatching(`[a-z.*> ]{0,6}`), rapid.String(),
	)
	rapid.Check(t, func(t *rapid.T) {
		checkFilter(t, strings.Join(rapid.SliceOfN(token, 0, 6).Draw(t, "tokens"), "/"))
	})
}

func checkFilter(t interface{ Fatalf(string, ...any) }, text string) {
	subject, err := ParseFilter(text)
	if err != nil {
		if domain.CodeOf(err) != domain.CodeInvalidRequest {
			t.Fatalf("%q: %v", text, err)
		}
		return
	}
	rest, ok := strings.CutPrefix(subject, subjectPrefix)
	tokens := strings.Split(rest, ".")
	if _, err := domain.ParseOrgID(tokens[0]); !ok || err != nil {
		t.Fatalf("%q selects %q", text, subject)
	}
	for i, token := range tokens {
		if token == "" || strings.ContainsAny(token, " \t\r\n") || i < len(tokens)-1 && strings.ContainsAny(token, "*>") {
			t.Fatalf("%q selects %q", text, subject)
		}
	}
}

func FuzzFeedFilter(f *testing.F) {
	for _, s := range []string{"", string(sampleOrg), string(sampleOrg) + "/keys", string(sampleOrg) + "/team/" + teamID + "/a", "*/>", string(sampleOrg) + "/team/*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { checkFilter(t, text) })
}
