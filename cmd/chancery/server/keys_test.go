package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/slotfile"
)

// TestKeysStreamIsRefused: an embedded log with the stream of keys is of a
// version that kept them there. Nothing is made beside it.
func TestKeysStreamIsRefused(t *testing.T) {
	cfg := testConfig(t)
	mustDo(t, os.MkdirAll(cfg.Data, 0o700))
	e, err := startEmbedded(t.Context(), cfg)
	mustDo(t, err)
	nc, err := e.Connect(t.Context())
	mustDo(t, err)
	_, err = eventstore.OpenJetStream(t.Context(), nc, eventstore.Options{})
	mustDo(t, err)
	_, err = eventstore.OpenKeyStore(t.Context(), nc, 1)
	mustDo(t, err)
	nc.Close()
	mustDo(t, e.Shutdown())
	for name, run := range offlineCommands() {
		if err := run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "CHANCERY_KEYS") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = openStore(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "CHANCERY_KEYS") || !strings.Contains(err.Error(), "new data directory") {
		t.Errorf("got %v", err)
	}
	if missing, err := slotfile.Missing(cfg.Data); err != nil || len(missing) != 2 {
		t.Errorf("missing afterwards: %v, %v", missing, err)
	}
}

// TestOneKeyFileBesideAnEmptyLog: a crash of the first start between the two
// files is healed by the next.
func TestOneKeyFileBesideAnEmptyLog(t *testing.T) {
	cfg := testConfig(t)
	mustDo(t, os.MkdirAll(cfg.Data, 0o700))
	mustDo(t, os.WriteFile(cfg.path(slotfile.OrgKeysFile), nil, 0o600))
	openAndLook(t, cfg, func(s *store) { createSecret(t, s, "s") })
	openAndLook(t, cfg, func(s *store) { checkOneAdministrator(t, s) })
}

// createSecret makes a secret of the administrator's own and returns its key.
func createSecret(t *testing.T, s *store, id domain.SecretID) domain.KekID {
	t.Helper()
	who := administrator(t, s)
	scope := domain.Scope{Kind: domain.ScopeAgent, ID: string(who.Agent)}
	res, err := s.executor.ChangeSecret(t.Context(), domain.SecretRequest{
		Principal: who, Ref: domain.SecretRef{Org: who.Org, Scope: scope, ID: id},
		Command: domain.CreateSecret{Name: "n", Category: "c", Fields: []domain.Field{{Key: "f", Value: domain.NewPlaintext("v")}}},
	})
	mustDo(t, err)
	return res.Secret.KekIDs[0]
}

// damageSlot changes a byte of a key's slot and returns the slot's offset.
func damageSlot(t *testing.T, cfg Config, kek domain.KekID) int {
	t.Helper()
	content, err := os.ReadFile(cfg.path(slotfile.KeysFile))
	mustDo(t, err)
	at := bytes.Index(content, kek[:])
	if at < 0 {
		t.Fatal("the key is not in the file")
	}
	content[at+50] ^= 1
	mustDo(t, os.WriteFile(cfg.path(slotfile.KeysFile), content, 0o600))
	return at / 256 * 256
}

// TestTornKeySlots: the slot of a living secret is kept and reported by its
// offset, in readiness and by fsck; one that nobody needs is erased.
func TestTornKeySlots(t *testing.T) {
	cfg := testConfig(t)
	var living, pooled domain.KekID
	openAndLook(t, cfg, func(s *store) {
		living = createSecret(t, s, "living")
		org, err := s.rootOrganization()
		mustDo(t, err)
		mustDo(t, s.keyring.Refill(t.Context(), org))
		for k, err := range s.keys.SecretKeys(t.Context(), 0) {
			mustDo(t, err)
			if k.ID != living.String() {
				pooled, err = domain.ParseKekID(k.ID)
				mustDo(t, err)
			}
		}
	})
	offset := damageSlot(t, cfg, pooled)
	report, err := Fsck(t.Context(), cfg)
	if err != nil || len(report.TornKeySlots) != 1 || report.TornKeySlots[0] != int64(offset) {
		t.Errorf("fsck of an unneeded slot at %d: %v, %v", offset, report.TornKeySlots, err)
	}
	openAndLook(t, cfg, func(s *store) {
		if _, err := s.keyring.Sweep(t.Context()); err != nil || len(s.slots.Torn()) != 0 {
			t.Errorf("%v, torn %v", err, s.slots.Torn())
		}
	})
	offset = damageSlot(t, cfg, living)
	before, err := os.ReadFile(cfg.path(slotfile.KeysFile))
	mustDo(t, err)
	_, err = Fsck(t.Context(), cfg)
	for _, want := range []string{fmt.Sprintf("[%d]", offset), living.String(), "/living", "keys.db"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("fsck does not say %q: %v", want, err)
		}
	}
	if after, err := os.ReadFile(cfg.path(slotfile.KeysFile)); err != nil || !bytes.Equal(before, after) {
		t.Errorf("fsck changed the key file, %v", err)
	}
	openAndLook(t, cfg, func(s *store) {
		_, err := s.keyring.Sweep(t.Context())
		if !errors.Is(err, kms.ErrTornKept) || !strings.Contains(err.Error(), fmt.Sprint(offset)) {
			t.Errorf("the sweep: %v", err)
		}
		if !failsFor(newHealth(s).Ready(t.Context()), "sweeper") {
			t.Error("the node is ready")
		}
	})
	if after, err := os.ReadFile(cfg.path(slotfile.KeysFile)); err != nil || !bytes.Equal(before[512:], after[512:]) {
		t.Errorf("a slot was changed, %v", err)
	}
}

// TestDamagedOrgKeyIsFound: fsck, which has no root key, misses the key that
// wraps others.
func TestDamagedOrgKeyIsFound(t *testing.T) {
	cfg := testConfig(t)
	openAndLook(t, cfg, func(s *store) { createSecret(t, s, "living") })
	content, err := os.ReadFile(cfg.path(slotfile.OrgKeysFile))
	mustDo(t, err)
	content[100] ^= 1
	mustDo(t, os.WriteFile(cfg.path(slotfile.OrgKeysFile), content, 0o600))
	if _, err := Fsck(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "orgkeys.db lies at the offsets [0]") {
		t.Errorf("got %v", err)
	}
}

// TestTwoRecordsOfOneKey: neither is used, and readiness and fsck say so.
func TestTwoRecordsOfOneKey(t *testing.T) {
	cfg := testConfig(t)
	openAndLook(t, cfg, func(s *store) {
		kek := createSecret(t, s, "s")
		if failsFor(newHealth(s).Ready(t.Context()), "key files") {
			t.Error("sound key files are unready")
		}
		// As an operator who mixes two backups: a second store writes another
		// record of the key, and its slot is copied over.
		other := t.TempDir()
		o, err := slotfile.Open(other)
		mustDo(t, err)
		k, err := s.keys.SecretKey(t.Context(), kek.String())
		mustDo(t, err)
		k.Record[60] ^= 1
		mustDo(t, errors.Join(o.CreateSecretKey(t.Context(), kek.String(), k.Record), o.Close()))
		content, err := os.ReadFile(other + "/" + slotfile.KeysFile)
		mustDo(t, err)
		slot := content[bytes.Index(content, kek[:])-16:][:256]
		f, err := os.OpenFile(cfg.path(slotfile.KeysFile), os.O_WRONLY, 0)
		mustDo(t, err)
		_, err = f.WriteAt(slot, (2+4000)*256)
		mustDo(t, errors.Join(err, f.Close()))
	})
	if _, err := Fsck(t.Context(), cfg); !errors.Is(err, slotfile.ErrDamaged) {
		t.Errorf("fsck: %v", err)
	}
	openAndLook(t, cfg, func(s *store) {
		if !failsFor(newHealth(s).Ready(t.Context()), "key files") {
			t.Error("the node is ready")
		}
	})
}

// TestSweepAfterARestoreOfTheLog: streams that were restored from a backup have
// another creation time and the same events. That does not stop the sweep.
func TestSweepAfterARestoreOfTheLog(t *testing.T) {
	from, to := testConfig(t), testConfig(t)
	var kept domain.KekID
	var made time.Time
	pool := 0
	openAndLook(t, from, func(s *store) {
		status, err := s.log.Status(t.Context())
		mustDo(t, err)
		made = status.Created
		kept = createSecret(t, s, "kept")
		org, err := s.rootOrganization()
		mustDo(t, err)
		mustDo(t, s.keyring.Refill(t.Context(), org))
		for _, err := range s.keys.SecretKeys(t.Context(), 0) {
			mustDo(t, err)
			pool++
		}
	})
	mustDo(t, os.MkdirAll(to.Data, 0o700))
	source, err := startEmbedded(t.Context(), from)
	mustDo(t, err)
	nc, err := source.Connect(t.Context())
	mustDo(t, err)
	target, err := startEmbedded(t.Context(), to)
	mustDo(t, err)
	into, err := target.Connect(t.Context())
	mustDo(t, err)
	for _, stream := range []string{eventstore.EventsStream, eventstore.AccessStream, eventstore.ProofStream} {
		copyStream(t, nc, into, stream)
	}
	nc.Close()
	into.Close()
	mustDo(t, errors.Join(source.Shutdown(), target.Shutdown()))
	for _, name := range []string{slotfile.KeysFile, slotfile.OrgKeysFile, "root.key", adminKeyFile} {
		content, err := os.ReadFile(from.path(name))
		mustDo(t, err)
		mustDo(t, os.WriteFile(to.path(name), content, 0o600))
	}
	openAndLook(t, to, func(s *store) {
		if status, err := s.log.Status(t.Context()); err != nil || status.Created.Equal(made) {
			t.Errorf("the log was restored with its old creation time %s, %v: this proves nothing", made, err)
		}
		s.now = func() time.Time { return time.Now().Add(kms.SweepAge + time.Hour) }
		mustDo(t, s.assembleAgain())
		report, err := s.keyring.Sweep(t.Context())
		if err != nil || report.Erased != pool-1 || report.Looked != pool {
			t.Errorf("%+v of %d keys, %v", report, pool, err)
		}
		if _, err := s.keys.SecretKey(t.Context(), kept.String()); err != nil {
			t.Error(err)
		}
	})
}

// assembleAgain makes a keyring with the store's clock as it is now.
func (s *store) assembleAgain() (err error) {
	s.keyring, err = kms.New(kms.Config{
		Provider: s.provider, Store: s.keys, Log: &logStatus{log: s.log, state: s.state}, Claims: s.state, Torn: s.slots, Now: s.now,
	})
	return err
}

// copyStream does what `nats stream backup` and `nats stream restore` do.
func copyStream(t *testing.T, from, to *nats.Conn, name string) {
	t.Helper()
	const wait = 10 * time.Second
	inbox := from.NewInbox()
	chunks, err := from.SubscribeSync(inbox)
	mustDo(t, err)
	request, err := json.Marshal(map[string]any{"deliver_subject": inbox, "chunk_size": 128 << 10})
	mustDo(t, err)
	answer, err := from.Request("$JS.API.STREAM.SNAPSHOT."+name, request, wait)
	mustDo(t, err)
	var snapshot struct {
		Error  *struct{ Description string } `json:"error"`
		Config json.RawMessage               `json:"config"`
		State  json.RawMessage               `json:"state"`
	}
	mustDo(t, json.Unmarshal(answer.Data, &snapshot))
	if snapshot.Error != nil {
		t.Fatalf("snapshot of %s: %s", name, snapshot.Error.Description)
	}
	request, err = json.Marshal(map[string]any{"config": snapshot.Config, "state": snapshot.State})
	mustDo(t, err)
	answer, err = to.Request("$JS.API.STREAM.RESTORE."+name, request, wait)
	mustDo(t, err)
	var restore struct {
		Error   *struct{ Description string } `json:"error"`
		Deliver string                        `json:"deliver_subject"`
	}
	mustDo(t, json.Unmarshal(answer.Data, &restore))
	if restore.Error != nil || restore.Deliver == "" {
		t.Fatalf("restore of %s: %s", name, answer.Data)
	}
	for {
		chunk, err := chunks.NextMsg(wait)
		mustDo(t, err)
		answer, err := to.Request(restore.Deliver, chunk.Data, wait)
		mustDo(t, err)
		if len(chunk.Data) == 0 {
			if bytes.Contains(answer.Data, []byte(`"error"`)) {
				t.Fatalf("restore of %s: %s", name, answer.Data)
			}
			return
		}
		if chunk.Reply != "" { // the server waits for some of the answers
			mustDo(t, chunk.Respond(nil))
		}
	}
}
