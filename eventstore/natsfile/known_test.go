package natsfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// knowing are rules with a position that something beside the files knows.
func knowing(expires bool, position uint64) map[string]Rules {
	return map[string]Rules{stream: {Expires: expires, Known: func() (Known, error) { return Known{position, "a witness"}, nil }}}
}

// TestKnownPositions holds invariant 5: what lies at or below a position that
// something beside the files knows was durable, and is damage where it is
// missing, even where the files end with a whole record.
func TestKnownPositions(t *testing.T) {
	two := bytes.Join([][]byte{message(t, 1), message(t, 2)}, nil)
	for name, tc := range map[string]struct {
		content  []byte
		known    uint64
		expires  bool
		maxAge   string // in the settings
		position uint64 // of the finding, 0 for none
		torn     bool
	}{
		"it ends at the position":        {two, 2, false, "0", 0, false},
		"it ends before the position":    {two, 3, false, "0", 3, false},
		"it is torn behind the position": {append(bytes.Clone(two), 1, 2, 3), 2, false, "0", 3, true},
		"it is torn at the position":     {append(bytes.Clone(two), 1, 2, 3), 3, false, "0", 3, false},
		"nothing is there":               {nil, 1, false, "0", 1, false},
		"it may have expired":            {two, 3, true, "86400000000000", 0, false},
		"it may expire, and does not":    {two, 3, true, "0", 3, false},
		"its settings cannot be read":    {two, 3, true, "", 0, false},
		"all of it may have expired":     {bytes.Repeat([]byte{0}, 100), 3, true, "86400000000000", 1, true},
		"none of it has expired":         {bytes.Repeat([]byte{0}, 100), 3, true, "0", 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := writeBlock(t, dir, 1, tc.content)
			settings := filepath.Join(streamDir(dir, stream), settingsFile)
			if err := os.WriteFile(settings, []byte(`{"name":"TEST","max_age":`+tc.maxAge+`}`), 0o600); err != nil {
				t.Fatal(err)
			}
			markEnd(t, dir, EndedWithMachine, 0)
			in, err := Inspect(dir, knowing(tc.expires, tc.known))
			if err != nil {
				t.Fatal(err)
			}
			if in.Known[stream] != (Known{tc.known, "a witness"}) {
				t.Errorf("known: %+v", in.Known)
			}
			if tc.position == 0 {
				if len(in.Findings) > 0 {
					t.Error(in.Findings[0])
				}
				return
			}
			if len(in.Findings) != 1 {
				t.Fatalf("%d findings", len(in.Findings))
			}
			f := in.Findings[0]
			if f.Position != tc.position || f.Torn != tc.torn || !tc.torn && !strings.Contains(f.Error(), "a witness") {
				t.Errorf("%+v", f)
			}
			if tc.torn {
				return
			}
			store, err := Open(dir, Options{Streams: knowing(tc.expires, tc.known)})
			if refused, ok := errors.AsType[*Finding](err); !ok || refused.Position != tc.position {
				t.Errorf("opened: %v, %v", store, err)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, tc.content) {
				t.Errorf("a refused start changed the block: %d bytes, %v", len(got), err)
			}
			if err := Cut(dir, f, filepath.Join(dir, "kept")); err == nil {
				t.Error("cut")
			}
		})
	}
}

// TestKnownIsNotAskedInVain: after an orderly end, and when not all blocks are
// read, no witness is read either.
func TestKnownIsNotAskedInVain(t *testing.T) {
	asked := errors.New("asked")
	streams := map[string]Rules{stream: {Known: func() (Known, error) { return Known{}, asked }}}
	for ended, want := range map[End]struct{ inspect, open error }{
		EndedInOrder: {nil, nil}, EndedWithProcess: {asked, nil}, EndedWithMachine: {asked, asked},
	} {
		dir := t.TempDir()
		writeBlock(t, dir, 1, message(t, 1))
		markEnd(t, dir, ended, 1)
		if _, err := Inspect(dir, streams); !errors.Is(err, want.inspect) {
			t.Errorf("ended %d: inspected: %v", ended, err)
		}
		store, err := Open(dir, Options{Streams: streams})
		if !errors.Is(err, want.open) {
			t.Errorf("ended %d: opened: %v", ended, err)
		}
		if err == nil {
			err = store.Close()
		}
		if err != nil && !errors.Is(err, asked) {
			t.Error(err)
		}
	}
}

// TestKnownKeepsPositions: where everything may have expired, the next position
// comes after those that something else knows.
func TestKnownKeepsPositions(t *testing.T) {
	dir := t.TempDir()
	writeBlock(t, dir, 1, message(t, 1))
	markEnd(t, dir, EndedWithMachine, 1)
	store, err := Open(dir, Options{Streams: knowing(true, 7)})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	in, err := Inspect(dir, rules(true))
	if err != nil || in.Last[stream] != 7 {
		t.Errorf("%+v, %v", in, err)
	}
}

// TestDamageAfterAnOrderlyEnd: a start refuses newest blocks that nothing but
// damage explains before the server can cut them off.
func TestDamageAfterAnOrderlyEnd(t *testing.T) {
	dir := t.TempDir()
	content := bytes.Join([][]byte{message(t, 1), message(t, 2), message(t, 3)}, nil)
	content[200] ^= 1
	path := writeBlock(t, dir, 1, content)
	_, err := Open(dir, Options{Streams: rules(false)})
	if f, ok := errors.AsType[*Finding](err); !ok || f.Torn || f.Position != 2 || f.Through != 3 {
		t.Fatalf("%+v", err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, running, err := readMark(dir); err != nil || running {
		t.Errorf("a refused start left its mark, %v", err)
	}
}

// TestCutOff: a start tells which torn ends it cut off.
func TestCutOff(t *testing.T) {
	dir := t.TempDir()
	writeBlock(t, dir, 1, message(t, 1), message(t, 2)[:60])
	markEnd(t, dir, EndedWithProcess, 1)
	store, err := Open(dir, Options{Streams: rules(false)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if cut := store.CutOff(); len(cut) != 1 || cut[0].Position != 2 || cut[0].Behind != 60 || cut[0].Through != 0 {
		t.Errorf("%+v", cut)
	}
}
