package kms

import (
	"context"
	"errors"
	"fmt"

	"github.com/chancery-dev/chancery/domain"
)

// TornSlots shows the slots of a key file that are neither a whole key nor
// free: a write or an erasure that a crash cut, or damage.
type TornSlots interface {
	// Torn returns the offset of each in the file, in bytes.
	Torn() []int64
	// EraseTorn overwrites them all and frees them, durable on nil. After an
	// error some may be left; they stay torn.
	EraseTorn(ctx context.Context) error
}

// ErrTornKept reports that torn slots are kept, because a living secret has no
// whole key and one of the slots may be what is left of it.
var ErrTornKept = errors.New("kms: damaged slots of the key file are kept")

// eraseTorn erases torn slots once they can hold nothing that is needed: the
// projection has applied the whole log, and every living secret has its whole
// keys. A torn slot then holds a key that was never acknowledged, or one that
// was being erased.
//
// A crash in between leaves torn slots for the next process.
func (k *Keyring) eraseTorn(ctx context.Context) error {
	if k.cfg.Torn == nil {
		return nil
	}
	torn := k.cfg.Torn.Torn()
	if len(torn) == 0 {
		return nil
	}
	before, err := k.logStatus(ctx)
	if err != nil || before.Applied < before.Head {
		return err // The next sweep asks again.
	}
	kept := func(err error) error { return fmt.Errorf("%w: offsets %v: %w", ErrTornKept, torn, err) }
	k.sweeper.trust.forget()
	if err := k.trustLog(ctx, before, nil); err != nil {
		return kept(err)
	}
	missing, err := k.missingKeys(ctx, nil)
	if err == nil && len(missing) > 0 {
		// A secret may have been deleted while its key was looked up.
		missing, err = k.missingKeys(ctx, missing)
	}
	if err != nil {
		return kept(err)
	}
	for kek := range missing {
		return kept(fmt.Errorf("%d secret keys are missing, %s among them", len(missing), kek))
	}
	// Again: a rebuild that began in between knows few living secrets.
	if err := k.trustLog(ctx, before, nil); err != nil {
		return kept(err)
	}
	if err := k.cfg.Torn.EraseTorn(ctx); err != nil {
		return fmt.Errorf("kms: erasing torn slots: %w", err)
	}
	return nil
}

// missingKeys returns the keys of living secrets that the store does not have.
// With among, it looks up those alone.
func (k *Keyring) missingKeys(ctx context.Context, among map[domain.KekID]struct{}) (map[domain.KekID]struct{}, error) {
	missing := map[domain.KekID]struct{}{}
	for kek, err := range k.cfg.Claims.LivingKeks(ctx) {
		if err != nil {
			return nil, fmt.Errorf("kms: claims: %w", err)
		}
		if _, ok := among[kek]; among != nil && !ok {
			continue
		}
		_, err = k.cfg.Store.SecretKey(ctx, kek.String())
		if errors.Is(err, ErrKeyNotFound) {
			missing[kek] = struct{}{}
		} else if err != nil {
			return nil, fmt.Errorf("kms: reading secret key %s: %w", kek, err)
		}
	}
	return missing, nil
}
