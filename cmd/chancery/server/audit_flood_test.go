package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
)

// TestAuditFloods: of a flood of refusals the first are records of their own
// and the rest summaries; no refusal is lost in counting, and what is recorded
// stays bounded.
func TestAuditFloods(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, func(c *server.Config) { c.CheckpointInterval, c.TrustedProxies = time.Minute, []string{"127.0.0.0/8"} })
	const failures, denials, senders = 10_000, 500, 8
	stranger := w.newAgent(t, "stranger")
	from := time.Now().Add(-time.Second).UTC()
	flood := func(n int, by func(i int) caller, with ...func(r *http.Request, i int)) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
		defer client.CloseIdleConnections()
		var all sync.WaitGroup
		for s := range senders {
			all.Go(func() {
				for i := s; i < n; i += senders {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL+w.team.path("s"), nil)
					if err != nil {
						t.Error(err)
						return
					}
					req.Header.Set("Authorization", "Bearer "+by(i).key)
					for _, change := range with {
						change(req, i)
					}
					res, err := client.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					_ = res.Body.Close()
					if res.StatusCode != 401 && res.StatusCode != 403 {
						t.Errorf("status %d", res.StatusCode)
						return
					}
				}
			})
		}
		all.Wait()
	}
	const addresses = 10_500
	bad := []caller{{key: "chy_nonsense"}, {key: stranger.key[:len(stranger.key)-1]}, {key: strings.Repeat("x", 200)}}
	flood(failures, func(i int) caller { return bad[i%len(bad)] })
	flood(denials, func(int) caller { return stranger.caller })
	flood(addresses, func(int) caller { return bad[0] }, func(r *http.Request, i int) {
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.1.%d.%d", i>>8, i&255))
	})
	w.restart(t) // an orderly stop writes the open summaries

	rows := w.access(t, "limit", "1000")
	sum := func(pick func(accessRow) bool) (records, total int) {
		for _, r := range rows {
			if !pick(r) {
				continue
			}
			records++
			total += max(1, r.Count)
			if r.Count > 0 {
				if instant(t, r.Until).Before(instant(t, r.Time)) || instant(t, r.Time).Before(from) {
					t.Errorf("a summary from %s to %s", r.Time, r.Until)
				}
			}
		}
		return records, total
	}
	const elsewhere = "10."
	records, total := sum(func(r accessRow) bool {
		return r.Action == "authenticate" && r.ClientIP != "" && !strings.HasPrefix(r.ClientIP, elsewhere)
	})
	t.Logf("failed authentications: %d records for %d", records, total)
	if total != failures || records < 5 || records > 20 {
		t.Errorf("%d failed authentications are %d records that count %d", failures, records, total)
	}
	records, total = sum(func(r accessRow) bool { return r.actor() == stranger.id && r.Outcome == "denied" })
	t.Logf("denials: %d records for %d", records, total)
	if total != denials || records < 5 || records > 20 {
		t.Errorf("%d denials are %d records that count %d", denials, records, total)
	}
	records, total = sum(func(r accessRow) bool {
		return r.Action == "authenticate" && (r.ClientIP == "" || strings.HasPrefix(r.ClientIP, elsewhere))
	})
	t.Logf("addresses: %d records for %d", records, total)
	if total != addresses || records > 10_001 {
		t.Errorf("failures from %d addresses are %d records that count %d", addresses, records, total)
	}
	for _, r := range rows {
		if strings.Contains(r.Detail, "nonsense") || strings.Contains(r.Detail, stranger.key[17:]) {
			t.Errorf("a record has a presented key: %s", r.Detail)
		}
	}
}
