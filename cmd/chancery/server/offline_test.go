package server

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entries gives every path below dir, relative to it.
func entries(t *testing.T, dir string) (found []string) {
	t.Helper()
	mustDo(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if name, _ := filepath.Rel(dir, path); err == nil && name != "." {
			found = append(found, name)
		}
		return err
	}))
	return found
}

// names gives what lies in dir itself.
func names(t *testing.T, dir string) (found []string) {
	t.Helper()
	there, err := os.ReadDir(dir)
	mustDo(t, err)
	for _, entry := range there {
		found = append(found, entry.Name())
	}
	return found
}

// offlineCommands are what works on a directory whose server is stopped.
func offlineCommands() map[string]func(context.Context, Config) error {
	return map[string]func(context.Context, Config) error{
		"fsck": func(ctx context.Context, cfg Config) error { _, err := Fsck(ctx, cfg); return err },
		"rebuild": func(ctx context.Context, cfg Config) error {
			_, err := Rebuild(ctx, cfg, func(uint64, uint64, string) {})
			return err
		},
		"recover-admin": func(ctx context.Context, cfg Config) error { _, err := RecoverAdmin(ctx, cfg); return err },
	}
}

// TestOfflineCommandsNeedALog: a mistyped directory, and one without a log, is
// an error and stays as it is.
func TestOfflineCommandsNeedALog(t *testing.T) {
	for name, run := range offlineCommands() {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			if err := run(t.Context(), cfg); err == nil {
				t.Error("no directory: no error")
			}
			if there := entries(t, filepath.Dir(cfg.Data)); len(there) != 0 {
				t.Errorf("no directory: made %v", there)
			}
			mustDo(t, os.MkdirAll(cfg.Data, 0o700))
			mustDo(t, os.WriteFile(cfg.path("notes.txt"), nil, 0o600))
			if err := run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "no log") {
				t.Errorf("no log: %v", err)
			}
			if there := entries(t, cfg.Data); len(there) != 1 {
				t.Errorf("no log: made %v", there)
			}
		})
	}
}

// TestOfflineCommandsMakeNoStream: a log whose streams are gone gets no new
// ones, and one that has no event yet gets no administrator.
func TestOfflineCommandsMakeNoStream(t *testing.T) {
	for name, run := range offlineCommands() {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			openAndLook(t, cfg, func(*store) {})
			streams := cfg.path("jetstream/jetstream/$G/streams")
			for _, path := range []string{cfg.path("orgkeys.db"), cfg.path("keys.db"), filepath.Join(streams, "CHANCERY_EVENTS")} {
				mustDo(t, os.RemoveAll(path))
				if err := run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), filepath.Base(path)) {
					t.Errorf("without %s: %v", path, err)
				}
				if _, err := os.Stat(path); err == nil {
					t.Errorf("%s was made", path)
				}
			}
		})
	}
	cfg := testConfig(t)
	b, err := openBroker(t.Context(), cfg)
	mustDo(t, err)
	mustDo(t, b.close())
	if _, err := RecoverAdmin(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "the log is empty") {
		t.Errorf("recover-admin on an empty log: %v", err)
	}
	for _, name := range []string{adminKeyFile, "root.key"} {
		if _, err := os.Stat(cfg.path(name)); err == nil {
			t.Errorf("recover-admin made %s", name)
		}
	}
}

// TestFsckMendsNothing: a projection that the next start would discard is a
// finding and stays as it is; a rebuild settles it.
func TestFsckMendsNothing(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		spoil      func(state []byte) []byte
	}{
		{"sound", "", func(state []byte) []byte { return state }},
		{"the begin is overwritten", "damaged", func(state []byte) []byte {
			return append(bytes.Repeat([]byte{0xa5}, 16<<10), state[16<<10:]...)
		}},
		{"cut off", "damaged", func(state []byte) []byte { return state[:len(state)/2] }},
		{"a copy of one in use", "the machine stopped while it was in use", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig(t)
			path := cfg.path(stateFile)
			var inUse []byte
			openAndLook(t, cfg, func(*store) { inUse = mustRead(t, path) })
			if tc.spoil != nil {
				mustDo(t, os.WriteFile(path, tc.spoil(mustRead(t, path)), 0o600))
			} else {
				mustDo(t, os.WriteFile(path, otherBoot(t, inUse), 0o600))
			}
			before, there := mustRead(t, path), names(t, cfg.Data)
			report, err := Fsck(t.Context(), cfg)
			switch {
			case report.Head != 4:
				t.Errorf("%d events were read; want the 4 of the first start", report.Head)
			case tc.want == "" && (err != nil || report.Projection == nil || *report.Projection != report.Head):
				t.Errorf("fsck: %+v, %v; want it clean", report, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || report.Projection != nil):
				t.Errorf("fsck: %+v, %v; want a finding that says %q", report, err, tc.want)
			}
			if !bytes.Equal(before, mustRead(t, path)) {
				t.Error("fsck changed the projection")
			}
			if diff := cmp.Diff(there, names(t, cfg.Data)); diff != "" {
				t.Errorf("the directory before (-) and after (+):\n%s", diff)
			}
			position, err := Rebuild(t.Context(), cfg, func(uint64, uint64, string) {})
			if err != nil || position != 4 {
				t.Errorf("rebuild: position %d, %v", position, err)
			}
			if report, err := Fsck(t.Context(), cfg); err != nil || report.Projection == nil {
				t.Errorf("fsck after the rebuild: %+v, %v", report, err)
			}
		})
	}
}

// otherBoot gives a projection in use as another machine would see it: with a
// boot id that is not this one's.
func otherBoot(t *testing.T, state []byte) []byte {
	t.Helper()
	boot := bytes.TrimSpace(mustRead(t, "/proc/sys/kernel/random/boot_id"))
	if !bytes.Contains(state, boot) {
		t.Skip("the kernel names no boots")
	}
	return bytes.ReplaceAll(state, boot, bytes.Repeat([]byte("0"), len(boot)))
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	mustDo(t, err)
	return content
}

// TestFsckWithoutProjection: what is not there, or holds no event, agrees with
// nothing and is no fault.
func TestFsckWithoutProjection(t *testing.T) {
	cfg := testConfig(t)
	openAndLook(t, cfg, func(*store) {})
	mustDo(t, os.Remove(cfg.path(stateFile)))
	for _, what := range []string{"no file", "no byte"} {
		if report, err := Fsck(t.Context(), cfg); err != nil || report.Head != 4 || report.Projection != nil {
			t.Errorf("%s: %+v, %v", what, report, err)
		}
		mustDo(t, os.WriteFile(cfg.path(stateFile), nil, 0o600))
	}
}

// TestLogLostBesideProjection: an empty log beside a projection with events is
// a refusal to start that changes nothing, until one of the two is settled.
func TestLogLostBesideProjection(t *testing.T) {
	for _, tc := range []struct{ name, lost string }{
		{"the whole log", "jetstream"},
		{"all streams", "jetstream/jetstream/$G/streams"},
		{"the events", "jetstream/jetstream/$G/streams/CHANCERY_EVENTS"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig(t)
			openAndLook(t, cfg, func(*store) {})
			away := filepath.Join(t.TempDir(), "away")
			mustDo(t, os.Rename(cfg.path(tc.lost), away))
			before := mustRead(t, cfg.path(stateFile))
			for range 2 { // the first refusal must not make the second start
				_, err := openStore(t.Context(), cfg)
				if err == nil || !strings.Contains(err.Error(), "the log was lost") || !strings.Contains(err.Error(), stateFile) {
					t.Fatalf("openStore: %v; want a refusal that says what was lost", err)
				}
			}
			if _, err := Rebuild(t.Context(), cfg, func(uint64, uint64, string) {}); err == nil {
				t.Error("rebuild threw the last trace of the log away")
			}
			if !bytes.Equal(before, mustRead(t, cfg.path(stateFile))) {
				t.Error("the projection was changed")
			}
			if _, err := os.Stat(cfg.path("jetstream/jetstream/$G/streams/CHANCERY_EVENTS")); err == nil {
				t.Error("the refused start made the stream")
			}
			if _, err := os.Stat(cfg.path("jetstream")); tc.lost == "jetstream" && err == nil {
				t.Error("the refused start made the log's directory")
			}
			mustDo(t, os.RemoveAll(cfg.path(tc.lost)))
			mustDo(t, os.MkdirAll(filepath.Dir(cfg.path(tc.lost)), 0o700))
			mustDo(t, os.Rename(away, cfg.path(tc.lost)))
			openAndLook(t, cfg, func(s *store) { checkOneAdministrator(t, s) })

			mustDo(t, os.RemoveAll(cfg.path("jetstream")))
			mustDo(t, os.Remove(cfg.path(stateFile)))
			openAndLook(t, cfg, func(s *store) { checkOneAdministrator(t, s) })
		})
	}
}
