package kms

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// A data key's ciphertext, version 1, is the base64 of 142 bytes:
//
//	0     0x01, the version
//	1     0x01, the algorithm: AES-256-GCM and HMAC-SHA-256
//	2     kekId[16]   the secret key
//	18    dekId[16]   a ULID: the time of the mint and 80 random bits
//	34    minter[16]  the agent's ULID
//	50    nonce[12] || AES-256-GCM(wrapKey, nonce, data key, aad)[48]
//	110   HMAC-SHA-256(macKey, aad || the 60 bytes at 50)[32]
//
// wrapKey || macKey = HKDF-Expand(K, LP("chancery/data-key/v1/keys", header), 64)
// and aad = LP("chancery/data-key/v1", header, org, scope, scopeId, secretId,
// fieldKey), where header is the first 50 bytes. The keys differ for every
// data key, so no nonce can repeat under one. The MAC commits to key and
// context, which GCM does not, and checks a write without decrypting.
const (
	dataKeyVersion   = 1
	dataKeyAlgorithm = 1

	dataKeyHeaderLen = 2 + 16 + 16 + 16
	dataKeyBodyLen   = keyLen + boxOverhead
	dataKeyLen       = dataKeyHeaderLen + dataKeyBodyLen + sha256.Size

	// DataKeyCiphertextLen is the length of every data key ciphertext, in
	// characters.
	DataKeyCiphertextLen = (dataKeyLen + 2) / 3 * 4

	// MaxDataKeyAge is how long after its mint a data key may be written, and
	// released again to its minter.
	MaxDataKeyAge = 15 * time.Minute
	// maxClockSkew is how far the clock of the node that minted may be ahead:
	// twice what the clock rule of the log lets two nodes differ from it.
	maxClockSkew = 10 * time.Second
)

// errDataKeyShape is every failure to parse. It never reaches a client.
var errDataKeyShape = errors.New("kms: not a data key ciphertext")

// DataKey is a data key ciphertext of the right shape. Nothing in it is
// proven until a MAC is checked.
type DataKey struct{ raw [dataKeyLen]byte }

// ParseDataKey accepts exactly the canonical base64 (RFC 4648, section 4) of
// a version 1 data key ciphertext: fixed length, no line break, zero padding
// bits. So one data key has one string.
func ParseDataKey(s string) (DataKey, error) {
	var d DataKey
	if len(s) != DataKeyCiphertextLen {
		return DataKey{}, errDataKeyShape
	}
	// The decoder skips line breaks, even a strict one; the result is then
	// too short for a string of this length.
	var raw [DataKeyCiphertextLen / 4 * 3]byte
	n, err := base64.StdEncoding.Strict().Decode(raw[:], []byte(s))
	if err != nil || n != dataKeyLen {
		return DataKey{}, errDataKeyShape
	}
	d.raw = [dataKeyLen]byte(raw[:])
	if d.raw[0] != dataKeyVersion || d.raw[1] != dataKeyAlgorithm {
		return DataKey{}, errDataKeyShape
	}
	return d, nil
}

// KekID names the secret key that wraps it.
func (d DataKey) KekID() domain.KekID { return domain.KekID(d.raw[2:18]) }

// DekID names the data key.
func (d DataKey) DekID() domain.DekID { return domain.DekID(d.raw[18:34]) }

// Minter is the ULID of the agent that it was minted for.
func (d DataKey) Minter() ulid.ULID { return ulid.ULID(d.raw[34:50]) }

// MintedAt is when it was minted, in milliseconds.
func (d DataKey) MintedAt() time.Time { return ulid.Time(ulid.ULID(d.DekID()).Time()) }

// Format prints the ids alone, whatever the verb.
func (d DataKey) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "data key "+d.DekID().String()+" under "+d.KekID().String())
}

func (d *DataKey) header() []byte { return d.raw[:dataKeyHeaderLen] }
func (d *DataKey) body() []byte   { return d.raw[dataKeyHeaderLen : dataKeyHeaderLen+dataKeyBodyLen] }
func (d *DataKey) tag() []byte    { return d.raw[dataKeyHeaderLen+dataKeyBodyLen:] }
func (d *DataKey) encode() string { return base64.StdEncoding.EncodeToString(d.raw[:]) }

// fresh says whether the mint is at most MaxDataKeyAge ago.
func (d *DataKey) fresh(now time.Time) bool {
	age := now.Sub(d.MintedAt())
	return age <= MaxDataKeyAge && age >= -maxClockSkew
}

// mintDataKey draws a data key and wraps it under k for one path. The
// plaintext is the caller's to clear.
func mintDataKey(src *source, k secretKey, ref domain.SecretRef, field domain.FieldKey, minter ulid.ULID) (DataKey, key, error) {
	var d DataKey
	dek, err := newKey(src.rand)
	if err != nil {
		return DataKey{}, key{}, err
	}
	var id ulid.ULID
	if err := id.SetTime(ulid.Timestamp(src.now())); err != nil {
		return DataKey{}, key{}, fmt.Errorf("kms: the time of a mint: %w", err)
	}
	if _, err := io.ReadFull(src.rand, id[6:]); err != nil {
		return DataKey{}, key{}, fmt.Errorf("kms: drawing a data key id: %w", err)
	}
	h := append(d.raw[:0], dataKeyVersion, dataKeyAlgorithm)
	h = append(h, k.kek[:]...)
	h = append(h, id[:]...)
	_ = append(h, minter[:]...)

	keys, err := expand(k.key, dataKeyInfo(d.header()), 2*keyLen)
	if err != nil {
		return DataKey{}, key{}, err
	}
	defer clear(keys)
	aad := dataKeyAAD(d.header(), ref, field)
	// The box fills exactly the room of the body.
	if _, err := sealBox(d.body()[:0], keys[:keyLen], dek[:], aad); err != nil {
		return DataKey{}, key{}, err
	}
	copy(d.tag(), dataKeyMAC(keys[keyLen:], aad, d.body()))
	return d, dek, nil
}

// verify checks that k made d for exactly this path; else [ErrAuth].
func (d *DataKey) verify(k secretKey, ref domain.SecretRef, field domain.FieldKey) error {
	keys, _, err := d.authenticate(k, ref, field)
	clear(keys)
	return err
}

// open gives the data key itself, verified as by verify. It is the caller's
// to clear.
func (d *DataKey) open(k secretKey, ref domain.SecretRef, field domain.FieldKey) ([]byte, error) {
	keys, aad, err := d.authenticate(k, ref, field)
	defer clear(keys)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(keys[:keyLen])
	if err != nil {
		return nil, err
	}
	return openBox(aead, d.body(), aad)
}

// authenticate gives wrapKey || macKey, which is the caller's to clear, once
// the MAC is right.
func (d *DataKey) authenticate(k secretKey, ref domain.SecretRef, field domain.FieldKey) (keys, aad []byte, err error) {
	keys, err = expand(k.key, dataKeyInfo(d.header()), 2*keyLen)
	if err != nil {
		return nil, nil, err
	}
	aad = dataKeyAAD(d.header(), ref, field)
	if !hmac.Equal(d.tag(), dataKeyMAC(keys[keyLen:], aad, d.body())) {
		clear(keys)
		return nil, nil, ErrAuth
	}
	return keys, aad, nil
}

// dataKeyMAC is HMAC-SHA-256 (RFC 2104) over aad || body. aad tells its own
// length, so nothing can move from one to the other.
func dataKeyMAC(k, aad, body []byte) []byte {
	mac := hmac.New(sha256.New, k)
	mac.Write(aad)
	mac.Write(body)
	return mac.Sum(nil)
}
