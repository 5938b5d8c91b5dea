package server_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
)

// manifest is what the test takes from a report's last line.
type manifest struct {
	Report string `json:"report"`
	Events struct {
		From       uint64 `json:"from"`
		To         uint64 `json:"to"`
		Checkpoint string `json:"checkpoint"`
	} `json:"events"`
	Access struct {
		From       uint64 `json:"from"`
		To         uint64 `json:"to"`
		Checkpoint string `json:"checkpoint"`
	} `json:"access"`
	Rows       int    `json:"rows"`
	Population int    `json:"population"`
	Bytes      int    `json:"bytes"`
	SHA256     string `json:"sha256"`
	Signature  struct {
		Key     string `json:"key"`
		Ed25519 string `json:"ed25519"`
	} `json:"signature"`
}

// TestAuditReportsAreTheSame: a report asked for again over the same positions
// has the same bytes: later on the same node, on another one, and after a
// rebuild; in every format, sampled or not.
func TestAuditReportsAreTheSame(t *testing.T) {
	t.Parallel()
	url := externalNATS(t)
	quick := func(c *server.Config) { c.NATSURL, c.CheckpointInterval = url, 20*time.Millisecond }
	s := &testServer{Data: filepath.Join(t.TempDir(), "one"), change: quick}
	s.start(t)
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("the server did not end in order: %v", err)
		}
		s.fsck(t)
	})
	w := worldOn(t, s)
	w.busy(t, "first")
	last := w.writer.rename(t, w.team, "kept", "again").ok(t, 200).position(t)
	w.waitSigned(t, last)
	eventually(t, "a checkpoint over the accesses", func() bool { return w.accessSigned(t) > 30 })

	first := map[string]manifest{}
	asked := map[string][]byte{}
	for _, name := range w.reportNames(t) {
		r := w.auditor.send(t, http.MethodGet, w.inOrg("reports", name), nil).ok(t, 200)
		m := checkManifest(t, name, r.raw)
		first[name] = m
		for format, samples := range map[string][]string{"jsonl": {"", "&sample=3&seed=7"}, "csv": {""}, "table": {""}, "ocsf": {""}, "cloudevents": {""}, "html": {""}} {
			for _, sample := range samples {
				target := fmt.Sprintf("%s?format=%s&events=%d%s", w.inOrg("reports", name), format, m.Events.To, sample)
				if m.Access.To > 0 {
					target += fmt.Sprintf("&access=%d", m.Access.To)
				}
				r := w.auditor.send(t, http.MethodGet, target, nil)
				if r.status == 400 && format != "jsonl" { // not every report has every format
					continue
				}
				asked[target] = r.ok(t, 200).raw
			}
		}
		target := fmt.Sprintf("%s?events=%d", w.inOrg("reports", name), m.Events.To)
		if m.Access.To > 0 {
			target += fmt.Sprintf("&access=%d", m.Access.To)
		}
		if again := w.auditor.send(t, http.MethodGet, target, nil).ok(t, 200); !bytes.Equal(again.raw, r.raw) {
			t.Errorf("%s with the positions of its manifest is another:\n%s\n%s", name, r.raw, again.raw)
		}
	}
	same := func(where string, c caller) {
		t.Helper()
		for target, want := range asked {
			r := c.send(t, http.MethodGet, target, nil)
			if r.status != 200 || !bytes.Equal(r.raw, want) {
				t.Errorf("%s: %s: status %d\nwant %.1500s\ngot  %.1500s", where, target, r.status, want, r.raw)
			}
		}
	}
	w.busy(t, "second")
	w.admin.do(t, http.MethodPatch, w.inOrg("agents", w.writer.id), obj{"name": "renamed"}).ok(t, 200)
	last = w.writer.rename(t, w.team, "kept", "and again").ok(t, 200).position(t)
	w.waitSigned(t, last)
	same("later", w.auditor.caller)

	second := server.Config{Data: filepath.Join(t.TempDir(), "two"), NATSURL: url}
	if err := os.MkdirAll(second.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(second.Data, "root.key"), readFile(t, filepath.Join(s.Data, "root.key")), 0o600); err != nil {
		t.Fatal(err)
	}
	addr, _ := runNode(t, second)
	waitReady(t, "http://"+addr)
	same("on another node", caller{"http://" + addr, w.auditor.key})

	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"state.db", "access.db"} {
		if err := os.Remove(filepath.Join(s.Data, name)); err != nil {
			t.Fatal(err)
		}
	}
	s.start(t)
	same("after a rebuild", caller{s.URL, w.auditor.key})
}

// busy does some of everything that reports show.
func (w *auditWorld) busy(t *testing.T, round string) {
	t.Helper()
	p := w.team
	if round == "first" {
		w.writer.create(t, p, "kept", keyed("f", plain("x")))
	}
	e := w.writer.seal(t, p, round, "f", "x")
	w.writer.do(t, http.MethodPut, p.path(round), newSecret("=cmd|' /C calc'!A0", keyed("f", encrypted(e)))).ok(t, 201)
	for range 10 {
		w.writer.get(t, p, round)
		w.writer.released(t, p, round, "f", e.DataKey)
		w.admin.do(t, http.MethodGet, p.path(round), nil).code(t, "forbidden")
		w.admin.do(t, http.MethodGet, w.inOrg("teams"), nil).ok(t, 200)
	}
	w.writer.do(t, http.MethodPatch, p.path("kept"), obj{"rotateEvery": map[string]string{"first": "1d", "second": "2d"}[round]}).ok(t, 200)
	w.writer.do(t, http.MethodDelete, p.path(round), nil).ok(t, 200)
	m := w.newAgent(t, "+"+round)
	w.grant(t, m, p, "reader")
	w.admin.do(t, http.MethodDelete, w.membership(m, p), nil).ok(t, 200)
	w.admin.do(t, http.MethodDelete, w.inOrg("agents", m.id, "keys", m.keyID), nil).ok(t, 200)
}

func (w *auditWorld) accessSigned(t *testing.T) (size int) {
	t.Helper()
	r := w.auditor.send(t, http.MethodGet, "/log/access/checkpoint", nil)
	if lines := strings.Split(string(r.raw), "\n"); r.status == 200 && len(lines) > 1 {
		_, _ = fmt.Sscan(lines[1], &size)
	}
	return size
}

// checkManifest holds the manifest of a report in JSON Lines against its rows.
func checkManifest(t *testing.T, name string, report []byte) (m manifest) {
	t.Helper()
	at := bytes.LastIndex(bytes.TrimSuffix(report, []byte("\n")), []byte("\n")) + 1
	var line struct {
		Manifest json.RawMessage `json:"manifest"`
	}
	if err := json.Unmarshal(report[at:], &line); err != nil {
		t.Fatalf("%s: the last line is no manifest: %.300s", name, report[at:])
	}
	if err := json.Unmarshal(line.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(report[:at]); m.Report != name || m.Bytes != at || m.SHA256 != hex.EncodeToString(sum[:]) || m.Rows != bytes.Count(report[:at], []byte("\n")) {
		t.Errorf("%s: the manifest is not of these %d bytes: %+v", name, at, m)
	}
	unsigned, _, _ := strings.Cut(string(line.Manifest), `,"signature":`)
	_, key, _ := strings.Cut(m.Signature.Key, "+")
	_, key, _ = strings.Cut(key, "+")
	public, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(public) != 1+ed25519.PublicKeySize {
		t.Fatalf("%s: the key is %s", name, m.Signature.Key)
	}
	signature, err := base64.StdEncoding.DecodeString(m.Signature.Ed25519)
	if err != nil || !ed25519.Verify(public[1:], []byte("chancery/manifest/v1\n"+unsigned+"}"), signature) {
		t.Errorf("%s: the signature of the manifest does not verify: %v", name, err)
	}
	return m
}
