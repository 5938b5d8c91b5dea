package kms_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/slotfile"
)

// Invariant 12: an organization whose key was lost or damaged gets no other one of the same id: the
// old secrets would not open for ever, and nothing would tell.
func TestALostOrgKeyIsNotMadeAnew(t *testing.T) {
	for name, harm := range map[string]func([]byte) []byte{
		"damaged": func(b []byte) []byte { b[100] ^= 1; return b },
		"zeros":   func(b []byte) []byte { clear(b); return b },
		"cut":     func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newSlotWorld(t)
			w.create(w.node(), alice, ref("old"))
			w.close()
			path := filepath.Join(w.dir, slotfile.OrgKeysFile)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, harm(content), 0o600); err != nil {
				t.Fatal(err)
			}
			w.open()
			if err := w.node().OrgReady(t.Context(), org); err == nil {
				t.Errorf("another key was made; CheckKeys says %v", kms.CheckKeys(t.Context(), w.store))
			}
			if err := w.node().OrgReady(t.Context(), org2); err != nil {
				t.Errorf("another organization: %v", err)
			}
		})
	}
}
