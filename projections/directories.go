package projections

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"github.com/chancery-dev/chancery/domain"
)

// directories are all organizations in memory, as their rows say.
type directories struct {
	mu      sync.RWMutex
	byOrg   map[domain.OrgID]*domain.Directory
	lookups map[string]keyPlace // by lookup id
	cache   principalCache      // of this state, emptied with every change of it
}

// keyPlace says where an API key lies.
type keyPlace struct {
	org domain.OrgID
	id  domain.APIKeyID
}

// of gives an organization's directory, a new one if need be. mu must be held
// for writing.
func (ds *directories) of(org domain.OrgID) *domain.Directory {
	d := ds.byOrg[org]
	if d == nil {
		d = domain.NewDirectory(org)
		ds.byOrg[org] = d
	}
	return d
}

// apply folds what a committed batch holds for directories.
func (ds *directories) apply(batch []domain.Recorded) {
	ours := func(r domain.Recorded) bool { _, ok := r.Stream.(domain.DirectoryStream); return ok }
	if !slices.ContainsFunc(batch, ours) {
		return
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, r := range batch {
		if !ours(r) {
			continue
		}
		org := r.Stream.Organization()
		ds.of(org).Apply(r)
		ds.cache.forget(org)
		if e, ok := r.Event.(domain.APIKeyIssued); ok && e.LookupID != "" {
			if _, taken := ds.lookups[e.LookupID]; !taken {
				ds.lookups[e.LookupID] = keyPlace{org: org, id: e.ID}
			}
		}
	}
}

// load replaces everything by what the rows say.
func (ds *directories) load(ts *tables) error {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.byOrg, ds.lookups = map[domain.OrgID]*domain.Directory{}, map[string]keyPlace{}
	ds.cache.reset()
	err := ts.at(tableDirectories).ForEach(func(key, row []byte) error {
		head, err := decodeStream(row)
		d := ds.of(domain.OrgID(key))
		d.Version, d.Head, d.Root = head.version, head.head, head.root
		return err
	})
	if err != nil {
		return err
	}
	if err := loadRows(ds, ts, tableScopes, decodeScope); err != nil {
		return err
	}
	if err := loadRows(ds, ts, tableMembers, decodeMembership); err != nil {
		return err
	}
	if err := loadRows(ds, ts, tableKeys, decodeAPIKey); err != nil {
		return err
	}
	return ts.at(tableLookups).ForEach(func(key, place []byte) error {
		org, id, ok := strings.Cut(string(place), "\x00")
		if !ok {
			return errRow
		}
		ds.lookups[string(key)] = keyPlace{org: domain.OrgID(org), id: domain.APIKeyID(id)}
		return nil
	})
}

func loadRows[T any](ds *directories, ts *tables, t table, decode func([]byte) (T, error)) error {
	return ts.at(t).ForEach(func(key, row []byte) error {
		org, _, ok := bytes.Cut(key, []byte{0})
		if !ok {
			return errRow
		}
		state, err := decode(row)
		if err == nil {
			ds.of(domain.OrgID(org)).Put(state)
		}
		return err
	})
}

// rows writes what memory holds as the rows it should be, by table and key.
// mu must be held.
func (ds *directories) rows() map[table]map[string][]byte {
	out := map[table]map[string][]byte{}
	for _, t := range memoryTables() {
		out[t] = map[string][]byte{}
	}
	for org, d := range ds.byOrg {
		out[tableDirectories][string(org)] = streamOf(d).encode()
		for scope, state := range d.Scopes {
			out[tableScopes][string(scopeRowKey(org, scope))] = encodeScope(state)
		}
		for agent, held := range d.Memberships {
			for key, m := range held {
				out[tableMembers][string(membershipKey(org, agent, key))] = encodeMembership(m)
			}
		}
		for id, k := range d.Keys {
			out[tableKeys][string(orgKey(org, string(id)))] = encodeAPIKey(k)
			out[tableAgentKeys][string(agentKey(org, k))] = present()
		}
	}
	for lookup, place := range ds.lookups {
		out[tableLookups][lookup] = orgKey(place.org, string(place.id))
	}
	return out
}

// memoryTables lists the tables that are in memory as well.
func memoryTables() []table {
	return []table{tableDirectories, tableScopes, tableMembers, tableKeys, tableAgentKeys, tableLookups}
}

// Directory shows an organization while no event is applied to it; one that is
// unknown is an empty directory. show must not keep or change it, nor ask the
// store anything: it would wait for itself. Its error is passed on.
func (s *Store) Directory(org domain.OrgID, show func(*domain.Directory) error) error {
	s.directories.mu.RLock()
	defer s.directories.mu.RUnlock()
	if err := s.progress.serving(); err != nil {
		return err
	}
	if d := s.directories.byOrg[org]; d != nil {
		return show(d)
	}
	return show(domain.NewDirectory(org))
}

// AgentName gives an agent's current name, "" if it is unknown.
func (s *Store) AgentName(org domain.OrgID, agent domain.AgentID) string {
	s.directories.mu.RLock()
	defer s.directories.mu.RUnlock()
	if d := s.directories.byOrg[org]; d != nil {
		state, _ := d.Agent(agent)
		return state.Name
	}
	return ""
}
