package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// How long to leave a witness alone that gave no cosignature.
const (
	witnessBackoff    = time.Second
	witnessBackoffMax = 5 * time.Minute
)

// logWitness is a witness of one log. One goroutine asks it.
type logWitness struct {
	Witness
	wake chan struct{} // holds at most one wish
	// known is the size that it knew last, and done the checkpoint that it
	// cosigned last. Owned by the goroutine.
	known uint64
	done  signedAt
}

// signedAt is what tells one signature of the log from the next. The witness's
// own time does not, where its clock is behind.
type signedAt struct {
	Checkpoint
	seconds int64
}

func (l *signedLog) verifiers() []note.Verifier {
	verifiers := make([]note.Verifier, len(l.witnesses))
	for i, w := range l.witnesses {
		verifiers[i] = w.verifier
	}
	return verifiers
}

func (l *signedLog) wakeWitnesses() {
	for _, w := range l.witnesses {
		select {
		case w.wake <- struct{}{}:
		default: // it will look at the newest checkpoint anyway
		}
	}
}

// runWitness asks one witness for each checkpoint that is the newest when it
// gets to it, until ctx ends.
func (s *Signer) runWitness(ctx context.Context, l *signedLog, w *logWitness) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		known := ""
		for wait := witnessBackoff; ; wait = min(2*wait, witnessBackoffMax) {
			asked, err := s.cosign(ctx, l, w)
			if ctx.Err() != nil {
				return
			}
			if asked && s.cfg.Observer != nil {
				s.cfg.Observer.Cosigned(l.Name, w.Name(), err)
			}
			if err == nil {
				break
			}
			if text := err.Error(); text != known {
				known = text
				s.cfg.Logger.LogAttrs(ctx, witnessLevel(err), "checkpoint not cosigned",
					slog.String("log", l.Name), slog.String("witness", w.Name()), slog.Any("error", err))
			}
			if !pause(ctx, wait) {
				return
			}
		}
	}
}

// witnessLevel tells a witness that is away from one that saw another log.
func witnessLevel(err error) slog.Level {
	if errors.Is(err, ErrFork) || errors.Is(err, ErrRolledBack) {
		return slog.LevelError
	}
	return slog.LevelWarn
}

// cosign gets the witness's signature for the newest checkpoint, and stores
// it, unless it cosigned that one already. asked: the witness was needed.
//
// A crash after the witness signed leaves it ahead of what is stored by a
// signature: it is asked again, answers with the size it knows, and gives it.
func (s *Signer) cosign(ctx context.Context, l *signedLog, w *logWitness) (asked bool, err error) {
	c, _, err := s.stored(ctx, l)
	if err != nil || c.Note == nil {
		return false, err
	}
	this := signedAt{c.Checkpoint, c.Time.Unix()}
	if w.done == this || cosigned(c, w) {
		return false, nil
	}
	sig, err := s.askWitness(ctx, l, w, c)
	if err != nil {
		return true, err
	}
	if err := s.addSignature(ctx, l, c.Checkpoint, sig); err != nil {
		return true, err
	}
	w.done = this
	return true, nil
}

// cosigned reports whether the witness signed this note, not only an earlier
// one of the same size.
func cosigned(c SignedCheckpoint, w *logWitness) bool {
	for _, have := range c.Cosignatures {
		if have.Witness == w.Name() && !have.Time.Before(c.Time) {
			return true
		}
	}
	return false
}

// stored reads the newest checkpoint.
func (s *Signer) stored(ctx context.Context, l *signedLog) (SignedCheckpoint, uint64, error) {
	raw, revision, err := s.cfg.Store.Latest(ctx, l.Name)
	if err != nil {
		return SignedCheckpoint{}, 0, fmt.Errorf("proof: reading the newest checkpoint: %w", err)
	}
	if raw == nil {
		return SignedCheckpoint{}, revision, nil
	}
	c, err := l.key.Open(raw, l.verifiers()...)
	return c, revision, err
}

// questions bounds how often a witness is asked for one checkpoint: with the
// size that we remember, with the one that it names, and once more if another
// node was faster.
const questions = 3

func (s *Signer) askWitness(ctx context.Context, l *signedLog, w *logWitness, c SignedCheckpoint) (note.Signature, error) {
	if w.known > c.Size {
		w.known = 0 // Let it name the size itself.
	}
	for range questions {
		var p tlog.TreeProof
		err := l.View(func(t *Tree) error {
			var err error
			p, err = t.Consistency(w.known, c.Size)
			return err
		})
		if err != nil {
			return note.Signature{}, err
		}
		sig, err := w.ask(ctx, s.cfg.Client, c, w.known, p)
		if err == nil {
			w.known = c.Size
			return sig, nil
		}
		other, ok := errors.AsType[*knownSizeError](err)
		switch {
		case !ok:
			return note.Signature{}, err
		case other.size > c.Size:
			return note.Signature{}, s.ahead(ctx, l, w, other.size)
		case other.size == w.known && other.size == c.Size:
			return note.Signature{}, fmt.Errorf("%w: witness %s saw another root at size %d", ErrFork, w.Name(), c.Size)
		}
		w.known = other.size
	}
	return note.Signature{}, fmt.Errorf("%w: it always knows another size", ErrWitness)
}

// ahead looks into a witness's claim to know a longer log. Another node may
// have stored that meanwhile; if none did, the store lost it.
func (s *Signer) ahead(ctx context.Context, l *signedLog, w *logWitness, size uint64) error {
	newest, _, err := s.stored(ctx, l)
	if err != nil {
		return err
	}
	if newest.Size >= size {
		return fmt.Errorf("%w: a newer checkpoint came meanwhile", ErrWitness)
	}
	return fmt.Errorf("%w: witness %s saw size %d, the newest stored is %d", ErrRolledBack, w.Name(), size, newest.Size)
}

// addSignature stores the newest note with one line more. If a checkpoint of
// another size is the newest by now, the line is dropped: that one gets its own.
func (s *Signer) addSignature(ctx context.Context, l *signedLog, c Checkpoint, sig note.Signature) error {
	line := appendSignatures(nil, []note.Signature{sig})
	l.signing.Lock() // Or our own next signature would come between, and be asked for again.
	defer l.signing.Unlock()
	var failed error  // of the last round,
	var behind uint64 // which tried to store behind this revision
	for range rounds {
		newest, revision, err := s.stored(ctx, l)
		switch {
		case err != nil:
			return errors.Join(err, failed)
		case newest.Checkpoint != c || bytes.Contains(newest.Note, line):
			return nil
		case failed != nil && revision == behind: // no rival: the store failed
			return fmt.Errorf("proof: storing a cosignature: %w", failed)
		}
		merged, err := withLine(newest.Note, sig)
		if err != nil {
			return err
		}
		added, err := s.cfg.Store.Add(ctx, l.Name, revision, merged)
		if err == nil {
			l.revision = max(l.revision, added)
			return nil
		}
		behind, failed = revision, err
	}
	return fmt.Errorf("proof: storing a cosignature: others always came first: %w", failed)
}

// withLine gives a note in which a key's line is replaced or added.
func withLine(signed []byte, sig note.Signature) ([]byte, error) {
	n, err := unverified(signed)
	if err != nil {
		return nil, err
	}
	n.UnverifiedSigs = slices.DeleteFunc(n.UnverifiedSigs, func(have note.Signature) bool {
		return have.Name == sig.Name && have.Hash == sig.Hash
	})
	return appendSignatures([]byte(n.Text+"\n"), append(n.UnverifiedSigs, sig)), nil
}

// unverified takes a note apart that was verified before.
func unverified(signed []byte) (*note.Note, error) {
	_, err := note.Open(signed, nil)
	if e, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
		return e.Note, nil
	}
	return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
}
