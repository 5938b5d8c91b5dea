package eventstore

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

const (
	// floodFull is how many accesses of a kind are full records in a window.
	floodFull = 5
	// floodAddresses and floodAgents bound the kinds that are told apart, those
	// of addresses and those of agents: nobody without a key can take away what
	// tells agents apart. Together they are the 10,000 summaries that can be
	// open; further kinds share one for each action and outcome.
	floodAddresses = 5000
	floodAgents    = 5000
	// addressBits of an IPv6 address are what one site has.
	addressBits = 64
)

// kind says which refusals are counted together. Nothing in it is a text that
// a client chose.
type kind struct {
	outcome domain.Outcome
	address netip.Prefix // where nobody was authenticated
	agent   string
	rule    domain.Rule
	code    domain.Code // of what failed; a denial has a rule
	scope   domain.ScopeKind
	action  string // of the shared summaries, which have nothing else
}

// flood is one kind in its window.
type flood struct {
	kind  kind
	begin time.Time
	full  int
	// sum is the summary of those that are not full records; Count 0 while
	// there is none.
	sum domain.Access
}

// floods bounds what refusals can put into the access log. Allowed accesses
// never come here. Safe for concurrent use.
type floods struct {
	window time.Duration

	mu        sync.Mutex
	kinds     map[kind]*flood
	addresses int // among kinds
	agents    int // among kinds
}

func newFloods(window time.Duration) *floods {
	return &floods{window: window, kinds: map[kind]*flood{}}
}

// count says that an access was counted for a summary; false: it is one of the
// first of its kind and must be a full record.
func (f *floods) count(a domain.Access, now time.Time) bool {
	k := kindOf(a)
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.entry(k, a, now)
	if e.full < floodFull {
		e.full++
		return false
	}
	merge(&e.sum, summary(a, e.kind))
	return true
}

// entry finds the flood that an access belongs to, or begins it. mu must be
// held.
func (f *floods) entry(k kind, a domain.Access, now time.Time) *flood {
	if e, ok := f.kinds[k]; ok {
		return e
	}
	e := &flood{kind: k, begin: now}
	switch {
	case k.action != "": // a shared one that is given back
	case k.agent == "" && f.addresses < floodAddresses:
		f.addresses++
	case k.agent != "" && f.agents < floodAgents:
		f.agents++
	default:
		e.kind = kind{action: a.Action, outcome: a.Outcome}
		e.full = floodFull
		if shared, ok := f.kinds[e.kind]; ok {
			return shared
		}
	}
	e.kind.agent = strings.Clone(e.kind.agent)
	f.kinds[e.kind] = e
	return e
}

// take gives the summaries whose window is over, or all, and forgets their
// kinds and those that had none.
func (f *floods) take(now time.Time, all bool) []flood {
	f.mu.Lock()
	defer f.mu.Unlock()
	var due []flood
	for k, e := range f.kinds {
		if !all && now.Sub(e.begin) < f.window {
			continue
		}
		delete(f.kinds, k)
		switch {
		case k.action != "":
		case k.agent == "":
			f.addresses--
		default:
			f.agents--
		}
		if e.sum.Count > 0 {
			due = append(due, *e)
		}
	}
	return due
}

// giveBack takes summaries that could not be stored in again: nothing that
// was counted is lost, and the bounds hold.
func (f *floods) giveBack(due []flood) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range due {
		e := f.entry(d.kind, d.sum, d.begin)
		e.begin = earlier(e.begin, d.begin)
		e.full = floodFull
		merge(&e.sum, d.sum)
	}
}

func kindOf(a domain.Access) kind {
	k := kind{outcome: a.Outcome, rule: a.Rule, scope: a.Scope.Kind}
	if a.Outcome == domain.OutcomeFailed {
		k.code = a.Code
	}
	if a.Actor.ID == "" {
		return kind{outcome: a.Outcome, address: prefixOf(a.Origin.ClientIP)}
	}
	k.agent = a.Actor.ID
	return k
}

// prefixOf gives the /32 or /64 that an address is in, the zero prefix for
// what is no address.
func prefixOf(ip string) netip.Prefix {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = addressBits
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// summary gives what a single access says in a summary of its kind. Its texts
// are copies: they may be parts of a large request.
func summary(a domain.Access, k kind) domain.Access {
	s := domain.Access{
		Org: a.Org, Target: domain.OrgID(strings.Clone(string(a.Target))), Actor: a.Actor, Action: a.Action,
		Scope:  domain.Scope{Kind: a.Scope.Kind, ID: strings.Clone(a.Scope.ID)},
		Secret: domain.SecretID(strings.Clone(string(a.Secret))), Outcome: a.Outcome, Code: a.Code, Rule: a.Rule,
		Method: strings.Clone(a.Method), Route: a.Route,
		Time: a.Time, Count: max(1, a.Count), Until: a.Time,
	}
	switch {
	case k.address.IsValid():
		s.Origin.ClientIP = k.address.String()
	case k.agent != "":
		s.Origin.ClientIP = strings.Clone(a.Origin.ClientIP)
	}
	return s
}

// merge adds accesses to a summary: it goes on saying only what all of them
// agree in.
func merge(into *domain.Access, s domain.Access) {
	if into.Count == 0 {
		*into = s
		return
	}
	into.Count += s.Count
	into.Time = earlier(into.Time, s.Time)
	if s.Until.After(into.Until) {
		into.Until = s.Until
	}
	agree(&into.Org, s.Org)
	agree(&into.Target, s.Target)
	agree(&into.Actor, s.Actor)
	agree(&into.Action, s.Action)
	agree(&into.Scope.Kind, s.Scope.Kind)
	agree(&into.Scope.ID, s.Scope.ID)
	agree(&into.Secret, s.Secret)
	agree(&into.Outcome, s.Outcome)
	agree(&into.Code, s.Code)
	agree(&into.Rule, s.Rule)
	agree(&into.Method, s.Method)
	agree(&into.Route, s.Route)
	agree(&into.Origin.ClientIP, s.Origin.ClientIP)
}

func agree[T comparable](into *T, v T) {
	if *into != v {
		var none T
		*into = none
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
