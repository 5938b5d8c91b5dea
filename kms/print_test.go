package kms

import (
	"fmt"
	"strings"
	"testing"
)

// Invariant 9: what holds a key does not print it either. fmt calls no method of an
// unexported field.
func TestWhatHoldsAKeyDoesNotPrint(t *testing.T) {
	k := key{}
	for i := range k {
		k[i] = 0xAB
	}
	for _, v := range []any{eventKey{key: k}, &eventKey{key: k}, orgKey{key: k}, &orgKey{key: k}, secretKey{key: k, values: eventKey{key: k}}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
			if text := strings.ToLower(fmt.Sprintf(verb, v)); strings.Contains(text, "171") || strings.Contains(text, "ab") {
				t.Errorf("%T prints with %s: %s", v, verb, text)
			}
		}
	}
}
