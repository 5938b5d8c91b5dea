package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// Source reads the static files of one log (C2SP tlog-tiles) by their path:
// "checkpoint", "key", "tile/0/000", "tile/entries/x001/234.p/5".
type Source interface {
	// Read gives a whole file. fs.ErrNotExist: there is none.
	Read(ctx context.Context, path string) ([]byte, error)
}

// The files that have a name of their own.
const (
	// CheckpointPath is the newest signed note.
	CheckpointPath = "checkpoint"
	// KeyPath is the log's key, one line; no part of C2SP tlog-tiles.
	KeyPath = "key"
)

// entriesLevel is the level that stands for entry bundles in a [tlog.Tile].
const entriesLevel = -1

// tilePath gives the path of a tile or, on entriesLevel, of an entry bundle
// of so many hashes or entries: 1 to 256.
func tilePath(level int, index uint64, width uint64) string {
	return torchwood.TilePath(tlog.Tile{H: tileHeight, L: level, N: signed(index), W: int(signed(width))})
}

// widthAt says how many hashes or entries a tile has in a tree of a size.
func widthAt(level int, index, size uint64) uint64 {
	if level > 0 {
		size >>= tileHeight * level
	}
	if size <= index*tileWidth {
		return 0
	}
	return min(tileWidth, size-index*tileWidth)
}

// readTile reads a partial tile or, where that is gone, the full one: a log
// may remove what a full tile has made superfluous.
func readTile(ctx context.Context, s Source, level int, index, width uint64) ([]byte, error) {
	content, err := s.Read(ctx, tilePath(level, index, width))
	if width < tileWidth && errors.Is(err, fs.ErrNotExist) {
		if full, second := s.Read(ctx, tilePath(level, index, tileWidth)); !errors.Is(second, fs.ErrNotExist) {
			return full, second
		}
	}
	return content, err
}

// sourceTiles shows the hash tiles of a source as they are in a tree of a
// size.
type sourceTiles struct {
	ctx    context.Context //nolint:containedctx // one reading: the interface of stored tiles has none.
	source Source
	size   uint64
}

// Tile implements [Tiles]. A tile that is not there is nil.
func (s sourceTiles) Tile(level int, index uint64) ([]byte, error) {
	width := widthAt(level, index, s.size)
	if width == 0 {
		return nil, nil
	}
	content, err := readTile(s.ctx, s.source, level, index, width)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case uint64(len(content)) != width*tlog.HashSize && len(content) != tileWidth*tlog.HashSize:
		return nil, nil // of no length that a tile has
	}
	return content[:width*tlog.HashSize], nil
}

// PutTile implements [Tiles]; a source is only read.
func (sourceTiles) PutTile(int, uint64, []byte) error { return errors.ErrUnsupported }

// DirSource reads the files below a directory. Close it.
type DirSource struct{ root *os.Root }

// OpenDir gives the files below a directory, which must be there.
func OpenDir(dir string) (*DirSource, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &DirSource{root: root}, nil
}

// Read implements [Source].
func (d *DirSource) Read(_ context.Context, path string) ([]byte, error) {
	f, err := d.root.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read.
	return readBounded(f, path)
}

// Close gives the directory back.
func (d *DirSource) Close() error { return d.root.Close() }

// HTTPSource reads the files of a log from a server.
type HTTPSource struct {
	// Base is the URL that the paths go behind.
	Base string
	// Do sends a request with whatever it needs to be allowed; it is called
	// by one goroutine at a time.
	Do func(*http.Request) (*http.Response, error)
}

// Read implements [Source].
func (h HTTPSource) Read(ctx context.Context, path string) (_ []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(h.Base, "/")+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := h.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	switch res.StatusCode {
	case http.StatusOK:
		return readBounded(res.Body, path)
	case http.StatusNotFound:
		return nil, &fs.PathError{Op: "GET", Path: path, Err: fs.ErrNotExist}
	}
	return nil, fmt.Errorf("proof: GET %s: status %d", path, res.StatusCode)
}

// maxFile bounds a file in bytes: an entry bundle of the longest entries.
const maxFile = tileWidth * (2 + maxEntry)

func readBounded(r io.Reader, path string) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("proof: %s has more than %d bytes", path, maxFile)
	}
	return content, err
}
