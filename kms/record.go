package kms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// ErrRecord says that a stored key record is not one that this binary writes.
var ErrRecord = errors.New("kms: a stored key record is malformed or of an unknown version")

const recordVersion = 1

// orgKeyRecord is an org key at rest.
type orgKeyRecord struct {
	V          int          `json:"v"`
	Org        domain.OrgID `json:"org"`
	ID         string       `json:"id"`
	Generation uint32       `json:"generation"`
	Wrapped    Wrapped      `json:"wrapped"`
	CreatedAt  time.Time    `json:"createdAt"`
}

// secretKeyRecord is a secret key at rest. EventsCreated and EventsHead say
// how the event log stood just before it was made: while the log is another
// or shorter, that nobody claimed the key proves nothing.
type secretKeyRecord struct {
	V             int          `json:"v"`
	KekID         string       `json:"kekId"`
	Generation    uint32       `json:"generation"`
	Org           domain.OrgID `json:"org"`
	OrgKeyID      string       `json:"orgKeyId"`
	Box           []byte       `json:"box"` // nonce || ciphertext || tag
	CreatedAt     time.Time    `json:"createdAt"`
	EventsCreated time.Time    `json:"eventsCreated"`
	EventsHead    uint64       `json:"eventsHead"`
}

func encodeRecord(r any) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("kms: encoding a key record: %w", err)
	}
	return b, nil
}

// decodeRecord accepts exactly the bytes that encodeRecord gives, which rules
// out unknown, duplicate and misspelt members, blanks and trailing bytes at
// once.
func decodeRecord[R orgKeyRecord | secretKeyRecord](raw []byte) (R, error) {
	var r, none R
	if err := json.Unmarshal(raw, &r); err != nil {
		return none, ErrRecord // Its text could show a piece of the record.
	}
	again, err := encodeRecord(r)
	if err != nil {
		return none, err
	}
	if !bytes.Equal(raw, again) {
		return none, ErrRecord
	}
	return r, nil
}

func decodeOrgKeyRecord(raw []byte) (orgKeyRecord, error) {
	r, err := decodeRecord[orgKeyRecord](raw)
	if err != nil || r.V != recordVersion {
		return orgKeyRecord{}, ErrRecord
	}
	return r, nil
}

// LogPosition returns the position of the event log that was its durable head
// when a secret's key was made, from the key's stored record. It needs no root
// key. Errors: ErrRecord.
func LogPosition(record []byte) (uint64, error) {
	r, _, err := decodeSecretKeyRecord(record)
	return r.EventsHead, err
}

func decodeSecretKeyRecord(raw []byte) (secretKeyRecord, domain.KekID, error) {
	r, err := decodeRecord[secretKeyRecord](raw)
	if err != nil || r.V != recordVersion {
		return secretKeyRecord{}, domain.KekID{}, ErrRecord
	}
	kek, err := domain.ParseKekID(r.KekID)
	if err != nil {
		return secretKeyRecord{}, domain.KekID{}, ErrRecord
	}
	return r, kek, nil
}
