package natsfile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestInspect holds invariant 5: what a crash can have left is told apart from
// damage, by how the run ended and by what is known to be durable.
func TestInspect(t *testing.T) {
	one, two, three, four := message(t, 1), message(t, 2), message(t, 3), message(t, 4)
	join := func(records ...[]byte) []byte { return bytes.Join(records, nil) }
	flipped := bytes.Clone(two)
	flipped[50] ^= 4
	second := func(sequence uint64) []byte { return recordOf(t, 2, sequence, "test.s", 100) }
	type want struct {
		position    uint64 // 0: sound
		torn, atEnd bool
	}
	for name, tc := range map[string]struct {
		blocks  [][]byte
		durable uint64
		// by how the run ended
		inOrder, process, machine want
	}{
		"sound":           {[][]byte{join(one, two)}, 0, want{}, want{}, want{}},
		"nothing":         {nil, 0, want{}, want{}, want{}},
		"an empty block":  {[][]byte{join(one), {}}, 0, want{}, want{}, want{}},
		"the last is cut": {[][]byte{join(one, two[:60])}, 1, want{2, false, true}, want{2, true, true}, want{2, true, true}},
		"the last is cut, and was durable": {
			[][]byte{join(one, two[:60])}, 2, want{2, false, true}, want{2, false, true}, want{2, false, true},
		},
		"the last is cut in its head": {[][]byte{join(one, two[:3])}, 0, want{2, false, true}, want{2, true, true}, want{2, true, true}},
		"a page is missing before sound records": {
			[][]byte{join(one, make([]byte, len(two)), three)}, 0, want{2, false, true}, want{2, false, true}, want{2, true, true},
		},
		"a byte is flipped":                  {[][]byte{join(one, flipped, three)}, 0, want{2, false, true}, want{2, false, true}, want{2, true, true}},
		"a byte is flipped that was durable": {[][]byte{join(one, flipped, three)}, 3, want{2, false, true}, want{2, false, true}, want{2, false, true}},
		"a message is missing":               {[][]byte{join(one, three)}, 0, want{2, false, false}, want{2, false, false}, want{2, true, false}},
		"a message was deleted":              {[][]byte{join(one, recordOf(t, 1, 1|isTombstone, "", 0))}, 0, want{2, false, false}, want{2, false, false}, want{2, true, false}},
		"the older block is cut": {
			[][]byte{join(one, two[:60]), join(second(3))}, 1, want{2, false, false}, want{2, false, false}, want{2, true, false},
		},
		"the older block is empty":    {[][]byte{{}, join(second(3))}, 0, want{1, false, false}, want{1, false, false}, want{1, true, false}},
		"both are cut":                {[][]byte{join(one, two[:60]), join(second(3))[:50]}, 1, want{2, false, false}, want{2, false, false}, want{2, true, false}},
		"a record of another block":   {[][]byte{join(one), join(two)}, 0, want{2, false, true}, want{2, false, true}, want{2, true, true}},
		"the first message is no one": {[][]byte{join(two, three, four)}, 0, want{1, false, false}, want{1, false, false}, want{1, true, false}},
	} {
		for ended, want := range map[End]want{EndedInOrder: tc.inOrder, EndedWithProcess: tc.process, EndedWithMachine: tc.machine} {
			dir := t.TempDir()
			for i, content := range tc.blocks {
				writeBlock(t, dir, uint32(i+1), content)
			}
			markEnd(t, dir, ended, tc.durable)
			in, err := Inspect(dir, rules(false))
			if err != nil {
				t.Fatal(err)
			}
			if in.Ended != ended {
				t.Errorf("%s: ended as %d, want %d", name, in.Ended, ended)
			}
			switch {
			case want.position == 0 && len(in.Findings) > 0:
				t.Errorf("%s, ended %d: %v", name, ended, in.Findings[0])
			case want.position == 0:
			case len(in.Findings) != 1:
				t.Errorf("%s, ended %d: %d findings", name, ended, len(in.Findings))
			default:
				f := in.Findings[0]
				if f.Position != want.position || f.Torn != want.torn || f.AtEnd != want.atEnd {
					t.Errorf("%s, ended %d: %+v, want %+v", name, ended, f, want)
				}
				if f.Error() == "" || in.Last[stream] != want.position-1 {
					t.Errorf("%s: %v, last %d", name, f, in.Last[stream])
				}
			}
		}
	}
}

// markEnd makes a directory look as if its last run ended so.
func markEnd(t *testing.T, dir string, ended End, durable uint64) {
	t.Helper()
	boot := bootID()
	switch ended {
	case EndedInOrder:
		return
	case EndedWithProcess:
	case EndedWithMachine:
		boot = "another"
	}
	m := newMark(boot)
	m.durable[stream] = durable
	if err := m.write(dir, (*os.File).Sync); err != nil {
		t.Fatal(err)
	}
}

// TestKilledInANewBlock: a process that was killed while it wrote the first
// record of a block leaves a torn end, which the next start cuts off.
func TestKilledInANewBlock(t *testing.T) {
	for _, expires := range []bool{false, true} {
		for left := range 60 {
			dir := t.TempDir()
			writeBlock(t, dir, 1, message(t, 1))
			writeBlock(t, dir, 2, recordOf(t, 2, 2, "test.s", 100))
			path := writeBlock(t, dir, 3, recordOf(t, 3, 3, "test.s", 100)[:left])
			markEnd(t, dir, EndedWithProcess, 2)
			store, err := Open(dir, Options{Streams: rules(expires)})
			if err != nil {
				t.Fatalf("%d bytes: %v", left, err)
			}
			if info, err := os.Stat(path); err != nil || info.Size() != 0 {
				t.Errorf("%d bytes: %v, %v", left, info, err)
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestCut: what a crash left is cut off and kept aside, and nothing else is
// touched; damage is not cut. A second cut finds nothing.
func TestCut(t *testing.T) {
	dir, keep := t.TempDir(), filepath.Join(t.TempDir(), "kept")
	sound, torn, younger := bytes.Join([][]byte{message(t, 1), message(t, 2)}, nil), message(t, 3)[:70], recordOf(t, 2, 4, "test.s", 100)
	path := writeBlock(t, dir, 1, sound, torn)
	writeBlock(t, dir, 2, younger)
	index := filepath.Join(messagesDir(dir, stream), indexFile)
	if err := os.WriteFile(index, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := Inspect(dir, rules(false))
	if err != nil || len(in.Findings) != 1 {
		t.Fatalf("%+v, %v", in, err)
	}
	if err := Cut(dir, in.Findings[0], keep); err == nil {
		t.Error("damage was cut off")
	}
	markEnd(t, dir, EndedWithMachine, 2)
	if in, err = Inspect(dir, rules(false)); err != nil || len(in.Findings) != 1 {
		t.Fatalf("%+v, %v", in, err)
	}
	if err := Cut(dir, in.Findings[0], keep); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, sound) {
		t.Errorf("%d bytes are left, %v", len(got), err)
	}
	for name, want := range map[string][]byte{fmt.Sprintf("1-%d", len(sound)): torn, "2-0": younger} {
		if got, err := os.ReadFile(filepath.Join(keep, stream, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s has %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := os.Stat(index); err == nil {
		t.Error("the server's summary is still there")
	}
	if in, err = Inspect(dir, rules(false)); err != nil || len(in.Findings) > 0 || in.Last[stream] != 2 {
		t.Errorf("%+v, %v", in, err)
	}
}

// FuzzScanner: no bytes make the scanner read beyond them or accept a record
// whose checksum is wrong.
func FuzzScanner(f *testing.F) {
	s, err := newScanner(stream, 1)
	if err != nil {
		f.Fatal(err)
	}
	empty := make([]byte, recordEmpty)
	empty[0] = recordEmpty
	s.seal(empty)
	f.Add(empty)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, part []byte) {
		r, err := s.next(part)
		if err != nil {
			return
		}
		if r.size > len(part) || r.size < recordEmpty {
			t.Fatalf("a record of %d bytes in %d", r.size, len(part))
		}
		flipped := bytes.Clone(part)
		flipped[4] ^= 1 // the sequence
		if _, err := s.next(flipped); err == nil {
			t.Fatal("a changed sequence was accepted")
		}
	})
}
