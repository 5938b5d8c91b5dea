//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// fsckSuccess is what tessera's fsck says of a sound log. Its exit status is 0
// whatever it finds, and on some faults it never ends.
const fsckSuccess = "Successfully fsck'd log"

// tesseraFsck runs tessera's fsck on an exported log.
func tesseraFsck(ctx context.Context, binary, dir string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-ui=false", "-logtostderr", "-storage_url", "file://"+dir+"/", "-public_key", filepath.Join(dir, "key"))
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stderr, &stderr
	err := cmd.Run()
	if strings.Contains(stderr.String(), fsckSuccess) {
		return nil
	}
	return fmt.Errorf("fsck: %w: %.500s", errors.Join(err, ctx.Err()), stderr.String())
}

// torchwoodClient reads a whole exported log with torchwood's client.
func torchwoodClient(ctx context.Context, dir string) error {
	vkey, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	if err != nil {
		return err
	}
	files, err := torchwood.NewTileFS(os.DirFS(dir))
	if err != nil {
		return err
	}
	text, err := files.ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		return err
	}
	checkpoint, _, err := torchwood.VerifyCheckpoint(text,
		torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(verifier.Name()), torchwood.SingleVerifierPolicy(verifier)))
	if err != nil {
		return err
	}
	reader, err := torchwood.NewClient(files)
	if err != nil {
		return err
	}
	var n int64
	for range reader.AllEntries(ctx, checkpoint.Tree, 0) {
		n++
	}
	if err := reader.Err(); err != nil {
		return err
	}
	if n != checkpoint.N {
		return fmt.Errorf("%d entries of %d", n, checkpoint.N)
	}
	return nil
}

// TestOthersVerify: what the binary exported is verified by tools that know
// nothing of it, and each of five kinds of corruption is refused by all.
func TestOthersVerify(t *testing.T) {
	fsck := env(t, "TLOG_FSCK")
	data, out := exported(t)
	t.Logf("verified:\n%s", mustChancery(t, "verify", "--data", data))
	t.Logf("verified:\n%s", mustChancery(t, "verify", "--tiles", out))
	for _, log := range logNames() {
		dir := filepath.Join(out, log)
		if err := tesseraFsck(t.Context(), fsck, dir, 30*time.Second); err != nil {
			t.Errorf("%s: %v", log, err)
		}
		if err := torchwoodClient(t.Context(), dir); err != nil {
			t.Errorf("%s: torchwood: %v", log, err)
		}
	}
	if t.Failed() {
		return
	}
	for _, log := range logNames() {
		for _, m := range mutations() {
			t.Run(log+" "+m.name, func(t *testing.T) {
				t.Parallel() // what never ends is waited for at the same time
				mutated := filepath.Join(t.TempDir(), "out")
				if err := os.CopyFS(mutated, os.DirFS(out)); err != nil {
					t.Fatal(err)
				}
				dir := filepath.Join(mutated, log)
				m.change(t, dir)
				if err := tesseraFsck(t.Context(), fsck, dir, 5*time.Second); err == nil {
					t.Error("tessera's fsck accepts it")
				}
				if err := torchwoodClient(t.Context(), dir); err == nil {
					t.Error("torchwood's client accepts it")
				}
				if output, err := chancery(t, "verify", "--tiles", mutated); err == nil {
					t.Errorf("chancery verify accepts it: %s", output)
				}
			})
		}
	}
}

// TestRunningServer: what a running server gives an auditor verifies, and is
// exported to the same files that a stopped server's log gives.
func TestRunningServer(t *testing.T) {
	data, out := exported(t)
	s := serve(t, data)
	admin := []string{"--addr", s.url, "--api-key-file", filepath.Join(data, "admin.key")}
	agent := strings.TrimSpace(mustChancery(t, append(admin, "admin", "agent", "create", "auditor")...))
	mustChancery(t, append(admin, "admin", "membership", "grant", agent, "org", "--role", "auditor")...)
	key := filepath.Join(t.TempDir(), "auditor.key")
	mustChancery(t, append(admin, "admin", "key", "issue", agent, "--out", key)...)
	t.Logf("verified:\n%s", mustChancery(t, "verify", "--addr", s.url, "--api-key-file", key))
	served := filepath.Join(t.TempDir(), "served")
	mustChancery(t, "log", "export", served, "--addr", s.url, "--api-key-file", key)
	if output, err := chancery(t, append(admin, "log", "export", t.TempDir())...); err == nil {
		t.Errorf("an administrator who is no auditor may read everybody's entries: %s", output)
	}
	s.stop()
	for _, log := range logNames() {
		for _, path := range []string{"tile/0/000", "tile/0/001", "tile/entries/000", "tile/entries/001", "key"} {
			want, err := os.ReadFile(filepath.Join(out, log, path))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(served, log, path)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s/%s differs: %v", log, path, err)
			}
		}
		if err := torchwoodClient(t.Context(), filepath.Join(served, log)); err != nil {
			t.Errorf("%s: torchwood: %v", log, err)
		}
	}
	mustChancery(t, "verify", "--data", data)
}

// mutation is one way to change an exported log.
type mutation struct {
	name   string
	change func(t *testing.T, dir string)
}

func mutations() []mutation {
	return []mutation{
		{"an entry's byte", func(t *testing.T, dir string) {
			edit(t, dir, "tile/entries/000", func(b []byte) []byte { b[40] ^= 1; return b })
		}},
		{"a hash tile's byte", func(t *testing.T, dir string) {
			edit(t, dir, "tile/0/000", func(b []byte) []byte { b[40] ^= 1; return b })
		}},
		{"the checkpoint's root", func(t *testing.T, dir string) {
			edit(t, dir, "checkpoint", func(b []byte) []byte {
				lines := strings.SplitN(string(b), "\n", 4)
				root := []byte(lines[2])
				root[3] = map[bool]byte{true: 'B', false: 'A'}[root[3] == 'A']
				lines[2] = string(root)
				return []byte(strings.Join(lines, "\n"))
			})
		}},
		{"a tile is dropped", func(t *testing.T, dir string) {
			for _, path := range []string{"tile/0/000", "tile/entries/000"} {
				if err := os.Remove(filepath.Join(dir, path)); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"two entries are swapped", func(t *testing.T, dir string) {
			edit(t, dir, "tile/entries/000", func(b []byte) []byte {
				first, rest, err := torchwood.ReadTileEntry(b)
				if err != nil {
					t.Fatal(err)
				}
				second, rest, err := torchwood.ReadTileEntry(rest)
				if err != nil {
					t.Fatal(err)
				}
				swapped, err := torchwood.AppendTileEntry(nil, second)
				if err != nil {
					t.Fatal(err)
				}
				if swapped, err = torchwood.AppendTileEntry(swapped, first); err != nil {
					t.Fatal(err)
				}
				return append(swapped, rest...)
			})
		}},
	}
}

// edit changes a file, and fails if that changes nothing.
func edit(t *testing.T, dir, path string, change func([]byte) []byte) {
	t.Helper()
	name := filepath.Join(dir, filepath.FromSlash(path))
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	after := change(bytes.Clone(before))
	if bytes.Equal(before, after) {
		t.Fatalf("%s did not change", path)
	}
	if err := os.WriteFile(name, after, 0o600); err != nil {
		t.Fatal(err)
	}
}
