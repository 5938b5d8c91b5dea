package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
	"github.com/chancery-dev/chancery/proof"
)

// treeTiles keeps tiles in memory.
type treeTiles map[string][]byte

// Tile implements proof.Tiles.
func (m treeTiles) Tile(level int, index uint64) ([]byte, error) {
	return m[fmt.Sprint(level, index)], nil
}

// PutTile implements proof.Tiles.
func (m treeTiles) PutTile(level int, index uint64, hashes []byte) error {
	m[fmt.Sprint(level, index)] = append([]byte(nil), hashes...)
	return nil
}

// exportedLogs writes an export of two logs of so many leaves and gives their
// keys by log.
func exportedLogs(t *testing.T, dir string, size uint64) map[string]proof.LogKey {
	t.Helper()
	signer, err := proof.NewSigningKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]proof.LogKey{}
	for _, log := range []string{proof.LogEvents, proof.LogAccess} {
		leaf := func(position uint64) []byte { return fmt.Appendf(nil, "%s %d", log, position) }
		tree := &proof.Tree{Tiles: treeTiles{}}
		for position := range size {
			if err := tree.Append([]tlog.Hash{proof.LeafHash(leaf(position + 1))}); err != nil {
				t.Fatal(err)
			}
		}
		origin := proof.Origin("org_1", log)
		root, err := tree.Root(size)
		if err != nil {
			t.Fatal(err)
		}
		note, err := signer.Sign(proof.Checkpoint{Origin: origin, Size: size, Root: root}, time.Unix(1_800_000_000, 0))
		if err != nil {
			t.Fatal(err)
		}
		if keys[log], err = signer.LogKey(origin); err != nil {
			t.Fatal(err)
		}
		_, err = proof.Export{
			Log: log, Key: keys[log], Checkpoint: note, Dir: filepath.Join(dir, log),
			Leaves: func(_ context.Context, after uint64) iter.Seq2[proof.Leaf, error] {
				return func(yield func(proof.Leaf, error) bool) {
					for position := after + 1; position <= size; position++ {
						if !yield(proof.Leaf{Position: position, Data: leaf(position)}, nil) {
							return
						}
					}
				}
			},
		}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// serveLogs serves an export as a server does.
func serveLogs(t *testing.T, dir string, keys map[string]proof.LogKey) *httptest.Server {
	t.Helper()
	files := http.StripPrefix("/log/", http.FileServerFS(os.DirFS(dir)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get(wire.HeaderAuthorization) != "Bearer "+testToken:
			t.Error("asked without the API key")
		case r.URL.Path == "/log/key":
			var list []wire.LogKey
			for log, key := range keys {
				list = append(list, wire.LogKey{Log: log, Origin: key.Origin(), Name: key.Origin(), VKey: key.VKey()})
			}
			answer(w, 200, wire.Response[[]wire.LogKey]{Data: list})
			return
		case strings.Contains(r.URL.Path, "/key"):
			t.Errorf("asked for %s", r.URL.Path)
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv
}

const noAddr = "http://127.0.0.1:1"

// TestVerifyTiles: an export verifies by its files alone; an unpinned key is
// said to be one, and what was changed is named with status 1.
func TestVerifyTiles(t *testing.T) {
	dir := t.TempDir()
	keys := exportedLogs(t, dir, 300)
	status, stdout, stderr := try(t.Context(), noAddr, "", "verify", "--tiles", dir)
	if status != exitOK || !strings.Contains(stdout, "events  1-300") || !strings.Contains(stderr, "not pinned") {
		t.Fatalf("%d, %q, %q", status, stdout, stderr)
	}
	for _, log := range []string{proof.LogEvents, proof.LogAccess} {
		status, stdout, stderr = try(t.Context(), noAddr, "", "verify", "--tiles", dir, "--key", keys[log].VKey(), "--json")
		var report server.VerifyReport
		if err := json.Unmarshal([]byte(stdout), &report); status != exitOK || err != nil || stderr != "" || !report.Pinned || report.Logs[1].Size != 300 {
			t.Fatalf("pinned by %s: %d, %q, %q", log, status, stdout, stderr)
		}
	}
	other, err := proof.NewLogKey(keys[proof.LogEvents].Origin(), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := try(t.Context(), noAddr, "", "verify", "--tiles", dir, "--key", other.VKey()); status != exitFailed {
		t.Errorf("another key: %d, %q", status, stderr)
	}
	if status, _, _ := try(t.Context(), noAddr, "", "verify", "--tiles", dir, "--key", "chancery/x"); status != exitUsage {
		t.Errorf("no key: %d", status)
	}
	if status, _, _ := try(t.Context(), noAddr, "", "verify", "--tiles", dir, "--addr", noAddr); status != exitUsage {
		t.Errorf("both: %d", status)
	}
	name := filepath.Join(dir, "access", "tile", "entries", "000")
	bundle, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	bundle[5] ^= 1
	if err := os.WriteFile(name, bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr = try(t.Context(), noAddr, "", "verify", "--tiles", dir)
	if status != exitFailed || !strings.Contains(stderr, "access log: position 1: ") || !strings.Contains(stdout, "events  1-300") {
		t.Errorf("changed: %d, %q, %q", status, stdout, stderr)
	}
}

// TestVerifyAndExportFromAServer: a typed --addr asks a server, for its files
// alone; what is exported from there verifies.
func TestVerifyAndExportFromAServer(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	keys := exportedLogs(t, dir, 300)
	srv := serveLogs(t, dir, keys)
	status, stdout, stderr := try(t.Context(), noAddr, "", "verify", "--addr", srv.URL)
	if status != exitOK || !strings.Contains(stdout, "access  1-300") {
		t.Fatalf("verify: %d, %q, %q", status, stdout, stderr)
	}
	status, stdout, stderr = try(t.Context(), noAddr, "", "log", "export", out, "--addr", srv.URL, "--key", keys[proof.LogEvents].VKey())
	if status != exitOK || stderr != "" || !strings.Contains(stdout, "events  0       300") {
		t.Fatalf("export: %d, %q, %q", status, stdout, stderr)
	}
	status, stdout, stderr = try(t.Context(), noAddr, "", "log", "export", out, "--addr", srv.URL, "--json")
	var report server.ExportReport
	if err := json.Unmarshal([]byte(stdout), &report); status != exitOK || err != nil || report.Logs[0].From != 300 || report.Logs[0].Files != 0 {
		t.Fatalf("again: %d, %q, %q", status, stdout, stderr)
	}
	if status, _, stderr := try(t.Context(), noAddr, "", "verify", "--tiles", out); status != exitOK {
		t.Errorf("what was exported: %d, %q", status, stderr)
	}
	// The export of more is not taken back to less.
	small := t.TempDir()
	older := serveLogs(t, small, exportedLogs(t, small, 200))
	if status, _, stderr := try(t.Context(), noAddr, "", "log", "export", out, "--addr", older.URL); status != exitFailed || !strings.Contains(stderr, "more of the log") {
		t.Errorf("a shorter log: %d, %q", status, stderr)
	}
}

// TestVerifyRefused: a refusal has the exit status of its code.
func TestVerifyRefused(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 403, wire.NewProblem(domain.Errorf(domain.CodeForbidden, "auditors alone"), "req-1"))
	}))
	defer srv.Close()
	for _, args := range [][]string{{"verify", "--addr", srv.URL}, {"log", "export", t.TempDir(), "--addr", srv.URL}} {
		status, _, stderr := try(t.Context(), noAddr, "", args...)
		if status != exitDenied || !strings.Contains(stderr, "auditors alone") {
			t.Errorf("%v: %d, %q", args, status, stderr)
		}
	}
	if status, _, stderr := try(t.Context(), noAddr, "", "verify", "--addr", noAddr); status != exitUnavailable {
		t.Errorf("nobody there: %d, %q", status, stderr)
	}
}
