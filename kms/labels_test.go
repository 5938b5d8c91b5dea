package kms

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestLPIsInjective(t *testing.T) {
	// Few letters and short parts, so that concatenations often collide.
	part := rapid.StringOfN(rapid.RuneFrom([]rune{0, 1, 'a', 'b'}), 0, 3, -1)
	list := rapid.SliceOfN(part, 1, 4)
	rapid.Check(t, func(t *rapid.T) {
		a, b := list.Draw(t, "a"), list.Draw(t, "b")
		same := bytes.Equal(LP(a[0], a[1:]...), LP(b[0], b[1:]...))
		if same != slices.Equal(a, b) {
			t.Fatalf("%q and %q: same bytes %v", a, b, same)
		}
	})
}

// Decoding is the proof of injectivity: there is an inverse.
func TestLPHasAnInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.String(), 1, 9).Draw(t, "parts")
		b := LP(parts[0], parts[1:]...)
		n := int(b[0])<<8 | int(b[1])
		b = b[2:]
		var got []string
		for range n {
			size := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
			got, b = append(got, string(b[4:4+size])), b[4+size:]
		}
		if len(b) != 0 || !slices.Equal(got, parts) {
			t.Fatalf("%q came back as %q with %d bytes over", parts, got, len(b))
		}
	})
}

func TestLPTellsNeighboursApart(t *testing.T) {
	if bytes.Equal(LP("l", "ab", "c"), LP("l", "a", "bc")) || bytes.Equal(LP("l"), LP("l", "")) {
		t.Fatal("two lists have one encoding")
	}
}
