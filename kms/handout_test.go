package kms

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// Invariant 7 against a model of plain lists: limits hold, the window is
// counted from the hand-out, and one path has one key.
func TestHandOutProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const perAgent, total = 3, 7
		h := newHandOuts(perAgent, total)
		now, made := testTime, byte(0)
		type row struct {
			path openPath
			kek  domain.KekID
			at   time.Time
		}
		var model []row
		live := func(match func(row) bool) (rows []row) {
			for _, r := range model {
				if match(r) {
					rows = append(rows, r)
				}
			}
			return rows
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "wait") == 0 {
				now = now.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "seconds")) * time.Second)
			}
			model = live(func(r row) bool { return now.Sub(r.at) <= handOutWindow })
			path := openPath{
				agent: domain.AgentID(rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "agent")),
				ref:   domain.SecretRef{ID: domain.SecretID(rapid.SampledFrom([]string{"1", "2", "3", "4", "5"}).Draw(t, "secret"))},
			}
			known := live(func(r row) bool { return r.path == path })
			kek, ok := h.get(path, now)
			if ok != (len(known) == 1) || ok && kek != known[0].kek {
				t.Fatalf("get gives %v, the model has %v", ok, known)
			}
			if rapid.IntRange(0, 5).Draw(t, "end") == 0 && ok {
				h.end(kek)
				model = live(func(r row) bool { return r.kek != kek })
			} else if !ok {
				mine := live(func(r row) bool { return r.path.agent == path.agent })
				made++
				fresh := domain.KekID{made}
				got, err := h.put(path, fresh, now)
				if (err != nil) != (len(mine) >= perAgent) {
					t.Fatalf("put with %d open: %v", len(mine), err)
				}
				if err != nil {
					var refused *domain.Error
					if !errors.As(err, &refused) || refused.Code != domain.CodeRateLimited {
						t.Fatal(err)
					}
					if want := max(time.Second, mine[0].at.Add(handOutWindow).Sub(now)); refused.RetryAfter != want {
						t.Fatalf("retry after %v, want %v", refused.RetryAfter, want)
					}
					continue
				}
				if got != fresh {
					t.Fatal("put gave another key for a path that had none")
				}
				if len(model) == total {
					model = model[1:]
				}
				model = append(model, row{path, fresh, now})
			} else if got, err := h.put(path, domain.KekID{255, made}, now); err != nil || got != kek {
				t.Fatalf("a second key for one path, error %v", err)
			}
			agents := map[domain.AgentID]bool{}
			for _, r := range model {
				agents[r.path.agent] = true
			}
			if h.len() != len(model) || len(h.byPath) != len(model) || len(h.byKek) != len(model) || len(h.agents) != len(agents) {
				t.Fatalf("%d open mints, the model has %d", h.len(), len(model))
			}
		}
	})
}
