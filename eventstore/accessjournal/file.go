package accessjournal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// directory is where the journal's file lies. Tests replace it.
type directory interface {
	// load returns the file's content, nil where there is no file.
	load() ([]byte, error)
	// replace puts a new file with this content in the place of the old one,
	// durably, and opens it. A crash leaves either of them.
	replace(content []byte) (file, error)
}

// file is the open journal.
type file interface {
	io.WriterAt
	io.Closer
	// Sync makes everything durable that was written before.
	Sync() error
}

// osDirectory is a file by its path.
type osDirectory string

func (path osDirectory) load() ([]byte, error) {
	content, err := os.ReadFile(string(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}

func (path osDirectory) replace(content []byte) (file, error) {
	made := string(path) + ".new"                                          // a crash leaves it to the next start, which writes over it
	f, err := os.OpenFile(made, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // in the data directory.
	if err != nil {
		return nil, err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := os.Rename(made, string(path)); err != nil {
		return nil, err
	}
	d, err := os.Open(filepath.Dir(string(path)))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return nil, err
	}
	f, err = os.OpenFile(string(path), os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

type osFile struct{ *os.File }

func (f osFile) Sync() error { return datasync(f.File) }
