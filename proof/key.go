package proof

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// The algorithms of C2SP signed-note that a log's key signs with.
const (
	algorithmPlain = 1 // Ed25519 over the body
	algorithmTimed = 4 // Ed25519 over time and body (C2SP tlog-cosignature)
)

// manifestPrefix keeps signed manifests apart from checkpoints and
// cosignatures: no origin and no header of theirs is this line.
const manifestPrefix = "chancery/manifest/v1\n"

// ErrKey says that a text or bytes are no key of a log.
var ErrKey = errors.New("proof: not a log's key")

// LogKey is the public key of one log. A value is good for concurrent use; the
// zero value is none.
type LogKey struct {
	origin string
	public [ed25519.PublicKeySize]byte
	plain  note.Verifier
	timed  *torchwood.CosignatureVerifier
}

// NewLogKey makes the key of the log of an origin from an Ed25519 public key.
// ErrKey: the origin can't be a key's name, or the length is wrong.
func NewLogKey(origin string, public ed25519.PublicKey) (LogKey, error) {
	if len(public) != ed25519.PublicKeySize {
		return LogKey{}, fmt.Errorf("%w: it has %d bytes", ErrKey, len(public))
	}
	k := LogKey{origin: origin, public: [ed25519.PublicKeySize]byte(public)}
	var err error
	if k.plain, err = note.NewVerifier(vkey(origin, algorithmPlain, public)); err != nil {
		return LogKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if k.timed, err = torchwood.NewCosignatureVerifier(vkey(origin, algorithmTimed, public)); err != nil {
		return LogKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return k, nil
}

// ParseLogKey reads a key from either of the texts that VKey and TimedVKey
// give: both hold all of it. Errors: ErrKey.
func ParseLogKey(vkey string) (LogKey, error) {
	origin, rest, _ := strings.Cut(vkey, "+")
	_, text, ok := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return LogKey{}, ErrKey
	}
	k, err := NewLogKey(origin, raw[1:])
	if err != nil {
		return LogKey{}, err
	}
	// The hash is checked, and no second spelling passes, by writing it again.
	if vkey != k.VKey() && vkey != k.TimedVKey() {
		return LogKey{}, ErrKey
	}
	return k, nil
}

// Origin is the log's name and the key's.
func (k LogKey) Origin() string { return k.origin }

// Public gives the Ed25519 public key.
func (k LogKey) Public() ed25519.PublicKey { return append(ed25519.PublicKey(nil), k.public[:]...) }

// VKey is the key as the tools of others take it (C2SP signed-note, Ed25519).
func (k LogKey) VKey() string { return vkey(k.origin, algorithmPlain, k.public[:]) }

// TimedVKey is the same key for the signature that carries a time (C2SP
// tlog-cosignature).
func (k LogKey) TimedVKey() string { return vkey(k.origin, algorithmTimed, k.public[:]) }

// vkey writes a key as C2SP signed-note does: name, hash and, in base64,
// algorithm and key.
func vkey(name string, algorithm byte, public []byte) string {
	key := append([]byte{algorithm}, public...)
	hash := sha256.Sum256(append([]byte(name+"\n"), key...))
	return fmt.Sprintf("%s+%x+%s", name, hash[:4], base64.StdEncoding.EncodeToString(key))
}

// Verifier checks the plain signature, for policies and other people's code.
func (k LogKey) Verifier() note.Verifier { return k.plain }

// VerifyManifest reports whether SignManifest of this key's private half gave
// the signature over these bytes.
func (k LogKey) VerifyManifest(manifest, signature []byte) bool {
	return ed25519.Verify(k.public[:], append([]byte(manifestPrefix), manifest...), signature)
}

// SigningKey signs for all logs of a server. Safe for concurrent use.
type SigningKey struct{ private ed25519.PrivateKey }

// NewSigningKey makes the key from its seed of 32 bytes, of which it keeps a
// copy: the caller clears its own. Errors: ErrKey.
func NewSigningKey(seed []byte) (*SigningKey, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%w: the seed has %d bytes", ErrKey, len(seed))
	}
	return &SigningKey{private: ed25519.NewKeyFromSeed(seed)}, nil
}

// Format prints nothing of the key, whatever the verb.
func (*SigningKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogKey gives the public key of the log of an origin. Errors: ErrKey.
func (k *SigningKey) LogKey(origin string) (LogKey, error) { return NewLogKey(origin, k.public()) }

// Sign gives the signed note of a checkpoint: a plain signature, and one that
// says when. at counts in whole seconds. It signs whatever it is given: that a
// log never forks is the [Signer]'s business. Errors: ErrKey, for an origin
// that can't be a key's name.
func (k *SigningKey) Sign(c Checkpoint, at time.Time) ([]byte, error) { return k.sign(c, at, nil) }

// sign keeps cosignatures that witnesses gave for the same body.
func (k *SigningKey) sign(c Checkpoint, at time.Time, keep []note.Signature) ([]byte, error) {
	key, err := k.LogKey(c.Origin)
	if err != nil {
		return nil, err
	}
	seconds := uint64(max(0, at.Unix()))
	signed, err := note.Sign(&note.Note{Text: c.Text()},
		lineSigner{name: c.Origin, hash: key.plain.KeyHash(), sign: func(body []byte) []byte { return ed25519.Sign(k.private, body) }},
		lineSigner{name: c.Origin, hash: key.timed.KeyHash(), sign: func(body []byte) []byte {
			message := fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", seconds, body)
			return append(binary.BigEndian.AppendUint64(nil, seconds), ed25519.Sign(k.private, message)...)
		}})
	if err != nil {
		return nil, fmt.Errorf("proof: signing a checkpoint: %w", err)
	}
	return appendSignatures(signed, keep), nil
}

// SignManifest signs bytes that are no checkpoint: what a report says of
// itself. It is deterministic.
func (k *SigningKey) SignManifest(manifest []byte) []byte {
	return ed25519.Sign(k.private, append([]byte(manifestPrefix), manifest...))
}

func (k *SigningKey) public() ed25519.PublicKey {
	return ed25519.PublicKey(k.private[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}

// appendSignatures adds signature lines to a note.
func appendSignatures(signed []byte, sigs []note.Signature) []byte {
	for _, sig := range sigs {
		signed = fmt.Appendf(signed, "— %s %s\n", sig.Name, sig.Base64)
	}
	return signed
}

// lineSigner is one signature line. The library's own signer of timed lines
// asks the machine for the time.
type lineSigner struct {
	name string
	hash uint32
	sign func(body []byte) []byte
}

func (s lineSigner) Name() string                     { return s.name }
func (s lineSigner) KeyHash() uint32                  { return s.hash }
func (s lineSigner) Sign(body []byte) ([]byte, error) { return s.sign(body), nil }
