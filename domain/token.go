package domain

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/big"
	"strings"
)

// The parts of an API key's text: "chy_", a lookup id, "_", the secret, a
// checksum. Typos and secret scanners are settled by the checksum alone.
const (
	TokenPrefix      = "chy_"
	TokenLookupLen   = 12 // base62 characters
	tokenSecretLen   = 43 // base62 characters: 32 bytes
	tokenChecksumLen = 6  // base62 characters: CRC-32

	// TokenLen is the length of every API key's text.
	TokenLen = len(TokenPrefix) + TokenLookupLen + 1 + tokenSecretLen + tokenChecksumLen
)

// base62 digits, in the order of their values.
const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Token is the text of an API key, which is shown once and never stored. It
// never prints: the text is behind a pointer because fmt shows the members of
// a struct whose methods it cannot call.
type Token struct{ text *string }

// NewToken makes a token of random bytes. The lookup id takes 9 bytes modulo
// 62^12, which is not quite uniform: it has to be rare, not secret. The
// secret keeps all its 256 bits.
func NewToken(lookup [9]byte, secret [32]byte) Token {
	text := TokenPrefix + base62Fixed(lookup[:], TokenLookupLen) + "_" + base62Fixed(secret[:], tokenSecretLen)
	text += tokenChecksum(text)
	return Token{text: &text}
}

// Reveal gives the text.
func (t Token) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// Format gives [Redacted] for every verb.
func (Token) Format(f fmt.State, _ rune) { redact(f) }

// String gives [Redacted].
func (Token) String() string { return Redacted }

// GoString gives [Redacted].
func (Token) GoString() string { return Redacted }

// LogValue gives [Redacted].
func (Token) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalJSON always fails.
func (Token) MarshalJSON() ([]byte, error) { return nil, errNoMarshal }

// MarshalText always fails.
func (Token) MarshalText() ([]byte, error) { return nil, errNoMarshal }

// ParseToken reads the text of an API key: its lookup id and the SHA-256 of
// its secret part's 43 characters, which is what [APIKey] holds. ok is false
// for a text of any other form and for one whose checksum does not hold, such
// as a mistyped one.
func ParseToken(s string) (lookupID string, secretHash [32]byte, ok bool) {
	if len(s) != TokenLen || !strings.HasPrefix(s, TokenPrefix) {
		return "", [32]byte{}, false
	}
	text, checksum := s[:TokenLen-tokenChecksumLen], s[TokenLen-tokenChecksumLen:]
	lookupID, secret := text[len(TokenPrefix):len(TokenPrefix)+TokenLookupLen], text[len(text)-tokenSecretLen:]
	if text[len(TokenPrefix)+TokenLookupLen] != '_' || !isBase62(lookupID) || !isBase62(secret) || checksum != tokenChecksum(text) {
		return "", [32]byte{}, false
	}
	return lookupID, sha256.Sum256([]byte(secret)), true
}

// tokenChecksum is the CRC-32 (IEEE 802.3) of text in base62.
func tokenChecksum(text string) string {
	return base62Fixed(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text))), tokenChecksumLen)
}

// base62Fixed writes the big-endian number b modulo 62^n with n digits.
func base62Fixed(b []byte, n int) string {
	digits := make([]byte, n)
	rest, digit, base := new(big.Int).SetBytes(b), new(big.Int), big.NewInt(int64(len(base62)))
	for i := n - 1; i >= 0; i-- {
		rest.DivMod(rest, base, digit)
		digits[i] = base62[digit.Int64()]
	}
	return string(digits)
}

func isBase62(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(base62, r) })
}
