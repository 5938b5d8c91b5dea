package kms_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"iter"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/kmstest"
	"github.com/chancery-dev/chancery/kms/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	org   = domain.OrgID("org_01JB0000000000000000000000")
	org2  = domain.OrgID("org_01JB0000000000000000000001")
	alice = domain.AgentID("agt_01JB0000000000000000000002")
	bob   = domain.AgentID("agt_01JB0000000000000000000003")
)

func ref(id string) domain.SecretRef {
	return domain.SecretRef{Org: org, Scope: domain.Scope{Kind: domain.ScopeProject, ID: "proj_01JB0000000000000000000004"}, ID: domain.SecretID(id)}
}

// world is what surrounds a keyring: a clock, an event log with a projection
// that is always caught up, and a key store that outlives the keyring.
type world struct {
	t     testing.TB
	store *kmstest.Store
	root  kms.Provider
	logs  bytes.Buffer

	mu      sync.Mutex
	now     time.Time
	status  kms.LogStatus
	claimed map[domain.KekID]bool
	used    map[domain.DekID]bool
	secrets map[domain.SecretRef]*secret
	nodes   []*kms.Keyring
}

type secret struct {
	keys   []domain.KekID
	fields map[domain.FieldKey]domain.Value
}

func newWorld(t testing.TB) *world {
	t.Helper()
	root, err := kms.CreateLocal(filepath.Join(t.TempDir(), "root.key"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 6, 12, 0, 0, 0, time.UTC)
	return &world{
		t: t, store: &kmstest.Store{}, root: root, now: start,
		status:  logAt(4),
		claimed: map[domain.KekID]bool{}, used: map[domain.DekID]bool{}, secrets: map[domain.SecretRef]*secret{},
	}
}

// node starts one more process over the same store and log.
func (w *world) node(change ...func(*kms.Config)) *kms.Keyring {
	w.t.Helper()
	cfg := kms.Config{
		Provider: w.root, Store: w.store, Log: w, Claims: w, Now: w.clock, PoolMin: 8,
		Logger: slog.New(slog.NewTextHandler(&w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&cfg)
	}
	k, err := kms.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.nodes = append(w.nodes, k)
	return k
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) Status(ctx context.Context) (kms.LogStatus, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status, ctx.Err()
}

// eventAt is the event that the world's log has at a position.
func eventAt(position uint64) ulid.ULID {
	var id ulid.ULID
	binary.BigEndian.PutUint64(id[8:], position)
	return id
}

// logAt is the world's log with a head, wholly applied.
func logAt(head uint64) kms.LogStatus {
	return kms.LogStatus{FirstEvent: eventAt(1), Head: head, Applied: head, AppliedEvent: eventAt(head)}
}

func (w *world) EventAt(ctx context.Context, position uint64) (ulid.ULID, error) {
	return eventAt(position), ctx.Err()
}

func (w *world) LivingKeks(context.Context) iter.Seq2[domain.KekID, error] {
	return func(yield func(domain.KekID, error) bool) {
		w.mu.Lock()
		var living []domain.KekID
		for _, s := range w.secrets {
			living = append(living, s.keys...)
		}
		w.mu.Unlock()
		for _, kek := range living {
			if !yield(kek, nil) {
				return
			}
		}
	}
}

func (w *world) KekClaimed(k domain.KekID) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.claimed[k], nil
}

func (w *world) DataKeyUsed(d domain.DekID) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.used[d], nil
}

func (w *world) keys(r domain.SecretRef) []domain.KekID {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, ok := w.secrets[r]; ok {
		return slices.Clone(s.keys)
	}
	return nil
}

func (w *world) current(r domain.SecretRef, f domain.FieldKey) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, ok := w.secrets[r]; ok {
		if e, ok := s.fields[f].(domain.Envelope); ok {
			return e.DataKey
		}
	}
	return ""
}

var errConflict = errors.New("the secret changed meanwhile")

// write seals an event on k for the state of the secret as it is now.
func (w *world) write(k *kms.Keyring, agent domain.AgentID, r domain.SecretRef, e domain.Event) (domain.Event, error) {
	return k.Seal(w.t.Context(), kms.SealRequest{Ref: r, Agent: agent, Keys: w.keys(r), EventID: w.id(), Event: e})
}

func (w *world) id() ulid.ULID { return ulid.MustNew(ulid.Timestamp(w.clock()), rand.Reader) }

// record appends and applies a sealed event, as one step, if the secret has
// the keys that it was sealed for.
func (w *world) record(r domain.SecretRef, e domain.Event) error {
	w.mu.Lock()
	switch e := e.(type) { //nolint:gochecksumtype // Tests record only these.
	case domain.SecretCreated:
		if w.secrets[r] != nil {
			w.mu.Unlock()
			return errConflict
		}
		s := &secret{keys: e.KekIDs, fields: map[domain.FieldKey]domain.Value{}}
		for _, f := range e.Fields {
			w.set(s, f)
		}
		for _, kek := range e.KekIDs {
			if w.claimed[kek] {
				w.t.Error("a key was claimed twice")
			}
			w.claimed[kek] = true
		}
		w.secrets[r] = s
	case domain.FieldSet:
		if w.used[e.Field.DekID] {
			w.mu.Unlock()
			return errConflict
		}
		w.set(w.secrets[r], e.Field)
	case domain.SecretDeleted:
		delete(w.secrets, r)
	}
	w.status = logAt(w.status.Head + 1)
	w.mu.Unlock()
	for _, k := range w.nodes {
		k.Applied(domain.Recorded{Stream: domain.SecretStream{Ref: r}, Event: e})
	}
	return nil
}

func (w *world) set(s *secret, f domain.Field) {
	s.fields[f.Key] = f.Value
	if !f.DekID.IsZero() {
		w.used[f.DekID] = true
	}
}

func (w *world) mint(k *kms.Keyring, agent domain.AgentID, r domain.SecretRef, f domain.FieldKey) kms.Minted {
	w.t.Helper()
	m, err := k.Mint(w.t.Context(), kms.MintRequest{Ref: r, Field: f, Agent: agent, Keys: w.keys(r)})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) release(k *kms.Keyring, agent domain.AgentID, r domain.SecretRef, f domain.FieldKey, ciphertext string) ([]byte, error) {
	return k.Release(w.t.Context(), kms.ReleaseRequest{
		Ref: r, Field: f, Agent: agent, Keys: w.keys(r), Ciphertext: ciphertext, Current: w.current(r, f),
	})
}

func (w *world) create(k *kms.Keyring, agent domain.AgentID, r domain.SecretRef, fields ...domain.Field) domain.SecretCreated {
	w.t.Helper()
	e, err := w.write(k, agent, r, domain.SecretCreated{Name: "n", Category: "c", Fields: fields})
	if err == nil {
		err = w.record(r, e)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return e.(domain.SecretCreated) //nolint:errcheck,forcetypeassert // Seal keeps the type.
}

func (w *world) delete(k *kms.Keyring, r domain.SecretRef) {
	w.t.Helper()
	keys := w.keys(r)
	if err := errors.Join(w.record(r, domain.SecretDeleted{KekIDs: keys}), k.Destroy(w.t.Context(), keys)); err != nil {
		w.t.Fatal(err)
	}
}

// stored gives the ids of all secret keys in the store.
func (w *world) stored() []string {
	w.t.Helper()
	var ids []string
	for k, err := range w.store.SecretKeys(w.t.Context(), 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, k.ID)
	}
	return ids
}

func envelope(t testing.TB, m kms.Minted, value string) domain.Envelope {
	t.Helper()
	e, err := seal.Seal(m.PlaintextKey, m.Ciphertext, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func encrypted(key domain.FieldKey, dataKey string) domain.Field {
	return domain.Field{Key: key, Value: domain.Envelope{DataKey: dataKey}}
}

func plain(key domain.FieldKey, value string) domain.Field {
	return domain.Field{Key: key, Value: domain.NewPlaintext(value)}
}

func sealedOf(t testing.TB, f domain.Field) domain.Sealed {
	t.Helper()
	s, ok := f.Value.(domain.Sealed)
	if !ok {
		t.Fatalf("field %s is %T", f.Key, f.Value)
	}
	return s
}

// openOne opens a sealed value by itself.
func openOne(t testing.TB, k *kms.Keyring, r domain.SecretRef, field domain.FieldKey, s domain.Sealed) (domain.Plaintext, error) {
	t.Helper()
	opened, err := k.Open(t.Context(), r, []domain.Field{{Key: field, Value: s}})
	if err != nil {
		return domain.Plaintext{}, err
	}
	p, ok := opened[0].Value.(domain.Plaintext)
	if !ok {
		t.Fatalf("opened a %T", opened[0].Value)
	}
	return p, nil
}

func wantCode(t testing.TB, what string, err error, code domain.Code) {
	t.Helper()
	if domain.CodeOf(err) != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}
