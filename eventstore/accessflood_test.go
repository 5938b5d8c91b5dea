package eventstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

func failedLogin(ip string) domain.Access {
	return domain.Access{
		Action: domain.AccessAuthenticate, Outcome: domain.OutcomeFailed, Code: domain.CodeUnauthenticated,
		Method: "GET", Route: "/agent/whoami", Origin: domain.Origin{RequestID: "r", ClientIP: ip, UserAgent: "curl"},
	}
}

func denial(agent string, rule domain.Rule, secret domain.SecretID) domain.Access {
	return domain.Access{
		Org: sampleOrg, Target: sampleOrg, Actor: domain.Actor{Kind: domain.ActorAgent, ID: agent, KeyID: sampleKey},
		Action: string(domain.ActionRead), Scope: domain.Scope{Kind: domain.ScopeProject, ID: projectID}, Secret: secret,
		Outcome: domain.OutcomeDenied, Code: domain.CodeForbidden, Rule: rule, Method: "GET", Route: "/x",
		Origin: domain.Origin{RequestID: "r", ClientIP: "192.0.2.1"},
	}
}

// flooded records in a bubble of fake time and gives what is in the log after
// a second more than the window, and after the stop.
func flooded(t *testing.T, record func(t *testing.T, r *AccessRecorder)) (windowed, all []domain.Access) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := NewMemoryAccessLog(time.Now, nil)
		r, stop := runRecorder(t, l, AccessRecorderConfig{})
		record(t, r)
		time.Sleep(accessWindow + 2*time.Second)
		windowed = recorded(t, l)
		if err := stop(); err != nil {
			t.Error(err)
		}
		all = recorded(t, l)
	})
	return windowed, all
}

func summaries(all []domain.Access) (full int, sums []domain.Access) {
	for _, a := range all {
		if a.Count == 0 {
			full++
			continue
		}
		sums = append(sums, a)
	}
	return full, sums
}

// TestFlood: the first five of a kind are full records, the rest is one
// summary at the window's end, which says what all have in common.
func TestFlood(t *testing.T) {
	var begin time.Time
	windowed, all := flooded(t, func(t *testing.T, r *AccessRecorder) {
		begin = time.Now()
		for i := range 12 {
			for _, a := range []domain.Access{
				failedLogin("192.0.2.1"),
				failedLogin(fmt.Sprintf("2001:db8::%x", i+1)),
				denial(string(sampleAgent), domain.RuleNoMembership, domain.SecretID(fmt.Sprint("s", i))),
				denial("agt_other", domain.RuleNoMembership, "same"),
			} {
				if err := r.Record(t.Context(), a); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(time.Second)
		}
	})
	if diff := cmp.Diff(windowed, all); diff != "" {
		t.Errorf("stored at the stop alone:\n%s", diff)
	}
	full, sums := summaries(all)
	if full != 4*floodFull {
		t.Errorf("%d full records", full)
	}
	slices.SortFunc(sums, func(a, b domain.Access) int {
		return strings.Compare(a.Actor.ID+a.Origin.ClientIP, b.Actor.ID+b.Origin.ClientIP)
	})
	first, until := begin.Add(floodFull*time.Second).UTC(), begin.Add(11*time.Second).UTC()
	login := domain.Access{
		Action: domain.AccessAuthenticate, Outcome: domain.OutcomeFailed, Code: domain.CodeUnauthenticated,
		Method: "GET", Route: "/agent/whoami", Time: first, Until: until, Count: 7,
	}
	v4, v6 := login, login
	v4.Origin.ClientIP, v6.Origin.ClientIP = "192.0.2.1/32", "2001:db8::/64"
	several := denial(string(sampleAgent), domain.RuleNoMembership, "")
	several.Origin = domain.Origin{ClientIP: "192.0.2.1"}
	several.Time, several.Until, several.Count = first, until, 7
	same := several
	same.Actor.ID, same.Secret = "agt_other", "same"
	if diff := cmp.Diff([]domain.Access{v4, v6, several, same}, sums); diff != "" {
		t.Error(diff)
	}
}

// TestFloodKinds: rules, scope kinds, outcomes and codes of failures are told
// apart; nothing that a client chooses is.
func TestFloodKinds(t *testing.T) {
	base := denial(string(sampleAgent), domain.RuleNoMembership, "s")
	with := func(change func(*domain.Access)) domain.Access {
		a := base
		change(&a)
		return a
	}
	failed := func(code domain.Code) domain.Access {
		return with(func(a *domain.Access) { a.Outcome, a.Rule, a.Code = domain.OutcomeFailed, "", code })
	}
	for name, tt := range map[string]struct {
		other domain.Access
		same  bool
	}{
		"agent":      {with(func(a *domain.Access) { a.Actor.ID = "agt_x" }), false},
		"rule":       {with(func(a *domain.Access) { a.Rule = domain.RuleScopeArchived }), false},
		"scope kind": {with(func(a *domain.Access) { a.Scope.Kind = domain.ScopeTeam }), false},
		"outcome":    {failed(domain.CodeForbidden), false},
		"scope id":   {with(func(a *domain.Access) { a.Scope.ID = "x" }), true},
		"secret":     {with(func(a *domain.Access) { a.Secret = "x" }), true},
		"field":      {with(func(a *domain.Access) { a.Field = "x" }), true},
		"target":     {with(func(a *domain.Access) { a.Target = "x" }), true},
		"key":        {with(func(a *domain.Access) { a.Actor.KeyID = "x" }), true},
		"origin":     {with(func(a *domain.Access) { a.Origin = domain.Origin{RequestID: "x", ClientIP: "x", UserAgent: "x"} }), true},
		"method":     {with(func(a *domain.Access) { a.Method = "x" }), true},
		"detail":     {with(func(a *domain.Access) { a.Detail = "x" }), true},
		"trace":      {with(func(a *domain.Access) { a.TraceID = "x" }), true},
	} {
		if got := kindOf(base) == kindOf(tt.other); got != tt.same {
			t.Errorf("%s: same kind %v", name, got)
		}
	}
	if kindOf(failed(domain.CodeInvalidEnvelope)) == kindOf(failed(domain.CodeVersionMismatch)) {
		t.Error("failures of two codes are one kind")
	}
	for ip, want := range map[string]string{
		"192.0.2.9": "192.0.2.9/32", "::ffff:192.0.2.9": "192.0.2.9/32", "2001:db8:1:2:3::9": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "": "invalid Prefix", "nonsense": "invalid Prefix",
	} {
		if got := prefixOf(ip).String(); got != want {
			t.Errorf("%q: %s", ip, got)
		}
	}
}

// TestFloodAllowed: what was allowed is always a full record (invariant 8).
func TestFloodAllowed(t *testing.T) {
	_, all := flooded(t, func(t *testing.T, r *AccessRecorder) {
		a := denial(string(sampleAgent), domain.RuleOwnScope, "s")
		a.Outcome = domain.OutcomeAllowed
		for range 50 {
			if err := r.Record(t.Context(), a); err != nil {
				t.Error(err)
			}
		}
	})
	if full, sums := summaries(all); full != 50 || sums != nil {
		t.Errorf("%d full records, %v", full, sums)
	}
}

// TestFloodWindow: a kind is forgotten after its window, and what is open at
// the stop is stored.
func TestFloodWindow(t *testing.T) {
	windowed, all := flooded(t, func(t *testing.T, r *AccessRecorder) {
		for round := range 2 {
			for range 9 {
				if err := r.Record(t.Context(), failedLogin("192.0.2.1")); err != nil {
					t.Error(err)
				}
			}
			if round == 0 {
				time.Sleep(2 * accessWindow)
			}
		}
		time.Sleep(2 * accessWindow)
		for range 7 {
			if err := r.Record(t.Context(), failedLogin("192.0.2.2")); err != nil {
				t.Error(err)
			}
		}
	})
	full, sums := summaries(windowed)
	if full != 3*floodFull || len(sums) != 3 || len(all) != len(windowed) {
		t.Errorf("%d full records, %v", full, sums)
	}
	synctest.Test(t, func(t *testing.T) {
		l := NewMemoryAccessLog(time.Now, nil)
		r, stop := runRecorder(t, l, AccessRecorderConfig{})
		for range 9 {
			if err := r.Record(t.Context(), failedLogin("192.0.2.1")); err != nil {
				t.Error(err)
			}
		}
		if _, sums := summaries(recorded(t, l)); sums != nil {
			t.Errorf("before the window's end: %v", sums)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if _, sums := summaries(recorded(t, l)); len(sums) != 1 || sums[0].Count != 4 {
			t.Errorf("at the stop: %v", sums)
		}
	})
}

// TestFloodBound: ever new addresses do not grow the table, nor do they take
// away what tells agents apart; every access is counted once (invariant 8).
func TestFloodBound(t *testing.T) {
	f := newFloods(time.Minute)
	const each, addresses = 2, floodAddresses + 3000
	var full, counted uint64
	count := func(a domain.Access) {
		if f.count(a, sampleTime) {
			counted++
		} else {
			full++
		}
	}
	for i := range addresses {
		for range each {
			count(failedLogin(fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff)))
		}
	}
	if len(f.kinds) != floodAddresses+1 || full != each*floodAddresses {
		t.Errorf("%d kinds, %d full records", len(f.kinds), full)
	}
	for i := range floodAgents + 10 {
		count(denial(fmt.Sprint("agt_", i), domain.RuleNoMembership, "s"))
	}
	if len(f.kinds) != floodAddresses+floodAgents+2 {
		t.Errorf("%d kinds", len(f.kinds))
	}
	due := f.take(sampleTime, true)
	if len(f.kinds) != 0 || f.addresses != 0 || f.agents != 0 || len(due) != 2 {
		t.Errorf("%d kinds, %d and %d, %d summaries", len(f.kinds), f.addresses, f.agents, len(due))
	}
	var total uint64
	for _, d := range due {
		total += d.sum.Count
		if d.sum.Origin.ClientIP != "" || d.sum.Actor.ID != "" {
			t.Errorf("%+v names one of many", d.sum)
		}
	}
	if total != counted || full+counted != each*addresses+floodAgents+10 {
		t.Errorf("%d in summaries, %d counted, %d full", total, counted, full)
	}
}

// TestFloodLaw: whatever comes and whatever fails to be stored, each refusal
// is a full record or counted in exactly one summary, and the table is empty
// in the end.
func TestFloodLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFloods(time.Minute)
		now := sampleTime
		var full, counted, taken uint64
		t.Repeat(map[string]func(*rapid.T){
			"login": func(t *rapid.T) {
				a := failedLogin(rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "::1", "x"}).Draw(t, "ip"))
				a.Time = now
				if f.count(a, now) {
					counted++
				} else {
					full++
				}
			},
			"denial": func(t *rapid.T) {
				a := denial(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "agent"), domain.RuleNoMembership, "s")
				a.Time = now
				if f.count(a, now) {
					counted++
				} else {
					full++
				}
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "later")))
			},
			"store": func(t *rapid.T) {
				due := f.take(now, false)
				stored := rapid.IntRange(0, len(due)).Draw(t, "stored")
				for _, d := range due[:stored] {
					taken += d.sum.Count
				}
				f.giveBack(due[stored:])
			},
		})
		for _, d := range f.take(now, true) {
			taken += d.sum.Count
			if d.sum.Until.Before(d.sum.Time) {
				t.Fatalf("until %v, from %v", d.sum.Until, d.sum.Time)
			}
		}
		if taken != counted || len(f.kinds) != 0 || f.addresses != 0 || f.agents != 0 {
			t.Fatalf("%d of %d in summaries, %d full, %d kinds, %d and %d", taken, counted, full, len(f.kinds), f.addresses, f.agents)
		}
	})
}

// TestFloodGivenBack: summaries beyond the bounds share one also when they
// come back.
func TestFloodGivenBack(t *testing.T) {
	f := newFloods(time.Minute)
	fill := func() {
		for i := range floodAddresses + 1 {
			f.count(failedLogin(fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff)), sampleTime)
		}
	}
	fill()
	for range 2 * floodFull {
		f.count(failedLogin("2001:db8:0:7::1"), sampleTime)
	}
	due := f.take(sampleTime, true)
	for i := range floodAddresses {
		f.count(failedLogin(fmt.Sprintf("2001:db9:%x:%x::1", i>>16, i&0xffff)), sampleTime)
	}
	f.giveBack(due)
	if len(f.kinds) != floodAddresses+1 || f.addresses != floodAddresses {
		t.Errorf("%d kinds, %d", len(f.kinds), f.addresses)
	}
	again := f.take(sampleTime, true)
	if len(again) != 1 || again[0].sum.Count != 1+floodFull+1 {
		t.Errorf("%+v", again)
	}
}

// TestFloodStoredLater: a refusal that is only counted does not wait for the
// log, and the summary is stored once the log is back.
func TestFloodStoredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failing atomic.Bool
		l := NewMemoryAccessLog(time.Now, func(Op) (bool, error) {
			if failing.Load() {
				return false, ErrUnavailable
			}
			return true, nil
		})
		m := &meter{}
		r, stop := runRecorder(t, l, AccessRecorderConfig{Observer: m})
		for i := range 20 {
			if err := r.Record(t.Context(), failedLogin("192.0.2.1")); err != nil {
				t.Error(err)
			}
			failing.Store(i >= floodFull-1)
		}
		if err := r.Record(t.Context(), accessOf(1)); !errors.Is(err, ErrUnavailable) {
			t.Errorf("an allowed access: %v", err)
		}
		time.Sleep(2 * accessWindow)
		if _, sums := summaries(recorded(t, l)); sums != nil || m.failures.Load() < 2 || m.summarised.Load() != 15 {
			t.Errorf("%v, %d failures, %d summarised", sums, m.failures.Load(), m.summarised.Load())
		}
		failing.Store(false)
		time.Sleep(2 * accessWindow)
		if _, sums := summaries(recorded(t, l)); len(sums) != 1 || sums[0].Count != 15 {
			t.Errorf("%v", sums)
		}
		for range 7 {
			if err := r.Record(t.Context(), failedLogin("192.0.2.1")); err != nil {
				t.Error(err)
			}
		}
		failing.Store(true)
		if err := stop(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a stop that loses a summary: %v", err)
		}
	})
}
