package kmstest_test

import (
	"testing"

	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/kmstest"
)

func TestStoreConforms(t *testing.T) {
	kmstest.TestKeyStore(t, func(*testing.T) kms.KeyStore { return &kmstest.Store{} })
}

func TestStoreIsDurable(t *testing.T) {
	kmstest.TestDurability(t, func(*testing.T) kmstest.Held {
		s := &kmstest.Store{}
		return kmstest.Held{Store: s, Hold: func() (<-chan struct{}, func()) {
			entered, released := make(chan struct{}, 1), make(chan struct{})
			s.SetFault(func(kmstest.Op, string) (bool, error) {
				select {
				case entered <- struct{}{}:
				default:
				}
				<-released
				return true, nil
			})
			return entered, func() { close(released) }
		}}
	})
}
