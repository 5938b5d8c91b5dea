package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"

	"github.com/chancery-dev/chancery/domain"
)

// KeyLen is the length of a plaintext data key in bytes.
const KeyLen = 32

// ErrOpen is every failure to open an envelope: another key, changed bytes, a
// truncated ciphertext.
var ErrOpen = errors.New("seal: the envelope does not open with this key")

// ErrKeyLen refuses a key that is not [KeyLen] bytes.
var ErrKeyLen = errors.New("seal: a data key has 32 bytes")

// Seal encrypts value under a data key that has just been minted, and puts
// dataKeyCiphertext, the string that came with it, beside it unchanged. A
// data key is for one envelope: the server refuses it a second time.
//
// value may be empty and is at most [domain.MaxValueLen] bytes; a longer one
// is a [domain.CodeTooLong] error. plaintextKey stays the caller's to clear.
func Seal(plaintextKey []byte, dataKeyCiphertext string, value []byte) (domain.Envelope, error) {
	if len(value) > domain.MaxValueLen {
		return domain.Envelope{}, domain.Errorf(domain.CodeTooLong, "a value has at most %d bytes", domain.MaxValueLen)
	}
	aead, err := newAEAD(plaintextKey)
	if err != nil {
		return domain.Envelope{}, err
	}
	box := aead.Seal(nil, nil, value, nil) //nolint:gosec // G407: no nonce is passed, the cipher draws it.
	tag := len(box) - domain.EnvelopeTagLen
	return domain.Envelope{
		IV:         [domain.EnvelopeIVLen]byte(box),
		Ciphertext: box[domain.EnvelopeIVLen:tag:tag],
		AuthTag:    [domain.EnvelopeTagLen]byte(box[tag:]),
		DataKey:    dataKeyCiphertext,
	}, nil
}

// Open gives the value of an envelope, [ErrKeyLen] or [ErrOpen]. It does not
// look at e.DataKey.
func Open(plaintextKey []byte, e domain.Envelope) ([]byte, error) {
	aead, err := newAEAD(plaintextKey)
	if err != nil {
		return nil, err
	}
	box := make([]byte, 0, len(e.IV)+len(e.Ciphertext)+len(e.AuthTag))
	box = append(box, e.IV[:]...)
	box = append(box, e.Ciphertext...)
	box = append(box, e.AuthTag[:]...)
	// Opened into its own array: box is the caller's ciphertext and stays.
	value, err := aead.Open(nil, nil, box, nil)
	if err != nil {
		return nil, ErrOpen
	}
	return value, nil
}

// newAEAD gives AES-256-GCM that draws its nonces itself and puts them before
// the ciphertext, so that no caller can repeat one.
func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != KeyLen {
		return nil, ErrKeyLen
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal: aes: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("seal: gcm: %w", err)
	}
	return aead, nil
}
