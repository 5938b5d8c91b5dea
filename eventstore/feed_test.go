package eventstore

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// TestFeedFetch: a feed's user gets every event's whole record and no byte of
// a body, from the first event on.
func TestFeedFetch(t *testing.T) {
	w := embeddedWorld(t, t.TempDir())
	events := collect(t, w.log.Read(t.Context(), 0))
	o := w.own.dial(t, w.url)
	for i, m := range o.fetch(len(events)) {
		if len(m.Data) != 0 {
			t.Errorf("event %d came with %d bytes of its body", i+1, len(m.Data))
		}
		if size := m.Header.Get(nats.MsgSize); size == "" || size == "0" {
			t.Errorf("event %d has no body that could have come", i+1)
		}
		if got := m.Header.Get(RecordHeader); got == "" || !strings.Contains(string(events[i].Raw), got) {
			t.Errorf("event %d: its record is not what the log holds: %s", i+1, got)
		}
		if err := m.AckSync(); err != nil {
			t.Fatal(err)
		}
	}
	list, err := w.feeds.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []FeedStatus{
		{Feed: w.own.Feed, Acknowledged: uint64(len(events))},
		{Feed: w.other.Feed, Waiting: uint64(len(events))},
	}
	for i := range want {
		want[i].Filters = []string{}
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Error(diff)
	}
}

// TestFeedDurables: Add again keeps the place, another feed of the name is a
// conflict, and a durable that is no feed's is never touched.
func TestFeedDurables(t *testing.T) {
	w := embeddedWorld(t, t.TempDir())
	o := w.own.dial(t, w.url)
	if err := o.fetch(1)[0].AckSync(); err != nil {
		t.Fatal(err)
	}
	if err := w.feeds.Add(t.Context(), w.own.Feed); err != nil {
		t.Error(err)
	}
	if list, err := w.feeds.List(t.Context()); err != nil || list[0].Acknowledged != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	again := newFeedUser(t, w.own.Name)
	if err := w.feeds.Add(t.Context(), again.Feed); domain.CodeOf(err) != domain.CodeConflict {
		t.Errorf("another user: %v", err)
	}
	_, remove, err := w.log.consumer(t.Context(), allEvents, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	s, err := w.log.js.Stream(t.Context(), EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	for name := range s.ConsumerNames(t.Context()).Name() {
		if name == w.own.Name || name == w.other.Name {
			continue
		}
		if _, err := w.feeds.Remove(t.Context(), name); domain.CodeOf(err) != domain.CodeConflict {
			t.Errorf("a consumer of the log itself: %v", err)
		}
	}
	for _, want := range []bool{true, false} {
		if was, err := w.feeds.Remove(t.Context(), w.own.Name); err != nil || was != want {
			t.Errorf("removed %v, %v; want %v", was, err, want)
		}
	}
	if account, err := w.feeds.ServiceAccount(t.Context()); err != nil || account != "$G" {
		t.Errorf("the service's account: %q, %v", account, err)
	}
}

// TestFeedFilters: a feed is given what its filters say and nothing else.
func TestFeedFilters(t *testing.T) {
	scope := domain.Scope{Kind: domain.ScopeAgent, ID: string(sampleAgent)}
	all := map[string]sample{
		"secret":    {secretStream("a"), fieldSet(1, 1)},
		"other":     {secretStream("ab"), fieldSet(2, 1)},
		"directory": {domain.DirectoryStream{Org: sampleOrg}, bySystem(3, domain.ScopeArchived{Scope: scope})},
		"keys":      {domain.KeysStream{Org: sampleOrg}, bySystem(4, domain.KeyDestroyed{Ref: sampleRef("a"), KekIDs: []domain.KekID{kek(1)}})},
		"foreign":   {domain.DirectoryStream{Org: otherOrg}, bySystem(5, domain.ScopeArchived{Scope: domain.Scope{Kind: domain.ScopeTeam, ID: teamID}})},
	}
	org := string(sampleOrg)
	for name, c := range map[string]struct {
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
	} {
		t.Run(name, func(t *testing.T) {
			_, nc := startEmbedded(t, t.TempDir())
			l := openLog(t, nc)
			for _, key := range []string{"secret", "other", "directory", "keys", "foreign"} {
				mustAppend(t, l, all[key].stream, 0, all[key].p)
			}
			feeds, err := NewFeeds(nc)
			if err != nil {
				t.Fatal(err)
			}
			if err := feeds.Add(t.Context(), newFeedUser(t, name, c.filters...).Feed); err != nil {
				t.Fatal(err)
			}
			consumer, err := l.js.Consumer(t.Context(), EventsStream, name)
			if err != nil {
				t.Fatal(err)
			}
			batch, err := consumer.FetchNoWait(10)
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for m := range batch.Messages() {
				got = append(got, m.Subject())
			}
			for _, key := range c.want {
				want = append(want, domain.SubjectPrefix+all[key].stream.Subject())
			}
			if diff := cmp.Diff(want, got); diff != "" || batch.Error() != nil {
				t.Errorf("%s%v", diff, batch.Error())
			}
		})
	}
}

// TestFeedRefusals: nothing gets into a server's configuration that could mean
// more than it says.
func TestFeedRefusals(t *testing.T) {
	good := newFeedUser(t, "good").Feed
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	public, err := account.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []Feed{
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
		if _, err := FeedAccounts("CHANCERY", []Feed{bad}); domain.CodeOf(err) != domain.CodeInvalidRequest {
			t.Errorf("accounts of %+v: %v", bad, err)
		}
	}
	if _, err := FeedAccounts("CHANCERY", []Feed{good, good}); domain.CodeOf(err) != domain.CodeInvalidRequest {
		t.Errorf("one user twice: %v", err)
	}
	for _, service := range []string{"", "$G", "a b", "\"", good.Account()} {
		if _, err := FeedAccounts(service, []Feed{good}); domain.CodeOf(err) != domain.CodeInvalidRequest {
			t.Errorf("the service's account %q: %v", service, err)
		}
	}
}

// TestFeedFilterLaw: whatever is typed, a filter that is accepted stays below
// the events' subject, and only its last token may be a wildcard.
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
	subject, err := ParseFeedFilter(text)
	if err != nil {
		if domain.CodeOf(err) != domain.CodeInvalidRequest {
			t.Fatalf("%q: %v", text, err)
		}
		return
	}
	rest, ok := strings.CutPrefix(subject, domain.SubjectPrefix)
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
