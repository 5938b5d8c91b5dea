package kms

import "testing"

// One org key wraps at most maxWraps keys, counting what is stored.
func TestWrapsAreBounded(t *testing.T) {
	o := &orgKeys{}
	o.stored.Store(maxWraps - 2)
	for i, want := range []bool{true, true, false, false} {
		if err := o.spend(); (err == nil) != want {
			t.Errorf("wrap %d: %v", i, err)
		}
	}
}
