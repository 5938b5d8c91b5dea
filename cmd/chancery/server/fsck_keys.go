package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/slotfile"
)

// keysCheck compares the key files with the log. Without files it checks
// nothing.
type keysCheck struct {
	slots *slotfile.Store
	// missing are keys that the log names and the files do not have, until
	// their secret's deletion.
	missing map[domain.KekID]domain.SecretRef
}

// event takes the events in the order of the log.
func (c *keysCheck) event(ctx context.Context, r domain.Recorded) error {
	if c.slots == nil {
		return nil
	}
	switch e := r.Event.(type) { //nolint:gochecksumtype // the other events name no key of a living secret.
	case domain.SecretCreated:
		secret, ok := r.Stream.(domain.SecretStream)
		if !ok {
			return fmt.Errorf("position %d: a secret.created on another stream", r.Position)
		}
		for _, kek := range e.KekIDs {
			_, err := c.slots.SecretKey(ctx, kek.String())
			if errors.Is(err, kms.ErrKeyNotFound) {
				c.missing[kek] = secret.Ref
			} else if err != nil {
				return err
			}
		}
	case domain.SecretDeleted:
		for _, kek := range e.KekIDs {
			delete(c.missing, kek)
		}
	}
	return nil
}

// end returns the offsets of torn slots. The error names living secrets
// without their key, and keys without their organization's.
func (c *keysCheck) end(ctx context.Context) (torn []int64, err error) {
	if c.slots == nil {
		return nil, nil
	}
	torn = c.slots.Torn()
	if err := kms.CheckKeys(ctx, c.slots); err != nil {
		if orgs := c.slots.TornOrgKeys(); len(orgs) > 0 {
			err = fmt.Errorf("%w; what is not whole in %s lies at the offsets %v", err, slotfile.OrgKeysFile, orgs)
		}
		return torn, err
	}
	if len(c.missing) == 0 {
		return torn, nil
	}
	const most = 10
	var named []string
	for kek, ref := range c.missing {
		named = append(named, fmt.Sprintf("%s of %s", kek, ref))
		if len(named) == most {
			break
		}
	}
	slices.Sort(named)
	return torn, fmt.Errorf("%s: %d keys of living secrets are missing; damaged slots lie at the offsets %v: %s",
		slotfile.KeysFile, len(c.missing), torn, strings.Join(named, ", "))
}
