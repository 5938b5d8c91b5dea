package kms_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/seal"
)

// One secret's life, with values of both kinds.
func TestLifeOfASecret(t *testing.T) {
	w := newWorld(t)
	k, r := w.node(), ref("db")
	minted := w.mint(k, alice, r, "password")
	if len(minted.PlaintextKey) != seal.KeyLen || len(minted.Ciphertext) != kms.DataKeyCiphertextLen {
		t.Fatalf("a key of %d bytes, a ciphertext of %d", len(minted.PlaintextKey), len(minted.Ciphertext))
	}
	created := w.create(k, alice, r,
		domain.Field{Key: "password", Value: envelope(t, minted, "hunter2")}, plain("user", "root"), plain("empty", ""))
	if !slices.Equal(created.KekIDs, []domain.KekID{minted.KekID}) || created.Fields[0].DekID != minted.DekID || !created.Fields[1].DekID.IsZero() {
		t.Fatalf("claimed %v, data key %s", created.KekIDs, created.Fields[0].DekID)
	}

	dek, err := w.release(k, bob, r, "password", minted.Ciphertext)
	if err != nil || !bytes.Equal(dek, minted.PlaintextKey) {
		t.Fatalf("released another key, error %v", err)
	}
	stored, ok := created.Fields[0].Value.(domain.Envelope)
	opened, err := seal.Open(dek, stored)
	if !ok || err != nil || string(opened) != "hunter2" {
		t.Fatalf("the envelope does not open: %v", err)
	}
	for i, want := range map[int]string{1: "root", 2: ""} {
		got, err := openOne(t, k, r, created.Fields[i].Key, sealedOf(t, created.Fields[i]))
		if err != nil || got.Reveal() != want {
			t.Errorf("field %d: %v", i, err)
		}
	}

	again := w.mint(k, bob, r, "password")
	if again.KekID != minted.KekID {
		t.Fatal("a living secret's mint has another key")
	}
	set, err := w.write(k, bob, r, domain.FieldSet{Field: encrypted("password", again.Ciphertext)})
	if err != nil || w.record(r, set) != nil {
		t.Fatal(err)
	}
	_, err = w.release(k, bob, r, "password", minted.Ciphertext)
	wantCode(t, "a replaced data key", err, domain.CodeDataKeyMismatch)
	w.wait(24 * time.Hour)
	if _, err := w.release(k, alice, r, "password", again.Ciphertext); err != nil {
		t.Errorf("the current data key a day later: %v", err)
	}

	w.delete(k, r)
	if ids := w.stored(); slices.Contains(ids, minted.KekID.String()) {
		t.Fatal("the key is still in the store")
	}
}

// Values that several events wrote, and envelopes between them, are opened in
// one go, each as its event sealed it; one that is wrong opens none.
func TestOpenIsOfEachEvent(t *testing.T) {
	w := newWorld(t)
	k, r := w.node(), ref("db")
	m := w.mint(k, alice, r, "e")
	created := w.create(k, alice, r, plain("a", "1"), encrypted("e", m.Ciphertext), plain("b", "2"), plain("c", "3"))
	fields := slices.Clone(created.Fields)
	for i, value := range map[int]string{2: "two", 3: "three"} {
		set, err := w.write(k, alice, r, domain.FieldSet{Field: plain(fields[i].Key, value)})
		if err != nil {
			t.Fatal(err)
		}
		fields[i] = domain.BodyOf(set).Fields[0]
	}
	fields = append(fields, fields[0])
	before := slices.Clone(fields)
	wanted := []string{"1", "", "two", "three", "1"}
	// One event's key is remembered: of which event, each opening may change.
	for _, order := range [][]int{{0, 1, 2, 3, 4}, {3}, {3, 0}, {2}, {0, 2}, {1}, {4, 3, 2, 1, 0}} {
		asked := make([]domain.Field, len(order))
		for n, i := range order {
			asked[n] = fields[i]
		}
		opened, err := k.Open(t.Context(), r, asked)
		if err != nil {
			t.Fatal(err)
		}
		for n, i := range order {
			if p, ok := opened[n].Value.(domain.Plaintext); ok != (wanted[i] != "") || p.Reveal() != wanted[i] {
				t.Errorf("%v: field %d is a %T", order, i, opened[n].Value)
			}
		}
	}
	if diff := cmp.Diff(before, fields); diff != "" {
		t.Errorf("what was given is changed:\n%s", diff)
	}
	fields[3].Key = "a"
	if _, err := k.Open(t.Context(), r, fields); !errors.Is(err, kms.ErrAuth) {
		t.Errorf("a value of another field: %v", err)
	}
}

// Invariant 6: after a delete, every value the secret ever had fails to open,
// on every node, even for one that still believes the secret lives.
func TestADestroyedKeyOpensNothing(t *testing.T) {
	w := newWorld(t)
	a, b, r := w.node(), w.node(), ref("db")
	m := w.mint(a, alice, r, "f")
	created := w.create(a, alice, r, encrypted("f", m.Ciphertext), plain("p", "value"))
	unused := w.mint(b, alice, r, "g")
	sealed := sealedOf(t, created.Fields[1])
	if _, err := openOne(t, b, r, "p", sealed); err != nil {
		t.Fatal(err)
	}
	w.delete(a, r)
	fresh := w.node()
	for name, k := range map[string]*kms.Keyring{"the deleting node": a, "a follower": b, "a new process": fresh} {
		_, err := openOne(t, k, r, "p", sealed)
		if !errors.Is(err, kms.ErrKeyNotFound) {
			t.Errorf("%s: a sealed field: %v", name, err)
		}
		wantCode(t, name+": a sealed field", err, domain.CodeUnavailable)
		for _, keys := range [][]domain.KekID{nil, created.KekIDs} {
			for f, c := range map[domain.FieldKey]string{"f": m.Ciphertext, "g": unused.Ciphertext} {
				_, err := k.Release(t.Context(), kms.ReleaseRequest{Ref: r, Field: f, Agent: alice, Keys: keys, Ciphertext: c, Current: c})
				wantCode(t, name+": a data key", err, domain.CodeDataKeyMismatch)
			}
		}
		_, err = k.Mint(t.Context(), kms.MintRequest{Ref: r, Field: "f", Agent: alice, Keys: created.KekIDs})
		wantCode(t, name+": a mint", err, domain.CodeUnavailable)
		_, err = k.Seal(t.Context(), kms.SealRequest{Ref: r, Agent: alice, Keys: created.KekIDs, EventID: w.id(), Event: domain.FieldSet{Field: plain("p", "x")}})
		wantCode(t, name+": a write", err, domain.CodeUnavailable)
	}
	if err := a.Destroy(t.Context(), created.KekIDs); err != nil {
		t.Errorf("destroying twice: %v", err)
	}
}

// A data key of one incarnation is worth nothing in the next.
func TestIncarnationsShareNothing(t *testing.T) {
	w := newWorld(t)
	k, r := w.node(), ref("db")
	old := w.mint(k, alice, r, "f")
	w.create(k, alice, r, encrypted("f", old.Ciphertext))
	spare := w.mint(k, alice, r, "g")
	w.delete(k, r)

	_, err := w.write(k, alice, r, domain.SecretCreated{Fields: []domain.Field{encrypted("g", spare.Ciphertext)}})
	wantCode(t, "create with a data key of the old incarnation", err, domain.CodeDataKeyMismatch)
	fresh := w.mint(k, alice, r, "f")
	if fresh.KekID == old.KekID {
		t.Fatal("the new incarnation would have the old key")
	}
	w.create(k, alice, r, encrypted("f", fresh.Ciphertext))
	for name, c := range map[string]string{"used": old.Ciphertext, "unused": spare.Ciphertext} {
		_, err := w.release(k, alice, r, "f", c)
		wantCode(t, "release of a "+name+" one", err, domain.CodeDataKeyMismatch)
		_, err = w.write(k, alice, r, domain.FieldSet{Field: encrypted("g", c)})
		wantCode(t, "write of a "+name+" one", err, domain.CodeDataKeyMismatch)
	}
}

// Also without a destruction: a claimed key, and its data keys, are never
// claimed again.
func TestAClaimedKeyIsNotClaimedAgain(t *testing.T) {
	w := newWorld(t)
	k, r := w.node(), ref("db")
	m, spare := w.mint(k, alice, r, "f"), w.mint(k, alice, r, "g")
	w.create(k, alice, r, encrypted("f", m.Ciphertext))
	if err := w.record(r, domain.SecretDeleted{KekIDs: []domain.KekID{m.KekID}}); err != nil {
		t.Fatal(err) // And a crash before the destruction.
	}
	_, err := w.write(k, alice, r, domain.SecretCreated{Fields: []domain.Field{encrypted("g", spare.Ciphertext)}})
	wantCode(t, "create", err, domain.CodeDataKeyMismatch)
	_, err = w.release(k, alice, r, "g", spare.Ciphertext)
	wantCode(t, "release", err, domain.CodeDataKeyMismatch)
	if next := w.create(k, alice, r); slices.Contains(next.KekIDs, m.KekID) {
		t.Fatal("the old key was claimed again")
	}
}

// Two agents mint for one missing secret and both create it: one wins, and
// the other's key never opens anything.
func TestTwoRivalCreators(t *testing.T) {
	w := newWorld(t)
	k, r := w.node(), ref("db")
	a, b := w.mint(k, alice, r, "f"), w.mint(k, bob, r, "f")
	if a.KekID == b.KekID {
		t.Fatal("rivals hold one key")
	}
	ea, errA := w.write(k, alice, r, domain.SecretCreated{Fields: []domain.Field{encrypted("f", a.Ciphertext)}})
	eb, errB := w.write(k, bob, r, domain.SecretCreated{Fields: []domain.Field{encrypted("f", b.Ciphertext)}})
	if err := errors.Join(errA, errB, w.record(r, ea)); err != nil {
		t.Fatal(err)
	}
	if err := w.record(r, eb); !errors.Is(err, errConflict) {
		t.Fatalf("the second create: %v", err)
	}
	if _, err := w.release(k, bob, r, "f", a.Ciphertext); err != nil {
		t.Errorf("the winner's data key: %v", err)
	}
	_, err := w.release(k, bob, r, "f", b.Ciphertext)
	wantCode(t, "the loser's data key", err, domain.CodeDataKeyMismatch)
	_, err = w.write(k, bob, r, domain.FieldSet{Field: encrypted("f", b.Ciphertext)})
	wantCode(t, "the loser's data key in a write", err, domain.CodeDataKeyMismatch)
	if next := w.mint(k, bob, r, "f"); next.KekID != a.KekID {
		t.Error("the loser's next mint is not under the secret's key")
	}
}

// One data key is for one field, and for one write of it.
func TestADataKeyIsUsedOnce(t *testing.T) {
	w := newWorld(t)
	k, r := w.node(), ref("db")
	w.create(k, alice, r)
	m := w.mint(k, alice, r, "f")
	_, err := w.write(k, alice, r, domain.FieldSet{Field: encrypted("g", m.Ciphertext)})
	wantCode(t, "another field", err, domain.CodeDataKeyMismatch)

	const rivals = 8
	won := make([]bool, rivals)
	var wg sync.WaitGroup
	for i := range rivals {
		wg.Go(func() {
			for range 3 { // A loser's second try sees the winner's event.
				e, err := w.write(k, alice, r, domain.FieldSet{Field: encrypted("f", m.Ciphertext)})
				if err != nil {
					wantCode(t, "a rival", err, domain.CodeDataKeyReused)
					return
				}
				if err := w.record(r, e); err == nil {
					won[i] = true
					return
				}
			}
			t.Error("a used data key is never refused")
		})
	}
	wg.Wait()
	if n := len(slices.DeleteFunc(won, func(b bool) bool { return !b })); n != 1 {
		t.Fatalf("%d rivals wrote", n)
	}
	replaced := w.mint(k, alice, r, "f")
	e, err := w.write(k, alice, r, domain.FieldSet{Field: encrypted("f", replaced.Ciphertext)})
	if err != nil || w.record(r, e) != nil {
		t.Fatal(err)
	}
	_, err = w.write(k, alice, r, domain.FieldSet{Field: encrypted("f", m.Ciphertext)})
	wantCode(t, "after it was replaced", err, domain.CodeDataKeyReused)
	_, err = w.release(k, alice, r, "f", m.Ciphertext)
	wantCode(t, "release after it was replaced", err, domain.CodeDataKeyMismatch)
}

// Invariants 1, 2 and 8: whatever is wrong with a data key, the answer is one
// and the same, on release and on write.
func TestEveryRefusalIsTheSame(t *testing.T) {
	w := newWorld(t)
	k, r := w.node(), ref("db")
	foreign := r
	foreign.Org = org2
	w.create(k, alice, r)
	w.create(k, alice, ref("other"))
	w.create(k, alice, foreign)
	m := w.mint(k, alice, r, "f")
	unclaimed := w.mint(k, alice, ref("missing"), "f")
	tampered := []byte(m.Ciphertext)
	tampered[100] ^= 1
	late := w.mint(k, alice, r, "late")

	moved := func(change func(*domain.SecretRef)) domain.SecretRef {
		c := r
		change(&c)
		return c
	}
	type attempt struct {
		ref        domain.SecretRef
		keys       []domain.KekID
		field      domain.FieldKey
		ciphertext string
	}
	own := w.keys(r)
	attempts := map[string]attempt{
		"empty":                      {r, own, "f", ""},
		"garbage":                    {r, own, "f", strings.Repeat("A", kms.DataKeyCiphertextLen)},
		"a line break":               {r, own, "f", m.Ciphertext + "\n"},
		"tampered":                   {r, own, "f", string(tampered)},
		"another field":              {r, own, "g", m.Ciphertext},
		"another secret":             {ref("other"), w.keys(ref("other")), "f", m.Ciphertext},
		"another organization":       {foreign, w.keys(foreign), "f", m.Ciphertext},
		"another scope":              {moved(func(c *domain.SecretRef) { c.Scope.ID += "x" }), own, "f", m.Ciphertext},
		"another scope kind":         {moved(func(c *domain.SecretRef) { c.Scope.Kind = domain.ScopeTeam }), own, "f", m.Ciphertext},
		"a missing secret":           {ref("missing"), nil, "f", m.Ciphertext},
		"unclaimed, for a living":    {r, own, "f", unclaimed.Ciphertext},
		"unclaimed, of another path": {ref("absent"), nil, "f", unclaimed.Ciphertext},
		"unclaimed, of another org":  {foreign, nil, "f", unclaimed.Ciphertext},
		"the path's, another's keys": {r, w.keys(ref("other")), "f", m.Ciphertext},
		"the key forced, wrong path": {ref("other"), own, "f", m.Ciphertext},
	}
	texts := map[string]bool{}
	refused := func(name string, err error) {
		t.Helper()
		wantCode(t, name, err, domain.CodeDataKeyMismatch)
		texts[fmt.Sprintf("%v %+v", err, err)] = true
	}
	try := func(name string, a attempt) {
		t.Helper()
		_, err := k.Release(t.Context(), kms.ReleaseRequest{Ref: a.ref, Field: a.field, Agent: alice, Keys: a.keys, Ciphertext: a.ciphertext})
		refused("release: "+name, err)
		event := domain.Event(domain.FieldSet{Field: encrypted(a.field, a.ciphertext)})
		if len(a.keys) == 0 {
			event = domain.SecretCreated{Fields: []domain.Field{encrypted(a.field, a.ciphertext)}}
		}
		_, err = k.Seal(t.Context(), kms.SealRequest{Ref: a.ref, Agent: alice, Keys: a.keys, EventID: w.id(), Event: event})
		refused("write: "+name, err)
	}
	for name, a := range attempts {
		try(name, a)
	}
	_, err := w.release(k, bob, r, "f", m.Ciphertext)
	refused("release: a fresh mint of another agent", err)
	if _, err := w.release(k, alice, r, "f", m.Ciphertext); err != nil {
		t.Errorf("release: a fresh mint of the agent itself: %v", err)
	}
	w.wait(kms.MaxDataKeyAge + time.Millisecond)
	try("too old", attempt{r, own, "late", late.Ciphertext})
	if len(texts) != 1 {
		t.Errorf("the refusals differ: %v", texts)
	}
	for text := range texts {
		if strings.Contains(text, m.Ciphertext[:16]) {
			t.Error("the refusal shows the ciphertext")
		}
	}
}

// All that is wrong with any envelope comes before anything that is used.
func TestMismatchComesBeforeReuse(t *testing.T) {
	w := newWorld(t)
	k, r := w.node(), ref("db")
	a, b := w.mint(k, alice, r, "a"), w.mint(k, alice, r, "b")
	w.used[a.DekID] = true
	_, err := w.write(k, alice, r, domain.SecretCreated{Fields: []domain.Field{encrypted("a", a.Ciphertext), encrypted("b", b.Ciphertext)}})
	wantCode(t, "one used", err, domain.CodeDataKeyReused)
	_, err = w.write(k, alice, r, domain.SecretCreated{Fields: []domain.Field{encrypted("a", a.Ciphertext), encrypted("b", a.Ciphertext)}})
	wantCode(t, "one used, a later one wrong", err, domain.CodeDataKeyMismatch)
}

// A create claims every key its envelopes name, in field order, and seals
// plaintexts under the first; the agent's mints may come from several windows.
func TestACreateClaimsAllKeysOfItsEnvelopes(t *testing.T) {
	w := newWorld(t)
	k, r := w.node(), ref("db")
	theirs, ours := w.mint(k, bob, r, "b"), w.mint(k, alice, r, "a")
	third := w.mint(k, alice, r, "c")
	e := w.create(k, alice, r, encrypted("a", ours.Ciphertext), encrypted("b", theirs.Ciphertext), encrypted("c", third.Ciphertext), plain("p", "v"))
	if d := cmp.Diff([]domain.KekID{ours.KekID, theirs.KekID}, e.KekIDs); d != "" {
		t.Fatalf("claimed (-want +got):\n%s", d)
	}
	if s := sealedOf(t, e.Fields[3]); s.KekID != ours.KekID {
		t.Error("the plaintext is sealed under another key than the first")
	}
	for f, m := range map[domain.FieldKey]kms.Minted{"a": ours, "b": theirs, "c": third} {
		if _, err := w.release(k, bob, r, f, m.Ciphertext); err != nil {
			t.Errorf("field %s: %v", f, err)
		}
	}
}

func TestACreateWithoutEnvelopesClaimsTheCallersKey(t *testing.T) {
	w := newWorld(t)
	k := w.node()
	m := w.mint(k, alice, ref("db"), "f")
	if e := w.create(k, alice, ref("db"), plain("p", "v")); !slices.Equal(e.KekIDs, []domain.KekID{m.KekID}) {
		t.Errorf("claimed %v, the caller's key is %v", e.KekIDs, m.KekID)
	}
	theirs := w.mint(k, bob, ref("two"), "f")
	e := w.create(k, alice, ref("two"))
	if len(e.KekIDs) != 1 || e.KekIDs[0] == theirs.KekID || e.KekIDs[0] == m.KekID {
		t.Errorf("claimed %v", e.KekIDs)
	}
	if n := k.Stats().OpenMints; n != 1 {
		t.Errorf("%d open mints, want bob's alone", n)
	}
}

// Seal returns another event and leaves its input, and what has no value.
func TestSealChangesNoInput(t *testing.T) {
	w := newWorld(t)
	k, r := w.node(), ref("db")
	m := w.mint(k, alice, r, "a")
	in := domain.SecretCreated{Name: "n", Tags: []string{"x"}, Fields: []domain.Field{encrypted("a", m.Ciphertext), plain("p", "v")}}
	before := slices.Clone(in.Fields)
	if _, err := w.write(k, alice, r, in); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, in.Fields, cmp.AllowUnexported(domain.Plaintext{})); d != "" || in.KekIDs != nil {
		t.Errorf("the input changed:\n%s", d)
	}
	w.create(k, alice, r)
	for _, e := range []domain.Event{
		domain.FieldRemoved{Key: "a"},
		domain.SecretDeleted{KekIDs: w.keys(r)},
		domain.KeyDestroyed{Ref: r},
		domain.SecretRenamed{Changes: domain.Changes{Name: &domain.Change[string]{To: "m"}}},
	} {
		got, err := w.write(k, alice, r, e)
		if d := cmp.Diff(e, got); err != nil || d != "" {
			t.Errorf("%T: %v\n%s", e, err, d)
		}
	}
	for name, q := range map[string]kms.SealRequest{
		"a create with keys":     {Ref: r, Keys: w.keys(r), Event: domain.SecretCreated{}},
		"a write without keys":   {Ref: r, Event: domain.FieldSet{Field: plain("p", "v")}},
		"a value sealed already": {Ref: r, Keys: w.keys(r), Event: domain.FieldSet{Field: domain.Field{Key: "p", Value: domain.Sealed{}}}},
		"no value":               {Ref: r, Keys: w.keys(r), Event: domain.FieldSet{Field: domain.Field{Key: "p"}}},
	} {
		q.EventID = w.id()
		if e, err := k.Seal(t.Context(), q); domain.CodeOf(err) != domain.CodeInternal || e != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
