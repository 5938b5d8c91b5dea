package kms

import (
	"bytes"
	"crypto/rand"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

var testTime = time.Date(2026, 11, 6, 12, 0, 0, 0, time.UTC)

const (
	testOrg   = domain.OrgID("org_01JB0000000000000000000000")
	testAgent = domain.AgentID("agt_01JB0000000000000000000001")
)

func testSource() *source {
	return &source{now: func() time.Time { return testTime }, rand: rand.Reader}
}

func testRef() domain.SecretRef {
	return domain.SecretRef{Org: testOrg, Scope: domain.Scope{Kind: domain.ScopeTeam, ID: "team_01JB0000000000000000000002"}, ID: "db"}
}

func testSecretKey(seed byte) secretKey {
	k := secretKey{org: testOrg, created: testTime}
	copy(k.kek[:], bytes.Repeat([]byte{seed}, 16))
	copy(k.key[:], bytes.Repeat([]byte{^seed}, keyLen))
	return k
}

func testULID(seed byte) ulid.ULID {
	var u ulid.ULID
	for i := range u {
		u[i] = seed
	}
	u[0] = 1
	return u
}

func mustMint(t testing.TB, k secretKey, ref domain.SecretRef, field domain.FieldKey) (DataKey, key) {
	t.Helper()
	d, dek, err := mintDataKey(testSource(), k, ref, field, testAgent.ULID())
	if err != nil {
		t.Fatal(err)
	}
	return d, dek
}

// sealField seals one value as an event's only one.
func sealField(k secretKey, ref domain.SecretRef, field domain.FieldKey, event ulid.ULID, value domain.Plaintext) (domain.Sealed, error) {
	c, err := newFieldCipher(&k, event)
	if err != nil {
		return domain.Sealed{}, err
	}
	return c.seal(ref, field, value), nil
}

// openField opens one value with a key, whatever the value says of it.
func openField(k secretKey, ref domain.SecretRef, field domain.FieldKey, s domain.Sealed) (domain.Plaintext, error) {
	k.kek = s.KekID
	c, err := newFieldCipher(&k, s.EventID)
	if err != nil {
		return domain.Plaintext{}, err
	}
	return c.open(ref, field, s.Box)
}
