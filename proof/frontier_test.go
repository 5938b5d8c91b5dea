package proof_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/chancery-dev/chancery/proof"
)

// FuzzDecodeFrontier: what is decoded is encoded to the same bytes, and is the
// right edge of a tree.
func FuzzDecodeFrontier(f *testing.F) {
	l := newSampleLog(f, "org_1")
	for range 3 {
		l.grow(f, 131)
		rows, err := l.tree.Frontier(l.tree.Size)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := proof.Frontier{Size: l.tree.Size, Rows: rows}.Encode()
		if err != nil {
			f.Fatal(err)
		}
		if _, err := proof.DecodeFrontier(raw); err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(append(raw, '\n'))
		f.Add(bytes.Replace(raw, []byte(`"v":1`), []byte(`"v":2`), 1))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := proof.DecodeFrontier(raw)
		if err != nil {
			if !errors.Is(err, proof.ErrFrontier) {
				t.Fatal(err)
			}
			return
		}
		again, err := got.Encode()
		if err != nil || !bytes.Equal(raw, again) {
			t.Fatalf("%s from %s: %v", again, raw, err)
		}
	})
}
