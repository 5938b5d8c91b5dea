package kms

import (
	"context"
	"fmt"
	"slices"
)

// LocalProvider is the name of the key file's provider in [Wrapped].
const LocalProvider = "local"

// Local is a [Provider] whose root key lies in a file that only its owner can
// read. It never fails with ErrUnavailable: the file is read once, when it is
// opened.
type Local struct {
	ref      string
	versions []rootVersion // oldest first, never empty; the last one wraps
}

type rootVersion struct {
	id  string
	key key
}

// Wrap implements [Provider] with AES-256-GCM under
// HKDF-Expand(root key, LP("chancery/local-root/v1/wrap", ref, version)) and
// additional data LP("chancery/local-root/v1", ref, version, aad).
func (l *Local) Wrap(_ context.Context, plaintext, aad []byte) (Wrapped, error) {
	v := l.versions[len(l.versions)-1]
	blob, err := sealUnder(v.key, localRootInfo(l.ref, v.id), plaintext, localRootAAD(l.ref, v.id, aad))
	if err != nil {
		return Wrapped{}, err
	}
	return Wrapped{Provider: LocalProvider, KeyRef: l.ref, KeyVersion: v.id, Blob: blob}, nil
}

// Unwrap implements [Provider]. A key that another provider or another key
// file wrapped is ErrAuth; one of a version that this file no longer has is
// ErrDestroyed.
func (l *Local) Unwrap(_ context.Context, w Wrapped, aad []byte) ([]byte, error) {
	if w.Provider != LocalProvider || w.KeyRef != l.ref {
		return nil, fmt.Errorf("%w: it was wrapped by %s/%s, this is %s/%s", ErrAuth, w.Provider, w.KeyRef, LocalProvider, l.ref)
	}
	i := slices.IndexFunc(l.versions, func(v rootVersion) bool { return v.id == w.KeyVersion })
	if i < 0 {
		return nil, fmt.Errorf("%w: version %s is not in the key file", ErrDestroyed, w.KeyVersion)
	}
	v := l.versions[i]
	return openUnder(v.key, localRootInfo(l.ref, v.id), w.Blob, localRootAAD(l.ref, v.id, aad))
}

// Format prints [domain.Redacted], whatever the verb.
func (*Local) Format(f fmt.State, _ rune) { redact(f) }
