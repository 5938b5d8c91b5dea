package kms

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/chancery-dev/chancery/domain"
)

// Lengths in bytes.
const (
	keyLen   = 32
	nonceLen = 12
	tagLen   = 16
	// boxOverhead is what a box is longer than its content.
	boxOverhead = nonceLen + tagLen
)

// key is 32 secret bytes. It is passed by value: every holder clears its own
// copy, and clearing one never pulls a key from under a rival's feet.
type key [keyLen]byte

// Format prints [domain.Redacted], whatever the verb.
func (key) Format(f fmt.State, _ rune) { redact(f) }

func redact(f fmt.State) { _, _ = io.WriteString(f, domain.Redacted) }

// newKey draws a key from rand.
func newKey(rand io.Reader) (key, error) {
	var k key
	if _, err := io.ReadFull(rand, k[:]); err != nil {
		return key{}, fmt.Errorf("kms: drawing a key: %w", err)
	}
	return k, nil
}

// expand is HKDF-Expand with SHA-256 (RFC 5869, section 2.3). The result is
// the caller's to clear.
func expand(k key, info []byte, n int) ([]byte, error) {
	out, err := hkdf.Expand(sha256.New, k[:], string(info), n)
	if err != nil {
		return nil, fmt.Errorf("kms: hkdf: %w", err)
	}
	return out, nil
}

// sealBox appends nonce || ciphertext || tag of AES-256-GCM to dst. The nonce
// is drawn by the cipher itself, so no caller can repeat one.
func sealBox(dst, k, plaintext, aad []byte) ([]byte, error) {
	aead, err := newAEAD(k)
	if err != nil {
		return nil, err
	}
	return aead.Seal(dst, nil, plaintext, aad), nil //nolint:gosec // G407: no nonce is passed, the cipher draws it.
}

// openBox gives what was sealed under a cipher with the same aad, or
// [ErrAuth]. The result is the caller's to clear.
func openBox(aead cipher.AEAD, box, aad []byte) ([]byte, error) {
	if len(box) < boxOverhead {
		return nil, ErrAuth
	}
	plaintext, err := aead.Open(nil, nil, box, aad)
	if err != nil {
		return nil, ErrAuth
	}
	return plaintext, nil
}

// sealUnder seals under the key that base and info derive.
func sealUnder(base key, info, plaintext, aad []byte) ([]byte, error) {
	k, err := expand(base, info, keyLen)
	if err != nil {
		return nil, err
	}
	defer clear(k)
	return sealBox(nil, k, plaintext, aad)
}

// openUnder opens what sealUnder sealed.
func openUnder(base key, info, box, aad []byte) ([]byte, error) {
	k, err := expand(base, info, keyLen)
	if err != nil {
		return nil, err
	}
	defer clear(k)
	aead, err := newAEAD(k)
	if err != nil {
		return nil, err
	}
	return openBox(aead, box, aad)
}

func newAEAD(k []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, fmt.Errorf("kms: aes: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("kms: gcm: %w", err)
	}
	return aead, nil
}
