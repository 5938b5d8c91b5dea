package server

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms/slotfile"
)

// filesWith gives the files below dir that hold any of the patterns.
func filesWith(t *testing.T, dir string, patterns ...[]byte) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, p := range patterns {
			if bytes.Contains(content, p) {
				found = append(found, path)
			}
		}
		return err
	})
	mustDo(t, err)
	return found
}

// TestDeleteShredsKeys: after a delete no byte run of the secret's wrapped key
// is left in the data directory, its values no longer open, and the log says
// that the key was destroyed. Another secret's key is untouched.
func TestDeleteShredsKeys(t *testing.T) {
	cfg := testConfig(t)
	boxes := map[domain.SecretID][][]byte{}
	openAndLook(t, cfg, func(s *store) {
		ctx := t.Context()
		who := administrator(t, s)
		scope := domain.Scope{Kind: domain.ScopeAgent, ID: string(who.Agent)}
		var doomed domain.Secret
		for _, id := range []domain.SecretID{"doomed", "kept"} {
			res, err := s.executor.ChangeSecret(ctx, domain.SecretRequest{
				Principal: who, Ref: domain.SecretRef{Org: who.Org, Scope: scope, ID: id},
				Command: domain.CreateSecret{Name: "n", Category: "c", Fields: []domain.Field{{Key: "f", Value: domain.NewPlaintext("v")}}},
			})
			mustDo(t, err)
			boxes[id] = wrappedBytes(t, s, res.Secret.KekIDs[0])
			if id == "doomed" {
				doomed, err = s.state.Secret(res.Secret.Ref)
				mustDo(t, err)
			}
		}
		if len(filesWith(t, cfg.path(slotfile.KeysFile), boxes["doomed"]...)) == 0 {
			t.Fatal("the wrapped key was not found on disk before the delete: the search proves nothing")
		}
		res, err := s.executor.ChangeSecret(ctx, domain.SecretRequest{Principal: who, Ref: doomed.Ref, Command: domain.DeleteSecret{}})
		mustDo(t, err)
		if !res.KeyDestroyed {
			t.Error("the answer does not say that the key was destroyed")
		}
		sealed := doomed.Fields[0].Value
		if _, ok := sealed.(domain.Sealed); !ok {
			t.Fatalf("the stored value is a %T", sealed)
		}
		if _, err := s.keyring.Open(ctx, doomed.Ref, []domain.Field{{Key: "f", Value: sealed}}); err == nil {
			t.Error("a value of the deleted secret still opens")
		}
		mustDo(t, s.reconciler.Reconcile(ctx))
		if pending, err := s.state.PendingDestructions(1); err != nil || len(pending) != 0 {
			t.Errorf("still pending: %v, %v", pending, err)
		}
		checkDestroyedIsRecorded(ctx, t, s, doomed)
	})
	if found := filesWith(t, cfg.Data, boxes["doomed"]...); len(found) > 0 {
		t.Errorf("the wrapped key is still in %v", found)
	}
	if len(filesWith(t, cfg.Data, boxes["kept"]...)) == 0 {
		t.Error("the other secret's key is gone as well")
	}
}

// wrappedBytes returns every run of eight bytes of a wrapped key, the whole of
// which lies at a fixed place in its record.
func wrappedBytes(t *testing.T, s *store, kek domain.KekID) (runs [][]byte) {
	t.Helper()
	stored, err := s.keys.SecretKey(t.Context(), kek.String())
	mustDo(t, err)
	if len(stored.Record) != 149 {
		t.Fatalf("the record has %d bytes", len(stored.Record))
	}
	box := stored.Record[41:101]
	for at := 0; at+8 <= len(box); at++ {
		runs = append(runs, box[at:at+8])
	}
	return runs
}

func administrator(t *testing.T, s *store) domain.Principal {
	t.Helper()
	token, err := readAdminKey(s.cfg.path(adminKeyFile))
	mustDo(t, err)
	lookup, _, _ := domain.ParseToken(token)
	_, who, ok := s.state.Authenticate(lookup)
	if !ok {
		t.Fatal("the administrator's key is unknown")
	}
	return who
}

func checkDestroyedIsRecorded(ctx context.Context, t *testing.T, s *store, secret domain.Secret) {
	t.Helper()
	for r, err := range s.log.Load(ctx, domain.KeysStream{Org: secret.Ref.Org}) {
		mustDo(t, err)
		if e, ok := r.Event.(domain.KeyDestroyed); ok && e.Ref == secret.Ref && e.KekIDs[0] == secret.KekIDs[0] {
			return
		}
	}
	t.Error("no key.destroyed names the secret and its key")
}
