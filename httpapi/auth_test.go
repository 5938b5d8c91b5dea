package httpapi_test

import (
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi"
)

// TestAuthentication verifies which keys are accepted, that a refusal tells
// nothing, and what is recorded of it.
func TestAuthentication(t *testing.T) {
	w := newWorld(t)
	whoami := request{method: "GET", path: "/agent/identity/whoami"}
	send := func(authorization ...string) request {
		r := whoami
		if len(authorization) > 0 {
			r.add = http.Header{"Authorization": authorization}
		}
		return r
	}
	good := w.writer.token
	w.want(200, send("Bearer "+good))
	w.want(200, send("bearer "+good))
	w.recorder.take()

	other := w.newKey(w.org, w.viewer.id, time.Time{})
	var lookup [9]byte
	unknown := domain.NewToken(lookup, [32]byte{1}).Reveal()
	secretless := good[:17] + other[17:60] // another key's secret under this one's lookup id, without a checksum
	expired := w.newKey(w.org, w.writer.id, w.clock.now().Add(time.Minute))
	w.want(200, send("Bearer "+expired))
	w.clock.advance(time.Minute)
	revoked := w.newKey(w.org, w.writer.id, time.Time{})
	key, _, _ := w.store.Authenticate(revoked[4:16])
	w.want(200, send("Bearer "+revoked))
	w.decide(w.org, domain.RevokeKey{ID: key.ID, Agent: w.writer.id})
	archived := w.newMember(w.org, "archived", domain.Scope{}, "")
	w.want(200, send("Bearer "+archived.token))
	w.decide(w.org, domain.SetArchived{Scope: archived.scope(), Archived: true})
	w.recorder.take()

	details := map[string]bool{}
	for name, values := range map[string][]string{
		"none": nil, "empty": {""}, "no scheme": {good}, "basic": {"Basic " + good}, "twice": {"Bearer " + good, "Bearer " + good},
		"blank behind": {"Bearer " + good + " x"}, "two blanks": {"Bearer  " + good}, "tab": {"Bearer\t" + good}, "mistyped": {"Bearer " + good[:20] + "0" + good[21:]},
		"cut": {"Bearer " + good[:65]}, "unknown": {"Bearer " + unknown}, "mixed": {"Bearer " + secretless}, "other secret": {"Bearer " + rechecked(good, other)},
		"expired": {"Bearer " + expired}, "revoked": {"Bearer " + revoked}, "archived agent": {"Bearer " + archived.token},
	} {
		if name == "mistyped" && good[20] == '0' {
			continue
		}
		p := w.refused(domain.CodeUnauthenticated, send(values...))
		details[p.Detail] = true
		records := w.recorder.take()
		if len(records) != 1 || records[0].Action != "authenticate" || records[0].Outcome != "failed" || records[0].Origin.ClientIP == "" {
			t.Errorf("%s: recorded %+v", name, records)
		}
		if known := name == "expired" || name == "revoked"; known != (len(records) == 1 && records[0].Actor.KeyID != "") {
			t.Errorf("%s: recorded actor %+v", name, records[0].Actor)
		}
		if looked := name == "expired" || name == "revoked" || name == "other secret" || name == "unknown" || name == "archived agent"; looked != (len(records) == 1 && strings.HasPrefix(records[0].Detail, "lookup id ")) {
			t.Errorf("%s: recorded %q", name, records[0].Detail)
		}
		if name == "other secret" && records[0].Target != w.org {
			t.Errorf("recorded target %q", records[0].Target)
		}
	}
	if len(details) != 1 {
		t.Errorf("refusals differ: %v", details)
	}
	if got := w.send(send()); got.Header.Get("Www-Authenticate") != `Bearer realm="chancery"` {
		t.Errorf("headers %v", got.Header)
	}
	if log := w.log.String(); strings.Contains(log, good[17:60]) || strings.Contains(log, unknown[17:60]) {
		t.Error("a token stands in the log")
	}
}

// rechecked joins one token's lookup id with another's secret, under a
// checksum that holds.
func rechecked(lookupOf, secretOf string) string {
	text := lookupOf[:17] + secretOf[17:60]
	return text + checksum(text)
}

// checksum is a token's, written independently of the domain's.
func checksum(text string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := crc32.ChecksumIEEE([]byte(text))
	var out [6]byte
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = digits[sum%62]
		sum /= 62
	}
	return string(out[:])
}

// TestFailuresAreBounded verifies that an address which fails too often is
// told to wait and no longer recorded, while a valid key from there works.
func TestFailuresAreBounded(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.FailureRate = httpapi.Rate{PerSecond: 0.5, Burst: 3} })
	whoami := request{method: "GET", path: "/agent/identity/whoami"}
	for range 3 {
		w.refused(domain.CodeUnauthenticated, whoami)
	}
	w.recorder.take()
	got := w.want(429, whoami)
	if seconds, err := strconv.Atoi(got.Header.Get("Retry-After")); err != nil || seconds != 2 {
		t.Errorf("Retry-After %q", got.Header.Get("Retry-After"))
	}
	if records := w.recorder.take(); len(records) > 0 {
		t.Errorf("recorded %+v", records)
	}
	w.want(200, request{method: "GET", path: "/agent/identity/whoami", as: w.writer})
	w.clock.advance(2 * time.Second)
	w.refused(domain.CodeUnauthenticated, whoami)
}

// TestAgentRate verifies that each agent has its own bound.
func TestAgentRate(t *testing.T) {
	w := newWorld(t, func(c *httpapi.Config) { c.AgentRate = httpapi.Rate{PerSecond: 1, Burst: 2} })
	whoami := request{method: "GET", path: "/agent/identity/whoami", as: w.writer}
	w.want(200, whoami)
	w.want(200, whoami)
	w.refused(domain.CodeRateLimited, whoami)
	w.want(200, request{method: "GET", path: "/agent/identity/whoami", as: w.viewer})
	w.want(200, request{method: "GET", path: "/healthz"})
	w.clock.advance(time.Second)
	w.want(200, whoami)
}

// TestLimiter verifies the bucket's arithmetic and that its memory is
// bounded, the key that was used least lately being forgotten.
func TestLimiter(t *testing.T) {
	now := time.Unix(1000, 0)
	l := httpapi.NewLimiter(httpapi.Rate{PerSecond: 2, Burst: 1}, func() time.Time { return now })
	if _, ok := httpapi.Take(l, "a"); !ok {
		t.Fatal("a full bucket gave nothing")
	}
	if wait, ok := httpapi.Take(l, "a"); ok || wait != 500*time.Millisecond {
		t.Errorf("got %v, %v", wait, ok)
	}
	now = now.Add(-time.Hour)
	if _, ok := httpapi.Take(l, "a"); ok {
		t.Error("a clock that went back filled the bucket")
	}
	now = now.Add(2 * time.Hour)
	if _, ok := httpapi.Take(l, "a"); !ok {
		t.Error("the bucket was not filled")
	}
	for i := range 10_050 {
		httpapi.Take(l, strconv.Itoa(i))
	}
	if n := httpapi.Buckets(l); n != 10_000 {
		t.Errorf("%d buckets", n)
	}
	if _, ok := httpapi.Take(l, "10049"); ok {
		t.Error("the newest key was forgotten")
	}
	if _, ok := httpapi.Take(l, "0"); !ok {
		t.Error("the oldest key was kept")
	}
	if _, ok := httpapi.Take(nil, "a"); !ok {
		t.Error("no limiter limits")
	}
}

// TestAddressPrefix verifies what counts as one client.
func TestAddressPrefix(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "": "", "x": "",
	} {
		if got := httpapi.AddressPrefix(ip); got != want {
			t.Errorf("%s: got %s, want %s", ip, got, want)
		}
	}
}

// TestClientAddress verifies that nobody's header is believed unless the
// configuration says whose.
func TestClientAddress(t *testing.T) {
	w := newWorld(t)
	w.want(201, request{method: "PUT", path: w.path(w.project, "db"), as: w.writer, body: createBody, header: map[string]string{"X-Forwarded-For": "198.51.100.9", "X-Real-Ip": "198.51.100.9", "Forwarded": "for=198.51.100.9"}})
	if ip := w.store.history[domain.SecretRef{Org: w.org, Scope: w.project, ID: "db"}][0].Origin.ClientIP; ip != "127.0.0.1" {
		t.Errorf("recorded %s", ip)
	}
	w = newWorld(t, func(c *httpapi.Config) { c.IPExtractor = func(*http.Request) string { return "203.0.113.1" } })
	w.want(201, request{method: "PUT", path: w.path(w.project, "db"), as: w.writer, body: createBody})
	if ip := w.store.history[domain.SecretRef{Org: w.org, Scope: w.project, ID: "db"}][0].Origin.ClientIP; ip != "203.0.113.1" {
		t.Errorf("recorded %s", ip)
	}
}

// TestConfig verifies that a config that lacks something is refused.
func TestConfig(t *testing.T) {
	good := newWorld(t).config
	for name, change := range map[string]func(*httpapi.Config){
		"writer": func(c *httpapi.Config) { c.Writer = nil }, "state": func(c *httpapi.Config) { c.State = nil }, "keys": func(c *httpapi.Config) { c.Keys = nil },
		"health": func(c *httpapi.Config) { c.Health = nil }, "logger": func(c *httpapi.Config) { c.Logger = nil }, "registry": func(c *httpapi.Config) { c.Registry = nil },
		"now": func(c *httpapi.Config) { c.Now = nil }, "rand": func(c *httpapi.Config) { c.Rand = nil }, "wait": func(c *httpapi.Config) { c.MaxWait = -1 },
		"rate": func(c *httpapi.Config) { c.AgentRate.PerSecond = 1 }, "burst": func(c *httpapi.Config) { c.FailureRate.Burst = 1 }, "registered": func(*httpapi.Config) {},
	} {
		c := good
		change(&c)
		if _, err := httpapi.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
