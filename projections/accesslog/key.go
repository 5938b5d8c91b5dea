package accesslog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/chancery-dev/chancery/domain"
)

// kind says what a list is of.
type kind byte

const (
	kindActor    kind = 'a' // target, actor
	kindLastRead kind = 'l' // target, scope, secret: no list but the last reads
	kindOutcome  kind = 'o' // target, outcome
	kindScope    kind = 'p' // target, scope
	kindSecret   kind = 's' // target, scope, secret
	kindTarget   kind = 't' // target
	kindAction   kind = 'x' // target, action
)

// listKey names a list: its kind, and 16 bytes of the SHA-256 of its parts.
// Hashed, a key takes the same room whatever a client called its secret.
type listKey [17]byte

func keyOf(k kind, parts ...string) listKey {
	var space [256]byte
	text := append(space[:0], byte(k))
	for _, p := range parts {
		text = append(binary.AppendUvarint(text, uint64(len(p))), p...)
	}
	sum := sha256.Sum256(text)
	key := listKey{byte(k)}
	copy(key[1:], sum[:])
	return key
}

func secretKey(k kind, r domain.SecretRef) listKey {
	return keyOf(k, string(r.Org), string(r.Scope.Kind), r.Scope.ID, string(r.ID))
}

func compareKeys(a, b listKey) int { return bytes.Compare(a[:], b[:]) }

// keysOf gives the lists that a record is in.
func keysOf(a *domain.Access, into []listKey) []listKey {
	target := string(a.Target)
	into = append(into, keyOf(kindTarget, target), keyOf(kindAction, target, a.Action),
		keyOf(kindOutcome, target, string(a.Outcome)))
	if a.Actor.ID != "" {
		into = append(into, keyOf(kindActor, target, a.Actor.ID))
	}
	if a.Scope != (domain.Scope{}) {
		into = append(into, keyOf(kindScope, target, string(a.Scope.Kind), a.Scope.ID))
		if a.Secret != "" {
			into = append(into, secretKey(kindSecret, refOf(a)))
		}
	}
	return into
}

func refOf(a *domain.Access) domain.SecretRef {
	return domain.SecretRef{Org: a.Target, Scope: a.Scope, ID: a.Secret}
}

// releases says whether the record is one of a value or data key given out.
func releases(a *domain.Access) bool {
	return a.Secret != "" && a.Outcome == domain.OutcomeAllowed &&
		(a.Action == string(domain.ActionRead) || a.Action == string(domain.ActionRelease))
}

// place is shorter than its domain name.
type place = domain.AccessPlace

// placeLen is what a place takes in a key.
const placeLen = 10

func appendPlace(b []byte, p place) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(b, p.Position), p.Index)
}

func parsePlace(b []byte) place {
	return place{Position: binary.BigEndian.Uint64(b), Index: binary.BigEndian.Uint16(b[8:])}
}

// before says whether a comes before b in the log.
func before(a, b place) bool {
	return a.Position < b.Position || a.Position == b.Position && a.Index < b.Index
}

// following gives the place right after one.
func following(p place) place {
	if p.Index == math.MaxUint16 {
		return place{Position: p.Position + 1}
	}
	return place{Position: p.Position, Index: p.Index + 1}
}

// preceding gives the place right before one that is not the first.
func preceding(p place) place {
	if p.Index == 0 {
		return place{Position: p.Position - 1, Index: math.MaxUint16}
	}
	return place{Position: p.Position, Index: p.Index - 1}
}
