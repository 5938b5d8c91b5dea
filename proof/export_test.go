package proof_test

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/proof"
)

// exportTo gives the export of the log up to its newest checkpoint.
func (l *sampleLog) exportTo(dir string) proof.Export {
	return proof.Export{
		Log: sampleName, Key: l.public, Checkpoint: l.notes[len(l.notes)-1], Dir: dir,
		Leaves: func(_ context.Context, after uint64) iter.Seq2[proof.Leaf, error] { return leavesOf(l.leaves, after) },
	}
}

func mustExport(t testing.TB, e proof.Export) proof.Exported {
	t.Helper()
	done, err := e.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// mustVerifyDir verifies an export by our code and by torchwood's client.
func mustVerifyDir(t testing.TB, l *sampleLog, dir string) proof.Result {
	t.Helper()
	res, err := verifyDir(l, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := torchwoodVerify(l.public, dir, l.leaves); err != nil {
		t.Fatalf("torchwood: %v", err)
	}
	return res
}

func verifyDir(l *sampleLog, dir string) (res proof.Result, err error) {
	source, err := proof.OpenDir(dir)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	return proof.VerifySource(context.Background(), sampleName, l.public, source)
}

// torchwoodVerify reads a whole export with torchwood's client alone.
func torchwoodVerify(key proof.LogKey, dir string, leaves [][]byte) error {
	files, err := torchwood.NewTileFS(os.DirFS(dir))
	if err != nil {
		return err
	}
	text, err := files.ReadEndpoint(context.Background(), "checkpoint")
	if err != nil {
		return err
	}
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(key.Origin()), torchwood.SingleVerifierPolicy(key.Verifier()))
	checkpoint, _, err := torchwood.VerifyCheckpoint(text, policy)
	if err != nil {
		return err
	}
	client, err := torchwood.NewClient(files)
	if err != nil {
		return err
	}
	n := int64(0)
	for i, entry := range client.AllEntries(context.Background(), checkpoint.Tree, 0) {
		if i != n || leaves != nil && string(entry) != string(leaves[i]) {
			return errors.New("another entry than the leaf")
		}
		n++
	}
	if err := client.Err(); err != nil {
		return err
	}
	if n != checkpoint.N {
		return errors.New("not every entry was given")
	}
	return nil
}

// TestExportAndVerify: exports of a growing log verify each time, by our code
// and by torchwood's, hold what the newest checkpoint covers, and leave full
// tiles untouched.
func TestExportAndVerify(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := filepath.Join(t.TempDir(), "out", sampleName)
		l := newSampleLog(t, "org_1")
		before, times := uint64(0), map[string]fs.FileInfo{}
		for range rapid.IntRange(1, 5).Draw(rt, "exports") {
			l.grow(t, rapid.SampledFrom([]int{0, 1, 3, 255, 256, 257, 700}).Draw(rt, "leaves"))
			done := mustExport(t, l.exportTo(dir))
			if done.From != before || done.Signed.Size != l.tree.Size {
				rt.Fatalf("from %d to %d; want %d to %d", done.From, done.Signed.Size, before, l.tree.Size)
			}
			before = l.tree.Size
			if res := mustVerifyDir(t, l, dir); res.Head != l.tree.Size || res.Uncovered() != 0 {
				rt.Fatalf("%+v", res)
			}
			for path, info := range filesBelow(t, dir) {
				if old, ok := times[path]; ok && path != "checkpoint" && !os.SameFile(old, info) {
					rt.Fatalf("%s was written again", path)
				}
				if strings.HasSuffix(path, ".new") || strings.Contains(path, ".p/") && fullIsThere(dir, path) {
					rt.Fatalf("%s was left", path)
				}
				times[path] = info
			}
			if again := mustExport(t, l.exportTo(dir)); again.Files != 0 {
				rt.Fatalf("%d files were written again", again.Files)
			}
		}
	})
}

func fullIsThere(dir, partial string) bool {
	full, _, _ := strings.Cut(partial, ".p/")
	_, err := os.Stat(filepath.Join(dir, full))
	return err == nil
}

func filesBelow(t testing.TB, dir string) map[string]fs.FileInfo {
	t.Helper()
	files := map[string]fs.FileInfo{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		files[filepath.ToSlash(strings.TrimPrefix(path, dir+string(filepath.Separator)))] = info
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var errCut = errors.New("cut off")

// TestExportCutOff: an export that ends at any leaf leaves the one before, as
// it was, and the next run makes up for it.
func TestExportCutOff(t *testing.T) {
	dir := filepath.Join(t.TempDir(), sampleName)
	l := newSampleLog(t, "org_1")
	l.grow(t, 300)
	mustExport(t, l.exportTo(dir))
	l.grow(t, 900)
	for cut := uint64(257); cut < 1200; cut += 157 {
		e := l.exportTo(dir)
		e.Leaves = func(_ context.Context, after uint64) iter.Seq2[proof.Leaf, error] {
			return func(yield func(proof.Leaf, error) bool) {
				for leaf, err := range leavesOf(l.leaves[:cut], after) {
					if !yield(leaf, err) {
						return
					}
				}
				yield(proof.Leaf{}, errCut)
			}
		}
		if _, err := e.Run(t.Context()); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		if res := mustVerifyDir(t, l, dir); res.Head != 300 {
			t.Fatalf("after a cut at %d the export has %d leaves", cut, res.Head)
		}
	}
	// What a run left that read other leaves is not kept.
	e := l.exportTo(dir)
	e.Leaves = func(_ context.Context, after uint64) iter.Seq2[proof.Leaf, error] {
		altered := slices.Clone(l.leaves)
		altered[310] = []byte("other")
		return leavesOf(altered, after)
	}
	_, err := e.Run(t.Context())
	wantFault(t, err, 1, 1200)
	if res := mustVerifyDir(t, l, dir); res.Head != 300 {
		t.Fatalf("%+v", res)
	}
	mustExport(t, l.exportTo(dir))
	if res := mustVerifyDir(t, l, dir); res.Head != 1200 {
		t.Fatalf("%+v", res)
	}
}

// TestExportRefuses: what would overwrite another log, or a longer one, changes
// nothing.
func TestExportRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), sampleName)
	l := newSampleLog(t, "org_1")
	l.grow(t, 10)
	shorter := l.exportTo(dir)
	l.grow(t, 300)
	mustExport(t, l.exportTo(dir))
	other := newSampleLog(t, "org_2")
	other.grow(t, 500)
	forked := newSampleLog(t, "org_1")
	forked.leaves = [][]byte{[]byte("not leaf 0")}
	forked.tree.Append([]hash{proof.LeafHash(forked.leaves[0])}) //nolint:errcheck // a map.
	forked.grow(t, 309)
	sameSize := forked.exportTo(dir)
	forked.grow(t, 1)
	before := filesBelow(t, dir)
	for name, tc := range map[string]struct {
		export proof.Export
		want   error
	}{
		"another log": {other.exportTo(dir), proof.ErrOtherLog},
		"longer":      {shorter, proof.ErrLongerLog},
		"fork":        {sameSize, nil},
		"later fork":  {forked.exportTo(dir), nil},
	} {
		_, err := tc.export.Run(t.Context())
		if _, fault := errors.AsType[*proof.Fault](err); fault != (tc.want == nil) || !fault && !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		for path, info := range filesBelow(t, dir) {
			if old, ok := before[path]; !ok || !os.SameFile(old, info) {
				t.Errorf("%s: wrote %s", name, path)
			}
		}
	}
	mustVerifyDir(t, l, dir)
}

// TestMutatedExport: whatever is changed, lost or swapped in an export, neither
// our code nor torchwood's accepts it.
func TestMutatedExport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), sampleName)
	l := newSampleLog(t, "org_1")
	l.grow(t, 600)
	mustExport(t, l.exportTo(dir))
	for path := range filesBelow(t, dir) {
		if path == "key" {
			continue
		}
		name := filepath.Join(dir, path)
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		changes := map[string][]byte{
			"first byte": flip(content, 0), "middle byte": flip(content, len(content)/2), "last byte": flip(content, len(content)-1),
			"cut": content[:len(content)-1], "longer": append(slices.Clone(content), 0), "empty": {}, "gone": nil,
		}
		if path == "checkpoint" {
			delete(changes, "longer") // refused by ours alone, for not being canonical
			delete(changes, "last byte")
		}
		for what, changed := range changes {
			if changed == nil {
				err = os.Remove(name)
			} else {
				err = os.WriteFile(name, changed, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := verifyDir(l, dir); err == nil {
				t.Errorf("%s, %s: accepted", path, what)
			}
			// Torchwood's client reads no more of an upper tile than it needs.
			if err := torchwoodVerify(l.public, dir, nil); err == nil && !strings.HasPrefix(path, "tile/") {
				t.Errorf("%s, %s: accepted by torchwood", path, what)
			}
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustVerifyDir(t, l, dir)
}

// TestSources: the files of a log verify and export the same over HTTP, and a
// full tile stands in for a partial one.
func TestSources(t *testing.T) {
	dir := filepath.Join(t.TempDir(), sampleName)
	l := newSampleLog(t, "org_1")
	l.grow(t, 300)
	mustExport(t, l.exportTo(dir))
	note, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	l.grow(t, 400)
	mustExport(t, l.exportTo(dir))
	if err := os.WriteFile(filepath.Join(dir, "checkpoint"), note, 0o600); err != nil {
		t.Fatal(err)
	}
	if res, err := verifyDir(l, dir); err != nil || res.Head != 300 {
		t.Fatalf("with full tiles in place of partial ones: %+v, %v", res, err)
	}
	asked := 0
	server := httptest.NewServer(http.FileServerFS(os.DirFS(dir)))
	defer server.Close()
	source := proof.HTTPSource{Base: server.URL, Do: func(r *http.Request) (*http.Response, error) {
		asked++
		return server.Client().Do(r)
	}}
	if res, err := proof.VerifySource(t.Context(), sampleName, l.public, source); err != nil || res.Head != 300 || asked == 0 {
		t.Fatalf("over HTTP: %+v, %v", res, err)
	}
	if key, err := proof.SourceKey(t.Context(), source); err != nil || key.VKey() != l.public.VKey() {
		t.Errorf("the key: %v", err)
	}
	if _, err := source.Read(t.Context(), "tile/0/900"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	copied := filepath.Join(t.TempDir(), sampleName)
	e := l.exportTo(copied)
	e.Checkpoint = note
	e.Leaves = func(ctx context.Context, after uint64) iter.Seq2[proof.Leaf, error] {
		return proof.SourceLeaves(ctx, sampleName, source, after, 300)
	}
	mustExport(t, e)
	if res := mustVerifyDir(t, l, copied); res.Head != 300 {
		t.Errorf("%+v", res)
	}
}

// TestBundleOf: bundles on demand are those that are exported.
func TestBundleOf(t *testing.T) {
	dir := filepath.Join(t.TempDir(), sampleName)
	l := newSampleLog(t, "org_1")
	l.grow(t, 600)
	mustExport(t, l.exportTo(dir))
	from := func(after uint64) iter.Seq2[proof.Leaf, error] { return leavesOf(l.leaves, after) }
	for index, width := range []int{256, 256, 88} {
		want, err := os.ReadFile(filepath.Join(dir, torchwood.TilePath(tlog.Tile{H: 8, L: -1, N: int64(index), W: width})))
		if err != nil {
			t.Fatal(err)
		}
		got, err := proof.BundleOf(uint64(index), width, from)
		if err != nil || string(got) != string(want) {
			t.Errorf("bundle %d: %d bytes, %v; want %d", index, len(got), err, len(want))
		}
	}
	if _, err := proof.BundleOf(2, 89, from); !errors.Is(err, proof.ErrBundle) {
		t.Errorf("more than there is: %v", err)
	}
	if _, err := proof.AppendEntry(nil, make([]byte, 1<<16)); !errors.Is(err, proof.ErrBundle) {
		t.Errorf("an entry of 64 KiB: %v", err)
	}
}

// FuzzEntries: what splits into entries is put together again to the same
// bytes, and nothing panics.
func FuzzEntries(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 0, 0}, 2)
	f.Add([]byte{0, 9, 'a'}, 1)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, bundle []byte, width int) {
		if width < 0 || width > 256 {
			return
		}
		var again []byte
		n := 0
		for entry, err := range proof.Entries(bundle, width) {
			if err != nil {
				if !errors.Is(err, proof.ErrBundle) {
					t.Fatal(err)
				}
				return
			}
			if again, err = proof.AppendEntry(again, entry); err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != width || string(again) != string(bundle) {
			t.Fatalf("%d entries of %d, %x of %x", n, width, again, bundle)
		}
	})
}
