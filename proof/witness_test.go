package proof_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/chancery-dev/chancery/proof"
)

// witness is one as C2SP tlog-witness says, for one log: it keeps what it
// signed and checks everything that it must.
type witness struct {
	t      *testing.T
	server *httptest.Server
	signer *torchwood.CosignatureSigner
	logKey note.Verifier

	mu   sync.Mutex
	size uint64
	root tlog.Hash
	// answer, if set, answers in its place.
	answer func(w http.ResponseWriter) bool
	calls  int
}

func newWitness(t *testing.T, seed byte) *witness {
	t.Helper()
	signer, err := torchwood.NewCosignatureSigner(fmt.Sprintf("witness.example/w%d", seed), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{t: t, signer: signer, logKey: logKey(t, 1, testOrigin).Verifier()}
	w.server = httptest.NewServer(w)
	t.Cleanup(w.server.Close)
	return w
}

func (w *witness) config(t *testing.T) proof.Witness {
	t.Helper()
	c, err := proof.NewWitness(w.server.URL+"/", w.signer.Verifier().String())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/add-checkpoint" {
		rw.WriteHeader(http.StatusNotFound)
		return
	}
	if w.answer != nil && w.answer(rw) {
		return
	}
	head, signed, ok := strings.Cut(string(body), "\n\n")
	lines := strings.Split(head, "\n")
	number, prefixed := strings.CutPrefix(lines[0], "old ")
	old, err := strconv.ParseUint(number, 10, 63)
	if !ok || !prefixed || err != nil || strconv.FormatUint(old, 10) != number || len(lines) > 64 {
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	var p tlog.TreeProof
	for _, line := range lines[1:] {
		h, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(h) != tlog.HashSize {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		p = append(p, tlog.Hash(h))
	}
	n, err := note.Open([]byte(signed), note.VerifierList(w.logKey))
	if err != nil {
		rw.WriteHeader(http.StatusForbidden)
		return
	}
	c, err := torchwood.ParseCheckpoint(n.Text)
	switch {
	case err != nil || c.Origin != testOrigin:
		rw.WriteHeader(http.StatusNotFound)
		return
	case old > uint64(c.N):
		rw.WriteHeader(http.StatusBadRequest)
		return
	case old != w.size || (old == uint64(c.N) && w.root != c.Hash):
		w.conflict(rw, w.size)
		return
	case old == 0 && len(p) > 0,
		old > 0 && tlog.CheckTree(p, c.N, c.Hash, int64(old), w.root) != nil:
		rw.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	w.size, w.root = uint64(c.N), c.Hash
	cosigned, err := note.Sign(&note.Note{Text: n.Text}, w.signer)
	if err != nil {
		w.t.Error(err)
	}
	// A line of a key that nobody knows comes first.
	_, _ = rw.Write([]byte("— witness.example/other AAAAAAAA\n"))
	_, _ = rw.Write(cosigned[len(n.Text)+1:])
}

func (w *witness) conflict(rw http.ResponseWriter, size uint64) {
	rw.Header().Set("Content-Type", "text/x.tlog.size")
	rw.WriteHeader(http.StatusConflict)
	_, _ = fmt.Fprintf(rw, "%d\n", size)
}

func (w *witness) set(answer func(http.ResponseWriter) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}

// outcomes hands on what became of each question to a witness.
type outcomes chan error

func (outcomes) Signed(string, uint64, time.Time)         {}
func (o outcomes) Cosigned(_ string, _ string, err error) { o <- err }

// witnessed runs a signer that has witnesses.
func witnessed(t *testing.T, store *noteStore, l *treeLog, witnesses ...*witness) (*proof.Signer, outcomes) {
	t.Helper()
	seen := make(outcomes, 1000)
	s := newSigner(t, store, l, func(c *proof.SignerConfig) {
		c.Observer = seen
		c.Now = time.Now
		c.Interval = time.Hour // Beside the first signature only the test signs.
		for _, w := range witnesses {
			c.Witnesses = append(c.Witnesses, w.config(t))
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return s, seen
}

func signNow(t *testing.T, s *proof.Signer, size uint64) {
	t.Helper()
	if c, err := s.SignNow(t.Context(), proof.LogEvents); err != nil || c.Size != size {
		t.Fatalf("size %d, error %v", c.Size, err)
	}
}

func TestWitnessCosigns(t *testing.T) {
	store, l := newNoteStore(), newTreeLog(0)
	w1, w2 := newWitness(t, 11), newWitness(t, 12)
	s, seen := witnessed(t, store, l, w1, w2)
	for _, size := range []uint64{5, 300, 301, 1000} {
		l.add(t, int(size-l.tree.Size))
		signNow(t, s, size)
		for range 2 {
			if err := <-seen; err != nil {
				t.Fatal(err)
			}
		}
		newest, _, _ := store.Latest(t.Context(), proof.LogEvents)
		c, err := logKey(t, 1, testOrigin).Open(newest, w1.signer.Verifier(), w2.signer.Verifier())
		if err != nil || c.Size != size || len(c.Cosignatures) != 2 {
			t.Fatalf("size %d with %d cosignatures, error %v", c.Size, len(c.Cosignatures), err)
		}
	}
	checkChain(t, store, l)
	// The proof of a leaf satisfies a policy that wants both.
	newest, _, _ := store.Latest(t.Context(), proof.LogEvents)
	k := logKey(t, 1, testOrigin)
	c, err := k.Open(newest)
	if err != nil {
		t.Fatal(err)
	}
	text, err := proof.InclusionProof(l.tree, 7, c)
	if err != nil {
		t.Fatal(err)
	}
	policy := torchwood.ThresholdPolicy(4, torchwood.OriginPolicy(testOrigin), torchwood.SingleVerifierPolicy(k.Verifier()),
		torchwood.SingleVerifierPolicy(w1.signer.Verifier()), torchwood.SingleVerifierPolicy(w2.signer.Verifier()))
	if err := torchwood.VerifyProof(policy, proof.LeafHash(append(leaf(7), 0)), text); err != nil {
		t.Fatal(err)
	}
}

// A server that starts again does not know what its witness knows, and learns
// it from the witness.
func TestWitnessNamesTheSizeItKnows(t *testing.T) {
	store, l, w := newNoteStore(), newTreeLog(0), newWitness(t, 11)
	for _, size := range []uint64{40, 100} {
		l.add(t, int(size-l.tree.Size))
		s, seen := witnessed(t, store, l, w)
		signNow(t, s, size)
		if err := <-seen; err != nil {
			t.Fatal(err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.size != 100 || w.calls != 3 {
		t.Fatalf("size %d after %d calls", w.size, w.calls)
	}
}

func TestWitnessThatFailsStopsNothing(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter) bool{
		"500":                 func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusInternalServerError); return true },
		"nothing":             func(http.ResponseWriter) bool { return true },
		"no signature":        func(w http.ResponseWriter) bool { _, _ = io.WriteString(w, "thanks\n"); return true },
		"a stranger's":        func(w http.ResponseWriter) bool { _, _ = io.WriteString(w, "— other AAAAAAAA\n"); return true },
		"a flood":             func(w http.ResponseWriter) bool { _, _ = w.Write(make([]byte, 1<<20)); return true },
		"409 without a size":  func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusConflict); return true },
		"a connection closed": func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Each waits a second before it asks again.
			store, l, w := newNoteStore(), newTreeLog(0).add(t, 10), newWitness(t, 11)
			w.set(answer)
			s, seen := witnessed(t, store, l, w)
			signNow(t, s, 10)
			if err := <-seen; !errors.Is(err, proof.ErrWitness) {
				t.Fatal(err)
			}
			if n := len(store.all(proof.LogEvents)); n != 1 || s.Problem() != nil {
				t.Fatalf("%d notes, problem %v", n, s.Problem())
			}
			w.set(nil)
			for err := range seen { // until it is asked again
				if err == nil {
					break
				}
			}
		})
	}
}

func TestWitnessThatSawAnotherLogAccuses(t *testing.T) {
	for name, c := range map[string]struct {
		salt byte
		seen int
		want error
	}{
		"a longer one":             {0, 20, proof.ErrRolledBack},
		"another of the same size": {1, 10, proof.ErrFork},
		"another, shorter one":     {1, 5, proof.ErrWitness},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWitness(t, 11)
			s, seen := witnessed(t, newNoteStore(), newTreeLog(c.salt).add(t, c.seen), w)
			signNow(t, s, uint64(c.seen))
			if err := <-seen; err != nil {
				t.Fatal(err)
			}
			store := newNoteStore()
			s, seen = witnessed(t, store, newTreeLog(0).add(t, 10), w)
			signNow(t, s, 10)
			if err := <-seen; !errors.Is(err, c.want) {
				t.Fatalf("%v", err)
			}
			if n := len(store.all(proof.LogEvents)); n != 1 {
				t.Fatalf("%d notes", n)
			}
		})
	}
}

// The checkpoint of a log that did not grow keeps its cosignatures when it is
// signed anew.
func TestSignatureOfAnIdleLogKeepsCosignatures(t *testing.T) {
	store, l, w := newNoteStore(), newTreeLog(0).add(t, 10), newWitness(t, 11)
	s, seen := witnessed(t, store, l, w)
	signNow(t, s, 10)
	if err := <-seen; err != nil {
		t.Fatal(err)
	}
	before := len(store.all(proof.LogEvents))
	w.set(func(rw http.ResponseWriter) bool { rw.WriteHeader(http.StatusServiceUnavailable); return true })
	later := newSigner(t, store, l, func(c *proof.SignerConfig) {
		c.Witnesses = []proof.Witness{w.config(t)}
		c.Now = func() time.Time { return time.Now().Add(time.Hour) }
		c.Interval = time.Millisecond
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = later.Run(ctx) })
	var newest []byte
	for len(store.all(proof.LogEvents)) == before {
		time.Sleep(time.Millisecond)
	}
	newest, _, _ = store.Latest(t.Context(), proof.LogEvents)
	cancel()
	running.Wait()
	c, err := logKey(t, 1, testOrigin).Open(newest, w.signer.Verifier())
	if err != nil || c.Size != 10 || len(c.Cosignatures) != 1 || c.Time.Before(c.Cosignatures[0].Time.Add(50*time.Minute)) {
		t.Fatalf("%+v, error %v", c, err)
	}
}

func TestWitnessIsConfiguredWithAURLAndAKey(t *testing.T) {
	key := newWitness(t, 11).signer.Verifier().String()
	for _, bad := range []string{"", "witness.example", "ftp://witness.example", "https://", "https://user:pw@witness.example", "https://w.example?a=b", "https://w.example#x", "::"} {
		if _, err := proof.NewWitness(bad, key); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, bad := range []string{"", key[1:], logKey(t, 1, testOrigin).VKey()} {
		if _, err := proof.NewWitness("https://witness.example", bad); !errors.Is(err, proof.ErrKey) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	self, err := proof.NewWitness("https://witness.example", logKey(t, 1, testOrigin).TimedVKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.NewSigner(proof.SignerConfig{
		Logs: []proof.Log{{Name: proof.LogEvents}}, Organization: testOrg, Key: signingKey(t, 1), Witnesses: []proof.Witness{self},
	}); !errors.Is(err, proof.ErrKey) {
		t.Errorf("a log that is its own witness: %v", err)
	}
}
