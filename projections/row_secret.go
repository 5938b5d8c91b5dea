package projections

import (
	"bytes"
	"encoding/binary"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// secretRow is the stored state of one secretId, without values.
type secretRow struct {
	domain.Secret
	// since is the version of the last event that began from nothing: a
	// creation, a deletion, or the first. As-of reads replay from there.
	since uint64
}

func (r secretRow) encode() []byte {
	s := r.Secret
	p := pen{row: make([]byte, 0, 256+len(s.Fields)*128)}
	p.number(s.Version)
	p.number(s.Head)
	p.number(r.since)
	p.flag(s.Exists)
	p.text(s.Name)
	p.text(s.Category)
	list(&p, s.Tags, p.text)
	list(&p, s.KekIDs, p.kek)
	p.time(s.CreatedAt)
	p.text(s.CreatedBy)
	p.time(s.UpdatedAt)
	p.text(s.UpdatedBy)
	p.number(s.Incarnation)
	list(&p, s.Fields, func(f domain.SecretField) {
		p.text(string(f.Key))
		p.text(string(f.Sensitivity))
		p.number(f.Version)
		p.time(f.UpdatedAt)
		p.text(f.UpdatedBy)
		p.dek(f.DekID)
	})
	p.number(uint64(s.RotateEvery)) //nolint:gosec // not negative.
	p.time(s.ExpiresAt)
	p.time(s.DeletedAt)
	return p.row
}

func decodeSecret(ref domain.SecretRef, row []byte) (r secretRow, err error) {
	r.since, err = scanSecret(&r.Secret, ref, scan(row))
	return r, err
}

// scanSecret fills a secret and gives since, see secretRow.
func scanSecret(r *domain.Secret, ref domain.SecretRef, s *scanner) (since uint64, err error) {
	r.Ref, r.Version, r.Head = ref, s.number(), s.number()
	since = s.number()
	r.Exists = s.flag()
	r.Name, r.Category = s.text(), s.text()
	r.Tags = scanList(s, &s.memory.texts, s.text)
	r.KekIDs = scanList(s, &s.memory.keks, s.kek)
	r.CreatedAt, r.CreatedBy = s.time(), s.text()
	r.UpdatedAt, r.UpdatedBy = s.time(), s.text()
	r.Incarnation = s.number()
	r.Fields = scanList(s, &s.memory.fields, func() domain.SecretField {
		return domain.SecretField{
			Key: domain.FieldKey(s.text()), Sensitivity: domain.Sensitivity(s.text()),
			Version: s.number(), UpdatedAt: s.time(), UpdatedBy: s.text(), DekID: s.dek(),
		}
	})
	r.RotateEvery, r.ExpiresAt = domain.RotateEvery(s.number()), s.time() //nolint:gosec // as written above.
	r.DeletedAt = s.time()
	return since, s.end()
}

func (p *pen) kek(k domain.KekID) { p.raw(k[:]) }

func (s *scanner) kek() (k domain.KekID) {
	copy(k[:], s.take(uint64(len(k))))
	return k
}

// dek takes one byte where there is none.
func (p *pen) dek(d domain.DekID) {
	p.flag(!d.IsZero())
	if !d.IsZero() {
		p.raw(d[:])
	}
}

func (s *scanner) dek() (d domain.DekID) {
	if s.flag() {
		copy(d[:], s.take(uint64(len(d))))
	}
	return d
}

func (p *pen) ulid(u ulid.ULID) { p.raw(u[:]) }

func (s *scanner) ulid() (u ulid.ULID) {
	copy(u[:], s.take(uint64(len(u))))
	return u
}

// The kinds of value rows.
const (
	rowSealed   = 1
	rowEnvelope = 2
)

// encodeValue refuses a plaintext: none may reach a file.
func encodeValue(v domain.Value) ([]byte, error) {
	var p pen
	switch v := v.(type) {
	case domain.Sealed:
		p.row = make([]byte, 0, 1+len(v.KekID)+len(v.EventID)+len(v.Box))
		p.byte(rowSealed)
		p.kek(v.KekID)
		p.ulid(v.EventID)
		p.raw(v.Box)
	case domain.Envelope:
		p.row = make([]byte, 0, 1+len(v.IV)+len(v.AuthTag)+binary.MaxVarintLen32+len(v.DataKey)+len(v.Ciphertext))
		p.byte(rowEnvelope)
		p.raw(v.IV[:])
		p.raw(v.AuthTag[:])
		p.text(v.DataKey)
		p.raw(v.Ciphertext)
	case domain.Plaintext:
		return nil, integrityf("a recorded event holds a plaintext value")
	default:
		return nil, integrityf("a recorded field has no value")
	}
	return p.row, nil
}

// decodeValue copies the value's bytes once: a row lies in the file's map.
func decodeValue(row []byte) (domain.Value, error) {
	if len(row) == 0 {
		return nil, errRow
	}
	switch kind, rest := row[0], row[1:]; kind {
	case rowSealed:
		var v domain.Sealed
		if len(rest) < len(v.KekID)+len(v.EventID) {
			return nil, errRow
		}
		rest = rest[copy(v.KekID[:], rest):]
		rest = rest[copy(v.EventID[:], rest):]
		v.Box = bytes.Clone(rest)
		return v, nil
	case rowEnvelope:
		var v domain.Envelope
		if len(rest) < len(v.IV)+len(v.AuthTag) {
			return nil, errRow
		}
		rest = rest[copy(v.IV[:], rest):]
		rest = rest[copy(v.AuthTag[:], rest):]
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) { //nolint:gosec // n is at most len(rest).
			return nil, errRow
		}
		rest = rest[n:]
		v.DataKey, v.Ciphertext = string(rest[:size]), bytes.Clone(rest[size:])
		return v, nil
	}
	return nil, errRow
}
