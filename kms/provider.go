package kms

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// The four ways in which a [Provider] fails. Every error it returns wraps one
// of them or is the context's.
var (
	// ErrDenied: the provider refuses this caller. An operator must act.
	ErrDenied = errors.New("kms: the key provider denies access")
	// ErrUnavailable: the provider or the key store can't be reached. Trying
	// again may help.
	ErrUnavailable = errors.New("kms: keys are unavailable")
	// ErrDestroyed: the root key version is gone. Final.
	ErrDestroyed = errors.New("kms: the root key version is destroyed")
	// ErrAuth: the bytes are not what this key wrapped for this context.
	ErrAuth = errors.New("kms: a wrapped key does not open")
)

// Wrapped is a key that a provider wrapped, and what it needs to unwrap it.
type Wrapped struct {
	Provider   string `json:"provider"`   // the provider's name, such as "local"
	KeyRef     string `json:"keyRef"`     // which root key, in the provider's words
	KeyVersion string `json:"keyVersion"` // which version of it
	Blob       []byte `json:"blob"`       // opaque
}

// Format prints everything but the blob, whatever the verb.
func (w Wrapped) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, w.Provider+"/"+w.KeyRef+"/"+w.KeyVersion)
}

// Provider holds the root key. It is called once for each org key a process
// uses, so it may be slow and remote. Both methods are safe for concurrent
// use.
type Provider interface {
	// Wrap encrypts key under the root key's newest version, bound to aad.
	// It keeps neither slice. Errors: ErrDenied, ErrUnavailable, ErrDestroyed.
	Wrap(ctx context.Context, key, aad []byte) (Wrapped, error)
	// Unwrap gives back what Wrap was given with the same aad, in a slice
	// that is the caller's to clear. Errors: ErrDenied, ErrUnavailable,
	// ErrDestroyed, and ErrAuth for another context or changed bytes.
	Unwrap(ctx context.Context, w Wrapped, aad []byte) ([]byte, error)
}
