package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// TestLog verifies what the paths of C2SP tlog-tiles answer.
func TestLog(t *testing.T) {
	w := newWorld(t)
	w.proofs.signed = 700
	for path, want := range map[string]string{
		"events/checkpoint": "chancery/org/events\n700\n", "access/checkpoint": "chancery/org/access\n700\n",
		"events/tile/0/000": "events 0 0 256", "access/tile/0/001": "access 0 1 256", "access/tile/63/000.p/3": "access 63 0 3",
		"events/tile/entries/001": "events entries 1 256", "access/tile/entries/002.p/188": "access entries 2 188",
	} {
		got := w.want(200, request{method: "GET", path: "/log/" + path, as: w.auditor})
		kind := wire.ContentOctets
		if strings.HasSuffix(path, "checkpoint") {
			kind = wire.ContentText
		}
		if string(got.body) != want || got.Header.Get("Content-Type") != kind {
			t.Errorf("%s: got %s %q", path, got.Header.Get("Content-Type"), got.body)
		}
		if records := w.recorder.take(); len(records) != 1 || records[0].Action != domain.AccessExport || records[0].Detail != strings.Replace(path, "/", " ", 1) ||
			(records[0].Target == "") != strings.Contains(path, "entries") {
			t.Errorf("%s: recorded %+v", path, records)
		}
	}
	w.proofs.signed = 1 << 62
	for path, want := range map[string]string{
		"x001/067": "events 0 1067 256", "x001/x234/067": "events 0 1234067 256", "x999/x999/999.p/255": "events 0 999999999 255", "x001/x000/x000/000": "events 0 1000000000 256",
	} {
		if got := w.want(200, request{method: "GET", path: "/log/events/tile/0/" + path, as: w.auditor}); string(got.body) != want {
			t.Errorf("%s: got %q", path, got.body)
		}
	}
	w.proofs.signed = 700
	for _, path := range []string{"0/002", "0/002.p/189", "0/x001/000", "entries/002"} {
		w.refused(domain.CodeNotFound, request{method: "GET", path: "/log/events/tile/" + path, as: w.auditor})
	}
	for _, path := range []string{
		"events/tile/64/000", "events/tile/00/000", "events/tile/-1/000", "events/tile/x/000", "events/tile/0/1", "events/tile/0/0000", "events/tile/0/x000/001", "events/tile/0/001/067",
		"events/tile/0/x001", "events/tile/0/000.p", "events/tile/0/000.p/0", "events/tile/0/000.p/256", "events/tile/0/000.p/07", "events/tile/0/000.p/x", "events/tile/0/x001/067/8",
		"other/tile/0/000", "other/checkpoint", "events/tile/data/000", "events/tile/0/x001.p/067", "events/tile/0/x001/x002/x003/x004",
	} {
		w.refused(domain.CodeInvalidID, request{method: "GET", path: "/log/" + path, as: w.auditor})
	}
	for _, path := range []string{"events", "events/tile", "events/tile/0", "events/tile/0/x001/x002/x003/x004/005", "events/tile/0/000/", "key/", "events/tile//000"} {
		w.refused(domain.CodeRouteNotFound, request{method: "GET", path: "/log/" + path, as: w.auditor})
	}
	keys := data[[]wire.LogKey](w, w.want(200, request{method: "GET", path: "/log/key", as: w.auditor}))
	if len(keys) != 1 || keys[0].Log != "events" || keys[0].VKey == "" {
		t.Errorf("got %+v", keys)
	}
}

// TestTilePaths verifies that exactly the paths of C2SP tlog-tiles are read,
// by what torchwood writes.
func TestTilePaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tile := tlog.Tile{H: 8, L: rapid.IntRange(-1, 63).Draw(t, "level"), N: rapid.Int64Range(0, 999_999_999_999).Draw(t, "index"), W: rapid.IntRange(1, 256).Draw(t, "width")}
		path := strings.TrimPrefix(torchwood.TilePath(tile), "tile/")
		segments := strings.Split(path, "/")
		if got, ok := httpapi.TilePath(segments[0], segments[1:]); !ok || got != path {
			t.Fatalf("%s is read as %s, %v", path, got, ok)
		}
	})
}

// FuzzTilePath verifies that each tile has one spelling, and that torchwood
// reads it as the same.
func FuzzTilePath(f *testing.F) {
	for _, path := range []string{"0/000", "63/x001/067.p/255", "entries/x999/x999/999", "0/x000/001", "0/000.p/256", "00/000", "0/x001/067/8", "0/0000"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		segments := strings.Split(path, "/")
		got, ok := httpapi.TilePath(segments[0], segments[1:])
		if !ok {
			return
		}
		if got != path {
			t.Errorf("%q is read as %q", path, got)
		}
		if _, err := torchwood.ParseTilePath("tile/" + path); err != nil && len(segments) < 6 {
			t.Errorf("%q: %v", path, err)
		}
	})
}

// TestNothingOfTheLogWithoutARecord verifies invariant 5 for the bytes of the
// log.
func TestNothingOfTheLogWithoutARecord(t *testing.T) {
	w := newWorld(t)
	w.recorder.fail = true
	for _, path := range []string{"events/checkpoint", "access/tile/0/000", "events/tile/entries/000", "key"} {
		got := w.send(request{method: "GET", path: "/log/" + path, as: w.auditor})
		if got.StatusCode != 503 || strings.Contains(string(got.body), fmt.Sprint(w.proofs.signed)) {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
}
