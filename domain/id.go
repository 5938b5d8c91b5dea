package domain

import (
	"encoding/hex"
	"strings"

	"github.com/oklog/ulid/v2"
)

// MaxIDLen is the longest secretId, scopeId or fieldKey, in bytes.
const MaxIDLen = 128

// Prefixes of the ids that Chancery itself makes: a prefix and a ULID in its
// canonical upper-case form.
const (
	OrgPrefix     = "org_"
	TeamPrefix    = "team_"
	ProjectPrefix = "proj_"
	AgentPrefix   = "agt_"
	KeyPrefix     = "key_"
)

type (
	// OrgID names an organization: "org_" and a ULID.
	OrgID string
	// AgentID names an agent: "agt_" and a ULID.
	AgentID string
	// APIKeyID names an API key: "key_" and a ULID. It is not the lookup id
	// that stands in the token.
	APIKeyID string
	// SecretID names a secret within its scope, as its creator chose it.
	SecretID string
	// FieldKey names a field within its secret.
	FieldKey string
	// KekID is the random name of one secret key, and so of one incarnation
	// of a secret.
	KekID [16]byte
	// DekID names one data key: a ULID whose time is the time of the mint.
	DekID ulid.ULID
)

// String gives the id as 32 lower-case hexadecimal digits, its form in
// subjects and records.
func (k KekID) String() string { return hex.EncodeToString(k[:]) }

// ParseKekID reads what [KekID.String] writes and nothing else.
func ParseKekID(s string) (KekID, error) {
	var k KekID
	if !DecodeHex(k[:], s) {
		return KekID{}, Errorf(CodeInvalidID, "a key id has 32 lower-case hexadecimal digits")
	}
	return k, nil
}

// DecodeHex fills out with the bytes of lower-case hexadecimal digits: two for
// each byte, and nothing else. false: s is not that.
func DecodeHex(out []byte, s string) bool {
	if len(s) != hex.EncodedLen(len(out)) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(out, []byte(s))
	return err == nil
}

// String gives the canonical ULID text.
func (d DekID) String() string { return ulid.ULID(d).String() }

// IsZero says that there is no data key, as for a plaintext field.
func (d DekID) IsZero() bool { return d == DekID{} }

// ParseDekID reads a canonical ULID.
func ParseDekID(s string) (DekID, error) {
	u, err := parseULID(s)
	return DekID(u), err
}

// ULID gives the 16 bytes behind the prefix. The id must be valid.
func (a AgentID) ULID() ulid.ULID {
	u, err := IDBytes(string(a), AgentPrefix)
	if err != nil {
		return ulid.ULID{}
	}
	return u
}

// ParseOrgID accepts "org_" and a canonical ULID; else invalid_id.
func ParseOrgID(s string) (OrgID, error) {
	return OrgID(s), checkPrefixed(s, OrgPrefix)
}

// ParseAgentID accepts "agt_" and a canonical ULID; else invalid_id.
func ParseAgentID(s string) (AgentID, error) {
	return AgentID(s), checkPrefixed(s, AgentPrefix)
}

// ParseAPIKeyID accepts "key_" and a canonical ULID; else invalid_id.
func ParseAPIKeyID(s string) (APIKeyID, error) {
	return APIKeyID(s), checkPrefixed(s, KeyPrefix)
}

// ParseSecretID accepts ^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$; else invalid_id.
func ParseSecretID(s string) (SecretID, error) {
	if !validID(s, false) {
		return "", Errorf(CodeInvalidID, "a secretId is 1 to 128 of A-Z a-z 0-9 _ - and starts with a letter or digit")
	}
	return SecretID(s), nil
}

// ParseFieldKey accepts ^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$; else invalid_id.
func ParseFieldKey(s string) (FieldKey, error) {
	if !validID(s, true) {
		return "", Errorf(CodeInvalidID, "a field key is 1 to 128 of A-Z a-z 0-9 _ - . and starts with a letter or digit")
	}
	return FieldKey(s), nil
}

func validID(s string, dot bool) bool {
	if s == "" || len(s) > MaxIDLen {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && (c == '_' || c == '-' || dot && c == '.'):
		default:
			return false
		}
	}
	return true
}

func checkPrefixed(s, prefix string) error {
	_, err := IDBytes(s, prefix)
	return err
}

// IDBytes gives the 16 bytes of an id that is a prefix and a canonical ULID;
// else invalid_id.
func IDBytes(s, prefix string) (ulid.ULID, error) {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return ulid.ULID{}, Errorf(CodeInvalidID, "the id must start with %s", prefix)
	}
	return parseULID(rest)
}

func parseULID(s string) (ulid.ULID, error) {
	u, err := ulid.ParseStrict(s)
	var canonical [ulid.EncodedSize]byte
	if err != nil || u.MarshalTextTo(canonical[:]) != nil || string(canonical[:]) != s {
		return ulid.ULID{}, Errorf(CodeInvalidID, "the id is not a ULID in its canonical form")
	}
	return u, nil
}
