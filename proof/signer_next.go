package proof

import (
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// skew is how much later than now the newest checkpoint may have been signed:
// clocks differ. Times of checkpoints never go back, so its time stands.
const skew = time.Minute

// next says what to sign, and as of when; the zero time: nothing is due. The
// local tree is held against the newest checkpoint in any case.
func (s *Signer) next(l *signedLog, newest SignedCheckpoint, now bool) (next Checkpoint, at time.Time, err error) {
	err = l.View(func(t *Tree) error {
		if err := checkTree(t, newest.Checkpoint); err != nil {
			return err
		}
		size := t.Size // which has all that is signed
		at = s.cfg.Now()
		age := at.Sub(newest.Time)
		if age < -skew {
			return fmt.Errorf("%w: at %s, it is %s", ErrClock, newest.Time.Format(time.RFC3339), at.UTC().Format(time.RFC3339))
		}
		switch grown := size > newest.Size; {
		case size == 0, // there is nothing to attest
			!grown && now, // covered already
			!grown && age < s.cfg.IdleInterval,
			// Of many nodes, one at a time is enough.
			grown && !now && age < s.cfg.Interval-s.cfg.Interval/4:
			at = time.Time{}
			return nil
		}
		if at.Before(newest.Time) {
			at = newest.Time
		}
		root, err := t.Root(size)
		if err != nil {
			return err
		}
		next = Checkpoint{Origin: l.key.Origin(), Size: size, Root: root}
		return checkGrowth(t, newest.Checkpoint, next)
	})
	return next, at, err
}

// checkTree holds a tree against a checkpoint that was signed before.
func checkTree(t *Tree, c Checkpoint) error {
	if c.Size == 0 {
		return nil
	}
	if t.Size < c.Size {
		return fmt.Errorf("%w: it has %d leaves, %d are signed", ErrBehind, t.Size, c.Size)
	}
	root, err := t.Root(c.Size)
	if err != nil {
		return err
	}
	if root != c.Root {
		return fmt.Errorf("%w: at size %d", ErrFork, c.Size)
	}
	return nil
}

// checkGrowth proves that a checkpoint continues an older one, and believes
// only the proof.
func checkGrowth(t *Tree, older, newer Checkpoint) error {
	if older.Size == 0 {
		return nil
	}
	p, err := t.Consistency(older.Size, newer.Size)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(p, signed(newer.Size), newer.Root, signed(older.Size), older.Root); err != nil {
		return fmt.Errorf("%w: from size %d to %d: %w", ErrFork, older.Size, newer.Size, err)
	}
	return nil
}
