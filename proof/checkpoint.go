package proof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The logs, as stores, addresses and origins name them.
const (
	LogEvents = "events"
	LogAccess = "access"
)

// ErrCheckpoint says that bytes are no checkpoint of the log whose key was
// given: malformed, of another log, or not signed by it.
var ErrCheckpoint = errors.New("proof: not a signed checkpoint of this log")

// Origin names a log: its checkpoints begin with it, and its keys bear it as
// their name. org is the bootstrap organization, that of the first event.
func Origin(org, log string) string { return "chancery/" + org + "/" + log }

// Checkpoint says what a log held: the root over its first Size leaves.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   tlog.Hash
}

// Text gives the body of the note that is signed (C2SP tlog-checkpoint). It
// has no extension lines.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// Cosignature says that a witness saw the log grow to a checkpoint.
type Cosignature struct {
	Witness string    // the name of the witness's key
	Time    time.Time // when it signed, by its own clock
}

// SignedCheckpoint is a checkpoint whose signatures were verified.
type SignedCheckpoint struct {
	Checkpoint
	// Time is when the log signed it, in whole seconds.
	Time time.Time
	// Cosignatures are those of the witnesses that Open was told of.
	Cosignatures []Cosignature
	// Note is the exact signed note.
	Note []byte
}

// Open verifies a signed note against the log's key and gives the checkpoint.
// Both signatures of the log must be there, and neither they nor any other
// line may be written in a second way: a note that differs in one bit of the
// log's part does not open. Lines of unknown keys are passed over; those of
// witnesses that are given must be right. Everything else is ErrCheckpoint.
func (k LogKey) Open(signed []byte, witnesses ...note.Verifier) (SignedCheckpoint, error) {
	n, err := note.Open(signed, note.VerifierList(append(witnesses[:len(witnesses):len(witnesses)], k.plain, k.timed)...))
	if err != nil {
		return SignedCheckpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	parsed, err := torchwood.ParseCheckpoint(n.Text)
	if err != nil {
		return SignedCheckpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	c := Checkpoint{Origin: parsed.Origin, Size: uint64(parsed.N), Root: parsed.Hash} //nolint:gosec // not negative, by ParseCheckpoint.
	switch {
	case c.Origin != k.origin:
		return SignedCheckpoint{}, fmt.Errorf("%w: it is of %q, not of %q", ErrCheckpoint, c.Origin, k.origin)
	case c.Text() != n.Text:
		return SignedCheckpoint{}, fmt.Errorf("%w: the body is not canonical", ErrCheckpoint)
	case !canonical(signed, n):
		return SignedCheckpoint{}, fmt.Errorf("%w: the signature lines are not canonical", ErrCheckpoint)
	}
	s := SignedCheckpoint{Checkpoint: c, Note: append([]byte(nil), signed...)}
	plain, timed := false, false
	for _, sig := range n.Sigs {
		switch {
		case sig.Name == k.origin && sig.Hash == k.plain.KeyHash():
			plain = true
			continue
		case sig.Name == k.origin && sig.Hash == k.timed.KeyHash():
			timed = true
			if s.Time, err = signatureTime(sig); err != nil {
				return SignedCheckpoint{}, err
			}
			continue
		}
		at, err := signatureTime(sig)
		if err != nil {
			return SignedCheckpoint{}, err
		}
		s.Cosignatures = append(s.Cosignatures, Cosignature{Witness: sig.Name, Time: at})
	}
	if !plain || !timed {
		return SignedCheckpoint{}, fmt.Errorf("%w: the log's plain or timed signature is missing", ErrCheckpoint)
	}
	return s, nil
}

// canonical reports whether the note is written in the only way its content
// can be: strict base64, no line twice. The format's readers are lenient, and
// a bit that may flip unseen is one too many here.
func canonical(signed []byte, n *note.Note) bool {
	lines := 0
	for _, sigs := range [][]note.Signature{n.Sigs, n.UnverifiedSigs} {
		for _, sig := range sigs {
			raw, err := base64.StdEncoding.Strict().DecodeString(sig.Base64)
			if err != nil || base64.StdEncoding.EncodeToString(raw) != sig.Base64 {
				return false
			}
			lines++
		}
	}
	return strings.Count(string(signed), "\n") == strings.Count(n.Text, "\n")+1+lines
}

// signatureTime reads when a timestamped signature was made.
func signatureTime(sig note.Signature) (time.Time, error) {
	seconds, err := torchwood.CosignatureTimestamp(sig)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if seconds > math.MaxInt64/int64(time.Second) {
		return time.Time{}, fmt.Errorf("%w: it is signed in no time that can be", ErrCheckpoint)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
