package projections

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/chancery-dev/chancery/domain"
)

// A destruction is pending from secret.deleted until key.destroyed has named
// every secret key of that incarnation.

func (f *fold) putDestruction(position uint64, secret []byte, d domain.KeyDestroyed) error {
	place := positionKey(position)
	ref := append(below(secret), place...)
	if len(d.KekIDs) == 0 {
		if err := f.put(tableDestructions, place, nil); err != nil {
			return err
		}
		return f.put(tableDestructionRefs, ref, nil)
	}
	var p pen
	p.text(domain.SecretStream{Ref: d.Ref}.Subject())
	list(&p, d.KekIDs, p.kek)
	if err := f.put(tableDestructions, place, p.row); err != nil {
		return err
	}
	return f.put(tableDestructionRefs, ref, present())
}

func decodeDestruction(row []byte) (domain.KeyDestroyed, error) {
	s := scan(row)
	subject := s.text()
	d := domain.KeyDestroyed{KekIDs: scanList(s, &s.memory.keks, s.kek)}
	if err := s.end(); err != nil {
		return domain.KeyDestroyed{}, err
	}
	stream, err := domain.ParseStream(subject)
	if err != nil {
		return domain.KeyDestroyed{}, err
	}
	secret, ok := stream.(domain.SecretStream)
	if !ok {
		return domain.KeyDestroyed{}, errRow
	}
	d.Ref = secret.Ref
	return d, nil
}

// pendingOf gives the positions and the keys still to be destroyed of every
// deleted incarnation of one secret.
func (ts *tables) pendingOf(secret []byte) (positions []uint64, pending []domain.KeyDestroyed, err error) {
	prefix := below(secret)
	c := ts.at(tableDestructionRefs).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		place := k[len(prefix):]
		if len(place) != 8 {
			return nil, nil, errRow
		}
		d, err := decodeDestruction(ts.at(tableDestructions).Get(place))
		if err != nil {
			return nil, nil, err
		}
		positions, pending = append(positions, binary.BigEndian.Uint64(place)), append(pending, d)
	}
	return positions, pending, nil
}

// destroyed strikes out what a key.destroyed names.
func (f *fold) destroyed(e domain.KeyDestroyed) error {
	secret := secretKey(e.Ref)
	positions, pending, err := f.pendingOf(secret)
	if err != nil {
		return err
	}
	for i, d := range pending {
		left := slices.DeleteFunc(slices.Clone(d.KekIDs), func(k domain.KekID) bool { return slices.Contains(e.KekIDs, k) })
		if len(left) == len(d.KekIDs) {
			continue
		}
		d.KekIDs = left
		if err := f.putDestruction(positions[i], secret, d); err != nil {
			return err
		}
	}
	return nil
}

// PendingDestructions lists deleted incarnations whose keys are not all named
// by a key.destroyed in the log yet, oldest first, at most limit of them, each
// with the keys that are left.
func (s *Store) PendingDestructions(limit int) ([]domain.KeyDestroyed, error) {
	var pending []domain.KeyDestroyed
	err := s.view(func(ts *tables) error {
		c := ts.at(tableDestructions).Cursor()
		for k, row := c.First(); k != nil && len(pending) < limit; k, row = c.Next() {
			d, err := decodeDestruction(row)
			if err != nil {
				return err
			}
			pending = append(pending, d)
		}
		return nil
	})
	return pending, err
}

// DestructionPending says whether any of these keys of a deleted secret waits
// for its key.destroyed.
func (s *Store) DestructionPending(ref domain.SecretRef, keks []domain.KekID) (pending bool, err error) {
	err = s.view(func(ts *tables) error {
		_, open, err := ts.pendingOf(secretKey(ref))
		for _, d := range open {
			pending = pending || slices.ContainsFunc(keks, func(k domain.KekID) bool { return slices.Contains(d.KekIDs, k) })
		}
		return err
	})
	return pending, err
}
