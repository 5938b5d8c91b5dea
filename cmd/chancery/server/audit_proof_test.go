package server_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// provenRow is a row of a history with proofs.
type provenRow struct {
	historyEntry
	Kind  string  `json:"kind"`
	Leaf  string  `json:"leaf"`
	Index *uint64 `json:"index"`
	Proof string  `json:"proof"`
}

// mixedRow is a row of a history with accesses.
type mixedRow struct {
	Kind     string `json:"kind"`
	Time     string `json:"time"`
	Position uint64 `json:"position"`
	ID       string `json:"id"`
	Type     string `json:"type"`
	Action   string `json:"action"`
}

// provenHistory is the history of a secret with its proofs.
func provenHistory(t testing.TB, c caller, p place, secret string, pairs ...string) (rows []provenRow) {
	t.Helper()
	for _, page := range c.pages(t, p.path(secret, "history"), append(pairs, "proof", "1")...) {
		rows = append(rows, into[[]provenRow](t, page)...)
	}
	return rows
}

// waitProof waits until the newest checkpoint covers the whole history of a
// secret, and gives that history.
func (w *auditWorld) waitProof(t testing.TB, p place, secret string) (rows []provenRow) {
	t.Helper()
	eventually(t, "proofs of every event", func() bool {
		rows = provenHistory(t, w.auditor.caller, p, secret)
		return len(rows) > 0 && !slices.ContainsFunc(rows, func(r provenRow) bool { return r.Proof == "" })
	})
	return rows
}

// logPolicy trusts the key that the server says it signs a log with.
func (w *auditWorld) logPolicy(t *testing.T, log string) torchwood.Policy {
	t.Helper()
	type key struct {
		Log    string `json:"log"`
		Origin string `json:"origin"`
		Name   string `json:"name"`
		VKey   string `json:"vkey"`
	}
	for _, k := range into[[]key](t, w.auditor.do(t, http.MethodGet, "/log/key", nil).ok(t, 200)) {
		if k.Log != log {
			continue
		}
		if want := "chancery/" + w.org.id + "/" + log; k.Origin != want || k.Name != want {
			t.Errorf("origin %s, name %s, want %s", k.Origin, k.Name, want)
		}
		v, err := note.NewVerifier(k.VKey)
		if err != nil {
			t.Fatal(err)
		}
		return torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(k.Origin), torchwood.SingleVerifierPolicy(v))
	}
	t.Fatalf("no key of %s", log)
	return nil
}

// TestAuditProofs: every event of a history comes with the exact leaf, its
// index and a proof that torchwood verifies against the published key, and
// verifies for nothing else.
func TestAuditProofs(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	p := w.team
	w.writer.create(t, p, "s", keyed("f", plain("x")))
	for i := range 130 {
		w.writer.set(t, p, "s", "f", plain(fmt.Sprint(i)), header("Chancery-Run-Id", fmt.Sprint("run-", i))).ok(t, 200)
	}
	w.writer.do(t, http.MethodDelete, p.path("s"), nil).ok(t, 200)
	w.writer.create(t, p, "s", keyed("f", plain("x")))
	rows := w.waitProof(t, p, "s")
	if len(rows) != 133 {
		t.Fatalf("%d events, want 133", len(rows))
	}
	policy, access := w.logPolicy(t, "events"), w.logPolicy(t, "access")
	plainRows := w.writer.pages(t, p.path("s", "history"))
	var history []historyEntry
	for _, page := range plainRows {
		history = append(history, into[[]historyEntry](t, page)...)
	}
	for i, r := range rows {
		leaf, err := base64.StdEncoding.Strict().DecodeString(r.Leaf)
		if err != nil || r.Index == nil || *r.Index != r.Position-1 {
			t.Fatalf("leaf %v, index %v of position %d", err, r.Index, r.Position)
		}
		if err := torchwood.VerifyProof(policy, tlog.RecordHash(leaf), []byte(r.Proof)); err != nil {
			t.Fatalf("position %d: %v", r.Position, err)
		}
		if torchwood.VerifyProof(policy, tlog.RecordHash(append(leaf, ' ')), []byte(r.Proof)) == nil || torchwood.VerifyProof(access, tlog.RecordHash(leaf), []byte(r.Proof)) == nil {
			t.Fatalf("position %d: the proof proves something else too", r.Position)
		}
		if !strings.Contains(r.Proof, fmt.Sprintf("\nindex %d\n", *r.Index)) {
			t.Errorf("position %d: the proof is of another index", r.Position)
		}
		var record struct {
			ID   string `json:"id"`
			Type string `json:"type"`
			Data struct {
				SecretID string `json:"secretId"`
				Version  int    `json:"version"`
				RunID    string `json:"runId"`
				BodyHash string `json:"bodyHash"`
			} `json:"data"`
		}
		if err := json.Unmarshal(leaf, &record); err != nil {
			t.Fatal(err)
		}
		h := history[i]
		if record.ID != h.EventID || record.Type != h.Type || record.Data.Version != h.Version || record.Data.RunID != h.RunID || record.Data.SecretID != "s" || record.Data.BodyHash == "" {
			t.Errorf("the leaf %s is not the entry %+v", leaf, h)
		}
	}
	if r := w.auditor.do(t, http.MethodGet, p.path("s", "history")+"?proof=1", nil).ok(t, 200); len(into[[]provenRow](t, r)) != 100 {
		t.Errorf("a page with proofs has %d rows, want 100", len(into[[]provenRow](t, r)))
	}
	for _, bad := range []string{"?proof=0", "?proof=true", "?include=all", "?include=access&include=access", "?proof="} {
		w.auditor.do(t, http.MethodGet, p.path("s", "history")+bad, nil).code(t, "invalid_query")
	}
	w.checkTiles(t)
}

// checkTiles reads both logs with torchwood's client over HTTP and demands
// that they are what the checkpoints say.
func (w *auditWorld) checkTiles(t *testing.T) {
	t.Helper()
	for _, log := range []string{"events", "access"} {
		fetcher, err := torchwood.NewTileFetcher(w.URL+"/log/"+log, torchwood.WithHTTPClient(&http.Client{Transport: bearer(w.auditor.key)}))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := fetcher.ReadEndpoint(t.Context(), "checkpoint")
		if err != nil {
			t.Fatal(err)
		}
		checkpoint, _, err := torchwood.VerifyCheckpoint(signed, w.logPolicy(t, log))
		if err != nil {
			t.Fatalf("%s: %v\n%s", log, err, signed)
		}
		client, err := torchwood.NewClient(fetcher)
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for i, entry := range client.AllEntries(t.Context(), checkpoint.Tree, 0) {
			if i != n || len(entry) == 0 || len(entry) > 60<<10 {
				t.Fatalf("%s: entry %d of %d bytes after %d", log, i, len(entry), n)
			}
			n++
		}
		if err := client.Err(); err != nil || n != checkpoint.N {
			t.Errorf("%s: %d of %d entries, %v", log, n, checkpoint.N, err)
		}
	}
}

// bearer sends an API key.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// TestAuditHistoryWithAccesses: a history with accesses has every event and
// every access record of the secret, by time, each log in its own order, on
// pages of any size.
func TestAuditHistoryWithAccesses(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	p := w.team
	other := w.newTeam(t, "Other")
	w.grant(t, w.writer, other, "writer")
	for _, q := range []place{p, other} {
		for _, secret := range []string{"s", "ss"} {
			w.writer.create(t, q, secret, keyed("f", plain("x")))
		}
	}
	for i := range 20 {
		w.writer.get(t, p, "s")
		w.writer.get(t, other, "s")
		w.writer.get(t, p, "ss")
		w.writer.do(t, http.MethodGet, p.field("s", "f"), nil).ok(t, 200)
		w.writer.set(t, p, "s", "f", plain(fmt.Sprint(i))).ok(t, 200)
		w.writer.mint(t, p, "s", "g")
		w.admin.do(t, http.MethodGet, p.path("s"), nil).code(t, "forbidden")
	}
	var events, accesses []string
	for _, h := range w.writer.history(t, p, "s") {
		events = append(events, fmt.Sprint(h.Position))
	}
	for _, r := range w.access(t, "scope", p.scope, "scopeId", p.id, "secret", "s") {
		accesses = append(accesses, r.ID)
	}
	for _, order := range []string{"desc", "asc"} {
		for _, limit := range []string{"3", "10", "500"} {
			var rows []mixedRow
			for _, page := range w.auditor.pages(t, p.path("s", "history"), "include", "access", "order", order, "limit", limit) {
				var some []mixedRow
				if err := json.Unmarshal(page.data, &some); err != nil {
					t.Fatal(err)
				}
				rows = append(rows, some...)
			}
			if order == "asc" {
				slices.Reverse(rows)
			}
			// What this reading itself left is newer than what was there.
			gotEvents, gotAccesses := []string{}, []string{}
			for _, r := range rows {
				switch {
				case r.Kind == "event" && r.Type != "":
					gotEvents = append(gotEvents, fmt.Sprint(r.Position))
				case r.Kind == "access" && r.Action != "":
					if slices.Contains(accesses, r.ID) {
						gotAccesses = append(gotAccesses, r.ID)
					} else if r.Action != "audit" && r.Action != "history" {
						t.Errorf("a record of something else: %+v", r)
					}
				default:
					t.Errorf("a row of no kind: %+v", r)
				}
			}
			if !slices.Equal(gotEvents, events) || !slices.Equal(gotAccesses, accesses) {
				t.Errorf("order %s limit %s: events %v, want %v; accesses %v, want %v", order, limit, gotEvents, events, gotAccesses, accesses)
			}
			if !slices.IsSortedFunc(rows, func(a, b mixedRow) int { return strings.Compare(b.Time, a.Time) }) {
				t.Errorf("order %s limit %s: rows are not by time", order, limit)
			}
		}
	}
	rows := w.auditor.send(t, http.MethodGet, p.path("s", "history")+"?include=access&proof=1&limit=10", nil).ok(t, 200)
	if !strings.Contains(string(rows.raw), `"kind":"access"`) {
		t.Errorf("with proofs too: %.300s", rows.raw)
	}
}
