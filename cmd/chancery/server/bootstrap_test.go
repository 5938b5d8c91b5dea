package server

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms/slotfile"
)

var errKilled = errors.New("killed here")

// openAndLook opens a data directory, lets the projection catch up and shows
// the store to look.
func openAndLook(t *testing.T, cfg Config, look func(*store)) {
	t.Helper()
	s, err := openStore(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = s.following(t.Context(), func() error {
		look(s)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

func testConfig(t *testing.T) Config {
	t.Helper()
	return Config{Data: filepath.Join(t.TempDir(), "data"), Logger: slog.New(slog.DiscardHandler)}
}

// TestFirstStartKilledAtEachStep: whatever step the first start dies after,
// the next start ends with exactly one organization, one administrator and
// the key in admin.key.
func TestFirstStartKilledAtEachStep(t *testing.T) {
	for _, step := range []string{"root key ready", "admin key written", "organization appended"} {
		t.Run(step, func(t *testing.T) {
			cfg := testConfig(t)
			died := false
			cfg.atStep = func(reached string) error {
				if reached == step {
					died = true
					return errKilled
				}
				return nil
			}
			if _, err := openStore(t.Context(), cfg); !errors.Is(err, errKilled) || !died {
				t.Fatalf("the first start did not stop after %q: %v", step, err)
			}
			left, err := readAdminKey(cfg.path(adminKeyFile))
			if err != nil {
				t.Fatal(err)
			}
			cfg.atStep = nil
			openAndLook(t, cfg, func(s *store) {
				checkOneAdministrator(t, s)
				token, err := readAdminKey(cfg.path(adminKeyFile))
				if err != nil || left != "" && token != left {
					t.Errorf("the key file of the first start was not kept (%v)", err)
				}
			})
			info, err := os.Stat(cfg.path(adminKeyFile))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("admin.key: mode %v, %v; want 0600", info.Mode(), err)
			}
		})
	}
}

func checkOneAdministrator(t *testing.T, s *store) {
	t.Helper()
	orgs, more, err := s.state.Organizations("", 10)
	if err != nil || more || len(orgs) != 1 {
		t.Fatalf("organizations: %v, %v, %v; want exactly one", orgs, more, err)
	}
	token, err := readAdminKey(s.cfg.path(adminKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	lookup, hash, ok := domain.ParseToken(token)
	key, who, known := s.state.Authenticate(lookup)
	if !ok || !known || key.Hash != hash || !who.Admin || !who.Root {
		t.Errorf("admin.key does not authenticate an administrator: parsed %v, known %v, admin %v, root %v", ok, known, who.Admin, who.Root)
	}
}

// TestPartsThatDoNotBelongTogether: keys or events beside a missing or wrong
// root key, and keys beside an empty log, are refusals that change nothing.
func TestPartsThatDoNotBelongTogether(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		spoil      func(t *testing.T, cfg Config)
	}{
		{"root key missing", "is missing beside a log that has events", func(t *testing.T, cfg Config) {
			mustDo(t, os.Remove(cfg.rootKeyFile()))
		}},
		{"root key of another store", "not the one that wrapped", func(t *testing.T, cfg Config) {
			other := testConfig(t)
			openAndLook(t, other, func(*store) {})
			mustDo(t, os.Rename(other.rootKeyFile(), cfg.rootKeyFile()))
		}},
		{"log and projection lost", "the log is empty but the key store holds keys", func(t *testing.T, cfg Config) {
			mustDo(t, os.RemoveAll(cfg.path("jetstream/jetstream/$G/streams/CHANCERY_EVENTS")))
			mustDo(t, os.Remove(cfg.path(stateFile)))
		}},
		{"secret keys lost", "keys.db is missing beside a log that has events", func(t *testing.T, cfg Config) {
			mustDo(t, os.Remove(cfg.path(slotfile.KeysFile)))
		}},
		{"organizations' keys lost", "orgkeys.db is missing beside a log that has events", func(t *testing.T, cfg Config) {
			mustDo(t, os.Remove(cfg.path(slotfile.OrgKeysFile)))
		}},
		{"both lost", "Restore keys.db and orgkeys.db from a backup", func(t *testing.T, cfg Config) {
			mustDo(t, errors.Join(os.Remove(cfg.path(slotfile.KeysFile)), os.Remove(cfg.path(slotfile.OrgKeysFile))))
		}},
		{"secret keys emptied", "the key store is empty but the log has secrets", func(t *testing.T, cfg Config) {
			mustDo(t, os.Truncate(cfg.path(slotfile.KeysFile), 0))
		}},
		{"secret keys overwritten", "no key file of this version", func(t *testing.T, cfg Config) {
			mustDo(t, os.WriteFile(cfg.path(slotfile.KeysFile), bytes.Repeat([]byte("junk"), 1000), 0o600))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig(t)
			openAndLook(t, cfg, func(s *store) {
				who := administrator(t, s)
				scope := domain.Scope{Kind: domain.ScopeAgent, ID: string(who.Agent)}
				_, err := s.executor.ChangeSecret(t.Context(), domain.SecretRequest{
					Principal: who, Ref: domain.SecretRef{Org: who.Org, Scope: scope, ID: "s"},
					Command: domain.CreateSecret{Name: "n", Category: "c"},
				})
				mustDo(t, err)
			})
			tc.spoil(t, cfg)
			_, err := openStore(t.Context(), cfg)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("openStore: %v; want an error that says %q", err, tc.want)
			}
			if _, err := os.Stat(cfg.rootKeyFile()); tc.name == "root key missing" && !errors.Is(err, fs.ErrNotExist) {
				t.Error("a refused start made a root key")
			}
		})
	}
}

func mustRoot(t *testing.T, s *store) domain.OrgID {
	t.Helper()
	org, err := s.rootOrganization()
	mustDo(t, err)
	return org
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
