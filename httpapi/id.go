package httpapi

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/chancery-dev/chancery/domain"
)

// newID makes an id: a prefix and a ULID of the clock's time and 80 random
// bits.
func (s *Server) newID(prefix string) (string, error) {
	var u [16]byte
	binary.BigEndian.PutUint64(u[:8], uint64(s.config.Now().UnixMilli())<<16)
	if _, err := io.ReadFull(s.config.Rand, u[6:]); err != nil {
		return prefix, fmt.Errorf("httpapi: random bytes: %w", err)
	}
	return prefix + ulidText(u), nil
}

// derivedOrgID makes the id of an organization that a request with an
// idempotency key creates: the same for every repetition, on every node.
func derivedOrgID(agent domain.AgentID, key string) domain.OrgID {
	h := sha256.New()
	for _, part := range []string{"chancery/org-id/v1", string(agent), key} {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(part))) //nolint:gosec // ids and keys are short.
		h.Write(n[:])
		h.Write([]byte(part))
	}
	return domain.OrgID(domain.OrgPrefix + ulidText([16]byte(h.Sum(nil))))
}

// ulidText writes 16 bytes as a ULID's 26 characters: 130 bits of Crockford's
// base 32, of which the first two are 0.
func ulidText(u [16]byte) string {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	hi, lo := binary.BigEndian.Uint64(u[:8]), binary.BigEndian.Uint64(u[8:])
	var text [26]byte
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = digits[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(text[:])
}
