package eventstore

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// accessSamples are access records of all kinds, with every member there and
// not there. Their names are those of the golden files.
func accessSamples() map[string]domain.Access {
	return map[string]domain.Access{
		"read": {
			Org: sampleOrg, Target: sampleOrg,
			Actor:  domain.Actor{Kind: domain.ActorAgent, ID: string(sampleAgent), KeyID: sampleKey},
			Action: string(domain.ActionRead), Scope: domain.Scope{Kind: domain.ScopeProject, ID: projectID},
			Secret: "db-password", Field: "user.name", Detail: `as of "then" \ now`, Outcome: domain.OutcomeAllowed,
			Rule: domain.RuleDirectMembership, Method: "GET", Route: "/agent/secrets/:scope/:scopeId/:secretId",
			Origin: domain.Origin{
				RequestID: "req-1", ClientIP: "2001:db8::1", UserAgent: "chancery/1.0 (\"test\")",
				Reason: "rotation <quarterly> & \\ok " + fourBytes, RunID: "run\u2028\u0085 7", IdempotencyKey: "idem:1",
			},
			TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", Time: sampleTime,
		},
		"denied": {
			Org: sampleOrg, Target: otherOrg, Actor: domain.Actor{Kind: domain.ActorAgent, ID: string(sampleAgent), KeyID: sampleKey},
			Action: domain.AccessAudit, Outcome: domain.OutcomeDenied, Code: domain.CodeForbidden, Rule: domain.RuleNotAuditor,
			Method: "GET", Route: "/admin/orgs/:orgId/access", Origin: domain.Origin{RequestID: "r", ClientIP: "192.0.2.7"}, Time: sampleTime,
		},
		"summary": {
			Action: domain.AccessAuthenticate, Outcome: domain.OutcomeFailed, Code: domain.CodeUnauthenticated,
			Origin: domain.Origin{ClientIP: "2001:db8::/64"}, Time: sampleTime, Count: 123456, Until: sampleTime.Add(time.Minute),
		},
		"start": {
			Actor: domain.Actor{Kind: domain.ActorSystem, ID: "server"}, Action: domain.AccessStart,
			Outcome: domain.OutcomeAllowed, Detail: "v1.2.3", Time: sampleTime,
		},
		"empty": {},
	}
}

// TestAccessGolden holds invariant 2 for ever: the stored bytes of access
// records are those of the golden files, in both directions. Nothing rewrites
// them.
func TestAccessGolden(t *testing.T) {
	var message []byte
	var all []domain.Access
	for name, a := range accessSamples() {
		want, err := os.ReadFile(filepath.Join("testdata", "access", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if got := appendAccess(nil, &a); string(got) != string(want) {
			t.Errorf("%s:\n%s", name, cmp.Diff(string(want), string(got)))
		}
		got, err := DecodeAccess(want)
		if err != nil || len(got) != 1 || !cmp.Equal(got[0], a) {
			t.Errorf("%s: %v\n%s", name, err, cmp.Diff([]domain.Access{a}, got))
		}
		var general map[string]any
		if err := json.Unmarshal(want, &general); err != nil || general["v"] != 1.0 {
			t.Errorf("%s is not JSON to others: %v", name, err)
		}
		message, all = append(message, want...), append(all, a)
	}
	got, err := DecodeAccess(message)
	if diff := cmp.Diff(all, got); diff != "" || err != nil {
		t.Errorf("together: %v\n%s", err, diff)
	}
	for i, want := range all {
		if got, err := AccessAt(message, i); err != nil || !cmp.Equal(want, got) {
			t.Errorf("record %d: %v", i, err)
		}
	}
	for _, i := range []int{-1, len(all), len(all) + 1} {
		if _, err := AccessAt(message, i); !errors.Is(err, ErrCorrupt) {
			t.Errorf("record %d: %v", i, err)
		}
	}
}

// TestAccessRefused: bytes that are not the one form are corrupt.
func TestAccessRefused(t *testing.T) {
	const good = `{"v":1,"time":"2026-11-23T08:09:10.045Z","action":"read"}` + "\n"
	if _, err := DecodeAccess([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{`"v":1`, `"v":2`},
		{`"v":1`, `"v":01`},
		{`"v":1,`, ``},
		{"\n", ""},
		{"\n", "\n\n"},
		{"\n", " \n"},
		{"}\n", "}x\n"},
		{".045Z", ".0450Z"},
		{".045Z", ".045+00:00"},
		{"2026-", "0000-"},
		{`"action":"read"`, `"action":""`},
		{`"action":"read"`, `"action": "read"`},
		{`"action":"read"`, `"action":"re\u0061d"`},
		{`"action":"read"`, `"action":"re\/d"`},
		{`"action":"read"`, `"action":"re\`},
		{`"action":"read"`, "\"action\":\"re\x7fd\""},
		{`"action":"read"`, "\"action\":\"re\xffd\""},
		{`"action":"read"`, `"action":"` + strings.Repeat("x", accessWord+1) + `"`},
		{`"action":"read"`, `"action":"read","org":"o"`},
		{`"action":"read"`, `"action":"read","action":"read"`},
		{`"action":"read"`, `"Action":"read"`},
		{`"action":"read"`, `"count":0,"action":"read"`},
		{`"action":"read"`, `"count":01,"action":"read"`},
		{`"action":"read"`, `"until":"0001-01-01T00:00:00.000Z","action":"read"`},
		{`"action":"read"`, `"actor":{"kind":"","id":""},"action":"read"`},
		{`"action":"read"`, `"actor":{"kind":"agent"},"action":"read"`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("%q changes nothing", change)
		}
		if got, err := DecodeAccess([]byte(bad)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
		if _, err := AccessAt([]byte(good+bad), 1); !errors.Is(err, ErrCorrupt) && bad != good+"\n" {
			t.Errorf("%q, alone: %v", bad, err)
		}
	}
	for _, bad := range [][]byte{nil, []byte(strings.Repeat(good, MaxAccessMessage/len(good)+1))} {
		if _, err := DecodeAccess(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
}

// drawAccess draws a record of any texts, also those that no client can send.
func drawAccess(t *rapid.T) domain.Access {
	text := rapid.OneOf(
		rapid.SampledFrom([]string{"", "", "read", "\n", "\xff\xfe", "\x00\x7f", `"\`, strings.Repeat(`"`, 3000), strings.Repeat(fourBytes, 700)}),
		rapid.StringMatching(`[ !#-[\]-~]{0,70}`), rapid.String(), rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) }),
	)
	at := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "seconds"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns"))
	})
	return domain.Access{
		Org: domain.OrgID(text.Draw(t, "org")), Target: domain.OrgID(text.Draw(t, "target")),
		Actor: domain.Actor{
			Kind: domain.ActorKind(text.Draw(t, "kind")), ID: text.Draw(t, "id"), KeyID: domain.APIKeyID(text.Draw(t, "key")),
		},
		Action: text.Draw(t, "action"), Scope: domain.Scope{Kind: domain.ScopeKind(text.Draw(t, "scope")), ID: text.Draw(t, "scopeId")},
		Secret: domain.SecretID(text.Draw(t, "secret")), Field: domain.FieldKey(text.Draw(t, "field")), Detail: text.Draw(t, "detail"),
		Outcome: domain.Outcome(text.Draw(t, "outcome")), Code: domain.Code(text.Draw(t, "code")), Rule: domain.Rule(text.Draw(t, "rule")),
		Method: text.Draw(t, "method"), Route: text.Draw(t, "route"),
		Origin: domain.Origin{
			RequestID: text.Draw(t, "request"), ClientIP: text.Draw(t, "ip"), UserAgent: text.Draw(t, "agent"),
			Reason: text.Draw(t, "reason"), RunID: text.Draw(t, "run"), IdempotencyKey: text.Draw(t, "idempotency"),
		},
		TraceID: text.Draw(t, "trace"), Time: at.Draw(t, "time"), Count: rapid.Uint64().Draw(t, "count"), Until: at.Draw(t, "until"),
	}
}

// TestAccessAlwaysRecordable: whatever an access holds, it has one record of
// at most 8 KiB on one line, which can be read; and what was read has exactly
// those bytes again (invariants 1, 2 and 9).
func TestAccessAlwaysRecordable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAccess(t)
		raw := appendAccess([]byte("before"), &a)[len("before"):]
		if len(raw) > maxAccessRecord || strings.Count(string(raw), "\n") != 1 || !utf8.Valid(raw) || !json.Valid(raw) {
			t.Fatalf("%d bytes: %q", len(raw), raw)
		}
		got, err := DecodeAccess(raw)
		if err != nil || len(got) != 1 {
			t.Fatalf("%v: %s", err, raw)
		}
		if again := appendAccess(nil, &got[0]); string(again) != string(raw) {
			t.Fatalf("%s\nbecame\n%s", raw, again)
		}
		if !got[0].Time.Equal(recordTime(a.Time)) || got[0].Count != a.Count || a.Detail != "" && got[0].Detail == "" {
			t.Fatalf("%+v became %+v", a, got[0])
		}
	})
}

// TestAccessPackedIsAccessDecoded: the records that the recorder passes along
// with a message are exactly what decoding the message gives, and keep none of
// the memory of the requests that they came from.
func TestAccessPackedIsAccessDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m packed
		for range rapid.IntRange(1, 5).Draw(t, "records") {
			a := drawAccess(t)
			if rapid.Bool().Draw(t, "as the edge lets in") {
				a = accessSamples()["read"]
				a.Detail, a.Origin.Reason, a.Origin.RunID, a.Origin.UserAgent = "", "because", "", "test"
				a.Field = domain.FieldKey(rapid.StringMatching(`[a-z]{0,20}`).Draw(t, "a field"))
			}
			w := &waiter{}
			w.write(drawAccess(t)) // before it was used again
			w.write(a)
			if line := appendAccess(nil, &a); string(w.line) != string(line) {
				t.Fatalf("%s\nis written as\n%s", line, w.line)
			}
			m.data, m.waiters = append(m.data, w.line...), append(m.waiters, w)
		}
		want, err := DecodeAccess(m.data)
		if err != nil {
			t.Fatal(err)
		}
		got := m.records()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s:\n%s", m.data, diff)
		}
		for i, w := range m.waiters {
			if w.exact && len(w.texts) > 0 && w.access != (domain.Access{}) {
				t.Fatalf("record %d is kept", i)
			}
		}
	})
}

// TestAccessLargest: a record with nothing but the longest texts keeps the
// limit, and the texts that the edge lets in are not cut.
func TestAccessLargest(t *testing.T) {
	long := strings.Repeat(`"`, 5000)
	a := domain.Access{
		Org: domain.OrgID(long), Target: domain.OrgID(long),
		Actor:  domain.Actor{Kind: domain.ActorKind(long), ID: long, KeyID: domain.APIKeyID(long)},
		Action: long, Scope: domain.Scope{Kind: domain.ScopeKind(long), ID: long}, Secret: domain.SecretID(long),
		Field: domain.FieldKey(long), Detail: long, Outcome: domain.Outcome(long), Code: domain.Code(long), Rule: domain.Rule(long),
		Method: long, Route: long,
		Origin:  domain.Origin{RequestID: long, ClientIP: long, UserAgent: long, Reason: long, RunID: long, IdempotencyKey: long},
		TraceID: long, Time: sampleTime, Count: 1<<64 - 1, Until: sampleTime,
	}
	if n := len(appendAccess(nil, &a)); n > maxAccessRecord {
		t.Errorf("%d bytes", n)
	}
	for _, c := range []string{fourBytes, `"`, "x"} {
		header, id := strings.Repeat(c, domain.MaxHeaderLen), strings.Repeat("x", domain.MaxIDLen)
		a := domain.Access{
			Scope: domain.Scope{Kind: domain.ScopeProject, ID: id}, Secret: domain.SecretID(id), Field: domain.FieldKey(id), Detail: header,
			Origin: domain.Origin{RequestID: id, UserAgent: header, Reason: header, RunID: header, IdempotencyKey: id},
		}
		got, err := AccessAt(appendAccess(nil, &a), 0)
		if diff := cmp.Diff(a, got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	}
}

// FuzzDecodeAccess: decoding never panics, and what it accepts has exactly
// that one form (invariant 2).
func FuzzDecodeAccess(f *testing.F) {
	var all []byte
	for _, a := range accessSamples() {
		raw := appendAccess(nil, &a)
		f.Add(raw)
		all = append(all, raw...)
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, raw []byte) {
		records, err := DecodeAccess(raw)
		if err != nil {
			return
		}
		var again []byte
		for i := range records {
			again = appendAccess(again, &records[i])
			if one, err := AccessAt(raw, i); err != nil || one != records[i] {
				t.Errorf("record %d: %v", i, err)
			}
		}
		if string(again) != string(raw) {
			t.Errorf("%q\n%q", raw, again)
		}
	})
}

func BenchmarkAccessEncode(b *testing.B) {
	a := accessSamples()["read"]
	a.Detail, a.Origin.Reason, a.Origin.RunID = "", "nightly job", "run-7"
	var l accessLine
	l.write(a)
	b.ReportAllocs()
	b.SetBytes(int64(len(l.line)))
	for b.Loop() {
		l.write(a)
	}
}

func BenchmarkAccessDecode(b *testing.B) {
	a := accessSamples()["read"]
	line := appendAccess(nil, &a)
	var raw []byte
	for len(raw)+len(line) <= MaxAccessMessage {
		raw = append(raw, line...)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	n := 0
	for b.Loop() {
		records, err := DecodeAccess(raw)
		if err != nil {
			b.Fatal(err)
		}
		n += len(records)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
}
