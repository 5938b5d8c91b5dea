package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/proof"
)

// dirFiles gives the files of an export.
func dirFiles(t *testing.T, out string) LogFiles {
	t.Helper()
	sources := map[string]proof.Source{}
	for _, log := range []string{proof.LogEvents, proof.LogAccess} {
		source, err := proof.OpenDir(filepath.Join(out, log))
		mustDo(t, err)
		t.Cleanup(func() { mustDo(t, source.Close()) })
		sources[log] = source
	}
	return LogFiles{
		Source:   func(log string) proof.Source { return sources[log] },
		FoundKey: func(ctx context.Context, log string) (proof.LogKey, error) { return proof.SourceKey(ctx, sources[log]) },
	}
}

// TestExport: an export of a stopped server's logs verifies by itself, goes on
// where it ended, and from there gives the same files again.
func TestExport(t *testing.T) {
	cfg := signedData(t)
	out := filepath.Join(t.TempDir(), "deep", "out")
	report, err := Export(t.Context(), cfg, out, nil)
	mustDo(t, err)
	if e := report.Logs[0]; e.Log != proof.LogEvents || e.From != 0 || e.Size != 19 || e.Files == 0 {
		t.Errorf("%+v", report)
	}
	openAndLook(t, cfg, func(s *store) {
		org, err := s.rootOrganization()
		mustDo(t, err)
		makeTeams(t, s, org, 30)
		signLogs(t, s, org)
	})
	report, err = Export(t.Context(), cfg, out, nil)
	mustDo(t, err)
	if e := report.Logs[0]; e.From != 19 || e.Size != 49 {
		t.Errorf("%+v", report)
	}
	verified, err := VerifyFiles(t.Context(), dirFiles(t, out))
	mustDo(t, err)
	proved, err := Verify(t.Context(), cfg, nil)
	mustDo(t, err)
	for i, l := range verified.Logs {
		if l.Root != proved.Logs[i].Root || l.Size != proved.Logs[i].Size || verified.Keys[i] != proved.Keys[i] {
			t.Errorf("%+v is not %+v", l, proved.Logs[i])
		}
	}
	again := filepath.Join(t.TempDir(), "again")
	_, err = ExportFrom(t.Context(), dirFiles(t, out), again)
	mustDo(t, err)
	for _, path := range []string{"events/checkpoint", "events/tile/entries/000.p/49", "access/tile/0/000.p/12"} {
		if string(mustRead(t, filepath.Join(out, path))) != string(mustRead(t, filepath.Join(again, path))) {
			t.Errorf("%s differs", path)
		}
	}
}

// TestExportFindsARollback: everything turned back at once agrees with itself,
// and nothing in the data directory tells. The export does.
func TestExportFindsARollback(t *testing.T) {
	cfg := signedData(t)
	older := copyData(t, cfg)
	openAndLook(t, cfg, func(s *store) {
		org, err := s.rootOrganization()
		mustDo(t, err)
		makeTeams(t, s, org, 3)
		signLogs(t, s, org)
	})
	out := t.TempDir()
	_, err := Export(t.Context(), cfg, out, nil)
	mustDo(t, err)
	if _, err := Verify(t.Context(), older, nil); err != nil {
		t.Errorf("a copy from before: %v", err)
	}
	if _, err := Export(t.Context(), older, out, nil); !errors.Is(err, proof.ErrLongerLog) {
		t.Errorf("exporting a copy from before: %v", err)
	}
	if _, err := Export(t.Context(), signedData(t), out, nil); !errors.Is(err, proof.ErrOtherLog) {
		t.Errorf("exporting another server: %v", err)
	}
}

// TestExpiredAccess: messages that have expired are no fault if the edge of
// their tree was kept and signed; else they are.
func TestExpiredAccess(t *testing.T) {
	cfg := signedData(t)
	openAndLook(t, cfg, func(s *store) {
		org, err := s.rootOrganization()
		mustDo(t, err)
		keepFrontier(t, s)
		recordAccess(t, s, org, 1)
		signLogs(t, s, org)
	})
	shrink(t, cfg, eventstore.AccessStream)
	report, err := Verify(t.Context(), cfg, nil)
	mustDo(t, err)
	if l := report.Logs[1]; l.First != 13 || l.Head != 13 || l.Size != 13 {
		t.Errorf("%+v", l)
	}
	if _, err := Export(t.Context(), cfg, t.TempDir(), nil); err == nil {
		t.Error("an export began behind what has expired")
	}
	openAndLook(t, cfg, func(s *store) {
		org, err := s.rootOrganization()
		mustDo(t, err)
		recordAccess(t, s, org, 2)
	})
	shrink(t, cfg, eventstore.AccessStream)
	_, err = Verify(t.Context(), cfg, nil)
	if fault, ok := errors.AsType[*proof.Fault](err); !ok || fault.Log != proof.LogAccess || fault.Position != 1 {
		t.Errorf("without a frontier: %v", err)
	}
}

// keepFrontier stores the right edge of the access log's tree.
func keepFrontier(t *testing.T, s *store) {
	t.Helper()
	access, err := eventstore.OpenAccessLog(t.Context(), s.conn, eventstore.AccessOptions{})
	mustDo(t, err)
	tree := &proof.Tree{Tiles: tilesInMemory{}}
	for m, err := range access.Read(t.Context(), 0) {
		mustDo(t, err)
		appendLeaf(t, tree, m)
	}
	rows, err := tree.Frontier(tree.Size)
	mustDo(t, err)
	raw, err := proof.Frontier{Size: tree.Size, Rows: rows}.Encode()
	mustDo(t, err)
	proofs, err := eventstore.OpenProofStore(t.Context(), s.conn, 1)
	mustDo(t, err)
	_, err = proofs.AddFrontier(t.Context(), 0, raw)
	mustDo(t, err)
}

func appendLeaf(t *testing.T, tree *proof.Tree, m domain.AccessMessage) {
	t.Helper()
	mustDo(t, tree.Append([]leafHash{proof.LeafHash(m.Raw)}))
}

// TestExportLocksItsDirectory: two exports into one directory would take each
// other's files away.
func TestExportLocksItsDirectory(t *testing.T) {
	out := t.TempDir()
	unlock, err := lockDirectory(out)
	mustDo(t, err)
	if _, err := ExportFrom(t.Context(), LogFiles{}, out); err == nil {
		t.Error("a locked directory was written to")
	}
	mustDo(t, unlock())
	if there, err := os.ReadDir(out); err != nil || len(there) != 1 {
		t.Errorf("%v, %v", there, err)
	}
}
