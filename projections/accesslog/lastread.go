package accesslog

import (
	"cmp"
	"errors"
	"slices"

	"github.com/chancery-dev/chancery/domain"
)

// errAhead says that the tail has a read whose message is not committed yet.
var errAhead = errors.New("accesslog: the tail is ahead of the file")

// LastReads says when each field of a secret was last read or its data key
// released, in the order of the fields, as far as the log is applied and still
// kept. It looks once into every run.
func (s *Store) LastReads(ref domain.SecretRef) (reads []domain.LastRead, err error) {
	ask := func() error {
		return s.view(func(v *view) error {
			reads, err = s.c.lastReads(v, ref)
			return err
		})
	}
	if err := ask(); !errors.Is(err, errAhead) {
		return reads, err
	}
	// While nothing is being applied, tail and file say the same.
	s.applying.Lock()
	defer s.applying.Unlock()
	return reads, ask()
}

func (c Config) lastReads(v *view, ref domain.SecretRef) ([]domain.LastRead, error) {
	var reads []domain.LastRead
	seen := map[domain.FieldKey]bool{}
	b, some := v.bounds(domain.AccessQuery{})
	if !some {
		return nil, nil
	}
	for _, segment := range v.segments(b, false) {
		found, err := segment.lastReads(secretKey(kindLastRead, ref))
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			switch {
			case r.place.Position > v.mark.position:
				return nil, errAhead
			case seen[r.field] || r.place.Position < v.first:
				continue
			}
			record, err := c.record(v.tx, r.place)
			if err != nil {
				return nil, err
			}
			if refOf(&record) != ref || record.Field != r.field {
				continue // another secret of the same hash
			}
			seen[r.field] = true
			reads = append(reads, domain.LastRead{Field: r.field, Time: record.Time, Actor: record.Actor, Place: r.place})
		}
	}
	slices.SortFunc(reads, func(a, b domain.LastRead) int { return cmp.Compare(a.Field, b.Field) })
	return reads, nil
}
