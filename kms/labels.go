package kms

import (
	"encoding/binary"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// Every use of a key has its own label. Labels are frozen: another meaning
// needs another version.
const (
	labelLocalRoot     = "chancery/local-root/v1"
	labelLocalRootWrap = "chancery/local-root/v1/wrap"
	labelOrgKey        = "chancery/org-key/v1"
	labelOrgKeyWrap    = "chancery/org-key/v1/wrap"
	labelSecretKey     = "chancery/secret-key/v1"
	labelDataKey       = "chancery/data-key/v1"
	labelDataKeyKeys   = "chancery/data-key/v1/keys"
	labelFieldValue    = "chancery/field-value/v1"
)

// LP encodes a label and its parts so that no two different lists give the
// same bytes: u16be(count), then for each u32be(length) and the bytes. count
// includes the label. It is the form of all additional data and all HKDF info
// here.
//
// Ids go in as the bytes of their text, except: a kekId and an event id are
// their 16 bytes, a generation is u32be.
func LP(label string, parts ...string) []byte {
	n := 2 + 4 + len(label)
	for _, p := range parts {
		n += 4 + len(p)
	}
	b := binary.BigEndian.AppendUint16(make([]byte, 0, n), uint16(len(parts)+1)) //nolint:gosec // At most eight parts, all calls are in this file.
	b = appendPart(b, label)
	for _, p := range parts {
		b = appendPart(b, p)
	}
	return b
}

func appendPart(b []byte, p string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(p))) //nolint:gosec // Parts are ids of at most 128 bytes.
	return append(b, p...)
}

// localRootAAD binds a key wrapped by a key file to the file, the version and
// the caller's context.
func localRootAAD(ref, version string, aad []byte) []byte {
	return LP(labelLocalRoot, ref, version, string(aad))
}

func localRootInfo(ref, version string) []byte { return LP(labelLocalRootWrap, ref, version) }

// orgKeyAAD binds an org key to its organization and id.
func orgKeyAAD(org domain.OrgID, id string) []byte { return LP(labelOrgKey, string(org), id) }

func orgKeyInfo(id string) []byte { return LP(labelOrgKeyWrap, id) }

// secretKeyAAD binds a wrapped secret key to everything its record says of
// it but times.
func secretKeyAAD(org domain.OrgID, orgKeyID string, kek domain.KekID, generation uint32) []byte {
	return LP(labelSecretKey, string(org), orgKeyID, string(kek[:]), string(binary.BigEndian.AppendUint32(nil, generation)))
}

// dataKeyAAD binds a data key to its header and its path.
func dataKeyAAD(header []byte, ref domain.SecretRef, field domain.FieldKey) []byte {
	return LP(labelDataKey, string(header), string(ref.Org), string(ref.Scope.Kind), ref.Scope.ID, string(ref.ID), string(field))
}

func dataKeyInfo(header []byte) []byte { return LP(labelDataKeyKeys, string(header)) }

// fieldValueAAD binds a sealed value to its path, its key and the event that
// wrote it.
func fieldValueAAD(ref domain.SecretRef, kek domain.KekID, field domain.FieldKey, event ulid.ULID) []byte {
	return LP(labelFieldValue, string(ref.Org), string(ref.Scope.Kind), ref.Scope.ID, string(ref.ID),
		string(kek[:]), string(field), string(event[:]))
}

func fieldValueInfo(event ulid.ULID) []byte { return LP(labelFieldValue, string(event[:])) }
