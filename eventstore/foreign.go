package eventstore

import (
	"crypto/sha256"

	"github.com/chancery-dev/chancery/domain"
)

// foreign lists proven foreign messages: SHA-256 of the raw message, by
// position.
type foreign map[uint64][32]byte

// pass gives what is yielded for a message that is no event: its raw bytes
// where it is a listed one, else why it is none.
//
// The stream goes with it because the store counts every message of a subject:
// who does not know this one would expect the wrong position for ever.
func (f foreign) pass(m stored, raw []byte, fault error) (domain.Recorded, error) {
	corrupt := corruption(fault)
	corrupt.Digest = sha256.Sum256(raw)
	if proven, ok := f[m.position]; !ok || proven != corrupt.Digest {
		return domain.Recorded{}, corrupt
	}
	r := domain.Recorded{Position: m.position, Raw: raw}
	if _, stream, err := parseSubject(m.subject); err == nil {
		r.Stream = stream
	}
	return r, nil
}
