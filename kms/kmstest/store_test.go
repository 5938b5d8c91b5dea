package kmstest_test

import (
	"testing"

	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/kmstest"
)

func TestStoreConforms(t *testing.T) {
	kmstest.TestKeyStore(t, func(*testing.T) kms.KeyStore { return &kmstest.Store{} })
}
