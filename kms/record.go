package kms

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// ErrRecord reports a stored key record that this binary does not write.
var ErrRecord = errors.New("kms: a stored key record is malformed or of an unknown version")

const recordVersion = 1

// orgKeyRecord is an org key at rest: JSON, because a provider's wrapped form
// has no fixed size.
type orgKeyRecord struct {
	V          int          `json:"v"`
	Org        domain.OrgID `json:"org"`
	ID         string       `json:"id"`
	Generation uint32       `json:"generation"`
	Wrapped    Wrapped      `json:"wrapped"`
	CreatedAt  time.Time    `json:"createdAt"`
}

func encodeRecord(r any) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("kms: encoding a key record: %w", err)
	}
	return b, nil
}

// decodeOrgKeyRecord accepts exactly the bytes that encodeRecord writes. That
// rules out unknown, duplicate and misspelt members, blanks and trailing bytes.
func decodeOrgKeyRecord(raw []byte) (orgKeyRecord, error) {
	var r orgKeyRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return orgKeyRecord{}, ErrRecord // Its text could show a piece of the record.
	}
	again, err := encodeRecord(r)
	if err != nil || !bytes.Equal(raw, again) || r.V != recordVersion {
		return orgKeyRecord{}, ErrRecord
	}
	return r, nil
}

// logPosition is a position of the event log and the id of the event there,
// which is zero for a proven foreign message.
type logPosition struct {
	position uint64
	event    ulid.ULID
}

// secretKeyRecord is a secret key at rest. First and head identify the event
// log at the key's making: while the log lacks either, the absence of a claim
// proves nothing.
type secretKeyRecord struct {
	kek        domain.KekID
	org        domain.OrgID
	orgKey     uint32 // generation of the org key
	generation uint32
	box        [secretKeyBox]byte // nonce || ciphertext || tag
	created    time.Time          // UTC, whole milliseconds
	first      ulid.ULID          // id of the log's first event
	head       logPosition
}

// A secret key record has a fixed size. Numbers are big-endian:
//
//	  0  version, 1
//	  1  kekId, 16 bytes
//	 17  organization, the 16 bytes of its ULID
//	 33  generation of the org key, u32
//	 37  generation of the secret key, u32
//	 41  nonce, ciphertext and tag, 60 bytes
//	101  creation time, u64 milliseconds since 1970
//	109  id of the log's first event, 16 bytes
//	125  position of the log's head, u64
//	133  id of the event there, 16 bytes
const (
	secretKeyBox       = keyLen + boxOverhead
	secretKeyRecordLen = 149
)

func (r *secretKeyRecord) encode() ([]byte, error) {
	org, err := domain.IDBytes(string(r.org), domain.OrgPrefix)
	if err != nil {
		return nil, fmt.Errorf("kms: encoding a key record: %w", err)
	}
	b := append(make([]byte, 0, secretKeyRecordLen), recordVersion)
	b = append(b, r.kek[:]...)
	b = append(b, org[:]...)
	b = binary.BigEndian.AppendUint32(b, r.orgKey)
	b = binary.BigEndian.AppendUint32(b, r.generation)
	b = append(b, r.box[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.created.UnixMilli()))
	b = append(b, r.first[:]...)
	b = binary.BigEndian.AppendUint64(b, r.head.position)
	return append(b, r.head.event[:]...), nil
}

// maxMillis is the last creation time of a record, in the year 10889.
const maxMillis = 1<<48 - 1

// decodeSecretKeyRecord accepts exactly the bytes that encode writes.
func decodeSecretKeyRecord(raw []byte) (secretKeyRecord, error) {
	if len(raw) != secretKeyRecordLen || raw[0] != recordVersion {
		return secretKeyRecord{}, ErrRecord
	}
	millis := binary.BigEndian.Uint64(raw[101:])
	r := secretKeyRecord{
		kek:        domain.KekID(raw[1:17]),
		org:        domain.OrgID(domain.OrgPrefix + ulid.ULID(raw[17:33]).String()),
		orgKey:     binary.BigEndian.Uint32(raw[33:]),
		generation: binary.BigEndian.Uint32(raw[37:]),
		box:        [secretKeyBox]byte(raw[41:101]),
		created:    time.UnixMilli(int64(min(millis, maxMillis))).UTC(),
		first:      ulid.ULID(raw[109:125]),
		head:       logPosition{position: binary.BigEndian.Uint64(raw[125:]), event: ulid.ULID(raw[133:])},
	}
	again, err := r.encode()
	if err != nil || !bytes.Equal(raw, again) || r.orgKey == 0 || r.generation == 0 || r.first.IsZero() || r.head.position == 0 {
		return secretKeyRecord{}, ErrRecord
	}
	return r, nil
}

// RecordGeneration returns the generation of a secret key record: of two
// records of one key the higher counts. It returns 0 for any other bytes.
func RecordGeneration(record []byte) uint32 {
	r, err := decodeSecretKeyRecord(record)
	if err != nil {
		return 0
	}
	return r.generation
}

// LogPosition returns the position of the event log that was durable when a
// secret's key was made, from the key's record. It needs no root key. Errors:
// ErrRecord.
func LogPosition(record []byte) (uint64, error) {
	r, err := decodeSecretKeyRecord(record)
	return r.head.position, err
}
