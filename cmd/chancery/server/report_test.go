package server

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/proof"
	"github.com/chancery-dev/chancery/reports"
)

// offlineReport makes a report on a stopped data directory.
func offlineReport(t *testing.T, cfg Config, q domain.ReportQuery) (text string, m reports.Manifest, settled domain.ReportQuery) {
	t.Helper()
	var b bytes.Buffer
	mustDo(t, Report(t.Context(), cfg, q, nil, func(p *reports.Prepared) (err error) {
		settled = p.Query
		m, err = p.Write(t.Context(), &b)
		return err
	}))
	return b.String(), m, settled
}

// TestReportsOfARealLog verifies that every report of a data directory can be
// made twice with the same bytes, also after the projection was thrown away,
// and that its manifest is covered by checkpoints and signed by their key.
func TestReportsOfARealLog(t *testing.T) {
	cfg := signedData(t)
	first := map[string]string{}
	for _, name := range reports.Names() {
		text, m, settled := offlineReport(t, cfg, domain.ReportQuery{Name: name.Name, Format: "jsonl"})
		first[name.Name] = text
		if m.Events.Checkpoint == "" || m.Signature == nil || m.Access != nil && m.Access.Checkpoint == "" {
			t.Errorf("%s is not signed: %+v", name.Name, m)
			continue
		}
		key, err := proof.ParseLogKey(m.Signature.Key)
		mustDo(t, err)
		signed, err := reports.SignedBytes(m)
		mustDo(t, err)
		if !key.VerifyManifest(signed, m.Signature.Ed25519) {
			t.Errorf("%s: the signature does not verify", name.Name)
		}
		if c, err := key.Open([]byte(m.Events.Checkpoint)); err != nil || c.Size < m.Events.To {
			t.Errorf("%s: the checkpoint covers %d of %d: %v", name.Name, c.Size, m.Events.To, err)
		}
		if settled.Events != m.Events.To {
			t.Errorf("%s: positions %d and %d", name.Name, settled.Events, m.Events.To)
		}
	}
	mustDo(t, os.RemoveAll(cfg.path(stateFile)))
	for _, name := range reports.Names() {
		if again, _, _ := offlineReport(t, cfg, domain.ReportQuery{Name: name.Name, Format: "jsonl"}); again != first[name.Name] {
			t.Errorf("%s gives other bytes", name.Name)
		}
	}
	if !strings.Contains(first["changes"], "Team 4") || !strings.Contains(first["audit-readers"], `"detail":"3"`) {
		t.Errorf("records are missing:\n%s\n%s", first["changes"], first["audit-readers"])
	}
}

// TestTheOldestCoveringCheckpoint verifies which checkpoint a manifest holds:
// the first that covers the position, and an unsigned position is refused.
func TestTheOldestCoveringCheckpoint(t *testing.T) {
	cfg := signedData(t)
	_, newest, _ := offlineReport(t, cfg, domain.ReportQuery{Name: "changes"})
	_, early, _ := offlineReport(t, cfg, domain.ReportQuery{Name: "changes", Events: 2})
	size, err := checkpointSize([]byte(early.Events.Checkpoint))
	if err != nil || size < 2 || size >= newest.Events.To {
		t.Errorf("%v: a checkpoint of %d leaves for position 2", err, size)
	}
	q := domain.ReportQuery{Name: "changes", Events: newest.Events.To + 1}
	err = Report(t.Context(), cfg, q, nil, func(*reports.Prepared) error { return nil })
	if domain.CodeOf(err) != domain.CodeInvalidQuery {
		t.Errorf("beyond the head: %v", err)
	}
}

// TestReportsWithoutTheRootKey verifies that a backup without its root key can
// be reported on, unsigned.
func TestReportsWithoutTheRootKey(t *testing.T) {
	cfg := signedData(t)
	mustDo(t, os.Remove(cfg.rootKeyFile()))
	if _, m, _ := offlineReport(t, cfg, domain.ReportQuery{Name: "integrity"}); m.Signature != nil || m.Events.Checkpoint == "" {
		t.Errorf("%+v", m)
	}
}
