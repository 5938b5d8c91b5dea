package reports

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// world is every organization's directory at the moment of the query.
type world struct {
	byOrg map[domain.OrgID]*domain.Directory
	root  *domain.Directory // of the bootstrap organization
	last  time.Time         // of the last event
}

// foldDirectories folds to the moment of the query. each, if not nil, is shown
// every event, after it was applied.
func (v *view) foldDirectories(ctx context.Context, each func(domain.Recorded)) (*world, error) {
	w := &world{byOrg: map[domain.OrgID]*domain.Directory{}}
	for r, err := range v.eventsAt(ctx) {
		if err != nil {
			return nil, err
		}
		w.last = r.At
		if s, ok := r.Stream.(domain.DirectoryStream); ok {
			d := w.byOrg[s.Org]
			if d == nil {
				d = domain.NewDirectory(s.Org)
				w.byOrg[s.Org] = d
			}
			d.Apply(r)
			if d.Root {
				w.root = d
			}
		}
		if each != nil {
			each(r)
		}
	}
	return w, nil
}

func (w *world) orgs() []domain.OrgID { return slices.Sorted(maps.Keys(w.byOrg)) }

// agents gives the agents of a directory that can be authenticated, by id.
func agents(d *domain.Directory) []domain.Principal {
	var found []domain.Principal
	for scope := range d.Scopes {
		if scope.Kind != domain.ScopeAgent {
			continue
		}
		if p, ok := d.Compile(domain.AgentID(scope.ID), ""); ok {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b domain.Principal) int { return cmp.Compare(a.Agent, b.Agent) })
	return found
}

// secrets folds the living secrets at the moment of the query, without values,
// by path.
type secrets map[domain.SecretRef]*domain.Secret

func (ss secrets) apply(r domain.Recorded) {
	stream, ok := r.Stream.(domain.SecretStream)
	if !ok {
		return
	}
	s := ss[stream.Ref]
	if s == nil {
		s = &domain.Secret{Ref: stream.Ref}
		ss[stream.Ref] = s
	}
	if s.Replay(domain.Metadata(r)); !s.Exists {
		delete(ss, stream.Ref)
	}
}

func (ss secrets) sorted() []*domain.Secret {
	return slices.SortedFunc(maps.Values(ss), func(a, b *domain.Secret) int { return compareRefs(a.Ref, b.Ref) })
}

func compareRefs(a, b domain.SecretRef) int {
	return cmp.Or(
		cmp.Compare(a.Org, b.Org), cmp.Compare(a.Scope.Kind, b.Scope.Kind), cmp.Compare(a.Scope.ID, b.Scope.ID), cmp.Compare(a.ID, b.ID),
	)
}

// days gives the whole days from one time to another, none if it lies before.
func days(from, to time.Time) Value {
	if from.IsZero() || to.Before(from) {
		return Value{}
	}
	return Number(uint64(to.Sub(from) / (24 * time.Hour))) //nolint:gosec // not negative.
}
