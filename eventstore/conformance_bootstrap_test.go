package eventstore

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
)

func founding(first uint64) (domain.Stream, []domain.Proposed) {
	org := domain.Scope{Kind: domain.ScopeOrg, ID: string(sampleOrg)}
	ps := []domain.Proposed{
		bySystem(first, domain.ScopeCreated{Scope: org, Name: "Org"}),
		bySystem(first+1, domain.ScopeCreated{Scope: domain.Scope{Kind: domain.ScopeAgent, ID: string(sampleAgent)}, Name: "admin"}),
		bySystem(first+2, domain.MembershipGranted{Agent: sampleAgent, Scope: org, Role: domain.RoleAdmin}),
		bySystem(first+3, domain.APIKeyIssued{ID: sampleKey, Agent: sampleAgent, LookupID: "abcDEF012345", Hash: [32]byte{1}}),
	}
	for i := range ps {
		ps[i].Version = uint64(i + 1)
	}
	return domain.DirectoryStream{Org: sampleOrg}, ps
}

// testBootstrap: on an empty log alone, all or none, and appends go on behind.
func testBootstrap(t *testing.T, r *rig) {
	stream, ps := founding(1)
	rs, err := r.Bootstrap(t.Context(), stream, ps)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(collect(t, r.Read(t.Context(), 0)), rs); diff != "" || len(rs) != 4 {
		t.Errorf("stored:\n%s", diff)
	}
	_, others := founding(11)
	if _, err := r.Bootstrap(t.Context(), stream, others); !errors.Is(err, ErrConflict) {
		t.Errorf("a second bootstrap: %v", err)
	}
	elsewhere := domain.DirectoryStream{Org: otherOrg}
	created := bySystem(20, domain.ScopeCreated{Scope: domain.Scope{Kind: domain.ScopeOrg, ID: string(otherOrg)}, Name: "Other"})
	if _, err := r.Bootstrap(t.Context(), elsewhere, []domain.Proposed{created}); !errors.Is(err, ErrConflict) {
		t.Errorf("a bootstrap of another org: %v", err)
	}
	again, err := r.Bootstrap(t.Context(), stream, ps)
	if diff := cmp.Diff(rs, again); err != nil || diff != "" {
		t.Errorf("the same bootstrap again: %v\n%s", err, diff)
	}
	mustAppend(t, r, stream, 4, fieldless(30, 5))
	if got := len(collect(t, r.Read(t.Context(), 0))); got != 5 {
		t.Errorf("%d events are stored", got)
	}
}

// fieldless gives a small event for a directory.
func fieldless(n, version uint64) domain.Proposed {
	p := proposed(n, domain.APIKeyRevoked{ID: sampleKey, Agent: sampleAgent})
	p.Version = version
	return p
}

// testBootstrapLost: a lost acknowledgement of the batch is settled too.
func testBootstrapLost(stored bool) func(*testing.T, *rig) {
	return func(t *testing.T, r *rig) {
		r.inject(func(op Op) (bool, error) {
			if op.Kind == OpBootstrap && op.Attempt == 1 {
				return stored, errLost
			}
			return true, nil
		})
		stream, ps := founding(1)
		rs, err := r.Bootstrap(t.Context(), stream, ps)
		if err != nil || len(rs) != 4 || rs[0].Position != 1 || rs[3].Position != 4 {
			t.Errorf("%v, %v", rs, err)
		}
		if diff := cmp.Diff(collect(t, r.Read(t.Context(), 0)), rs); diff != "" {
			t.Error(diff)
		}
	}
}

// testBootstrapRival: another organization's bootstrap came between.
func testBootstrapRival(t *testing.T, r *rig) {
	r.inject(func(op Op) (bool, error) {
		if op.Kind == OpBootstrap && op.Attempt == 1 {
			r.without(func() { mustAppend(t, r, secretStream("s"), 0, fieldSet(50, 1)) })
			return false, errLost
		}
		return true, nil
	})
	stream, ps := founding(1)
	if _, err := r.Bootstrap(t.Context(), stream, ps); !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
}

// testBootstrapRace: two empty nodes make one organization.
func testBootstrapRace(t *testing.T, r *rig) {
	const nodes = 6
	errs := make([]error, nodes)
	var wg sync.WaitGroup
	for n := range nodes {
		wg.Go(func() {
			stream, ps := founding(uint64(1 + 10*n))
			_, errs[n] = r.Bootstrap(t.Context(), stream, ps)
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, ErrConflict) {
			t.Error(err)
		}
	}
	if stored := collect(t, r.Read(t.Context(), 0)); won != 1 || len(stored) != 4 {
		t.Errorf("%d winners, %d events", won, len(stored))
	}
}
