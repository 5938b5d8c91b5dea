package kms

import (
	"errors"
	"fmt"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// retryAfter is the wait advised beside a 503.
const retryAfter = time.Second

// errMismatch is the one refusal of a data key: shape, MAC, age, minter,
// another path, another or a destroyed secret key, used elsewhere. One text,
// so that nothing can be told from it (invariant 8).
func errMismatch() error {
	return domain.Errorf(domain.CodeDataKeyMismatch, "the data key is not one that may be used here now")
}

func errReused() error {
	return domain.Errorf(domain.CodeDataKeyReused, "the data key has been used before; every envelope takes a new one")
}

func errTooManyMints(limit int, wait time.Duration) error {
	e := domain.Errorf(domain.CodeRateLimited, "at most %d secrets may have data keys minted before they are created", limit)
	e.RetryAfter = max(wait, time.Second)
	return e
}

// visible turns what a caller may be told of, that keys can't be reached
// now, into a refusal. Any other error stays internal.
func visible(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return errUnavailable(err)
	}
	return err
}

// living is visible for a key that the projection says is in use: when it is
// gone, its secret has been deleted in this moment and a retry will see that.
// The result wraps ErrKeyNotFound then.
func living(err error) error {
	if errors.Is(err, ErrKeyNotFound) {
		return errUnavailable(err)
	}
	return visible(err)
}

func errUnavailable(cause error) error {
	e := domain.Errorf(domain.CodeUnavailable, "keys are unavailable for the moment")
	e.RetryAfter = retryAfter
	return fmt.Errorf("%w: %w", e, cause)
}

// presented is visible for a key that a client's ciphertext names: what does
// not exist any more, or never did, is a mismatch like any other.
func presented(err error) error {
	if errors.Is(err, ErrKeyNotFound) || errors.Is(err, ErrDestroyed) {
		return errMismatch()
	}
	return visible(err)
}
