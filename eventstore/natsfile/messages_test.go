package natsfile

import (
	"bytes"
	"fmt"
	"testing"
)

// TestMessages: every sound message is found, behind unreadable bytes too;
// what was erased or deleted is none, and a server's own records have content.
func TestMessages(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, 0, Options{})
	n.append(1000)
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	for m, err := range Messages(dir, stream) {
		if err != nil || m.Sequence != 1 || m.Subject != "test.s" || !bytes.Equal(m.Data, make([]byte, 1000)) {
			t.Errorf("%d %s, %d bytes, %v", m.Sequence, m.Subject, len(m.Data), err)
		}
	}

	dir = t.TempDir()
	flipped := message(t, 2)
	flipped[50] ^= 1
	writeBlock(t, dir, 1, message(t, 1), flipped, message(t, 3), message(t, 4|isErased), message(t, 5|isTombstone), message(t, 6)[:90])
	writeBlock(t, dir, 2, []byte("garbage"), recordOf(t, 2, 9, "test.t", 0))
	var got []string
	for m, err := range Messages(dir, stream) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(m.Sequence, " ", m.Subject, " ", len(m.Data)))
	}
	if want := []string{"1 test.1 100", "3 test.3 100", "9 test.t 0"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for m, err := range Messages(t.TempDir(), stream) {
		t.Errorf("no stream: %+v, %v", m, err)
	}
}
