package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/chancery-dev/chancery/reports"
)

// manifestFile ends the name of the file that holds the manifest of a report
// whose format has no place for one.
const manifestFile = ".manifest.json"

// besideFile says whether a format's manifest goes into a file of its own.
func besideFile(format string) bool {
	for _, f := range reports.Formats() {
		if f.Name() == format {
			return reports.Bare(f)
		}
	}
	return false
}

// writeOut writes to a file as a stream, or to standard output for "". The file
// is there whole or not at all: a crash or an error leaves what was there
// before, and at most a file whose name begins with a dot.
func (a *app) writeOut(name string, write func(io.Writer) error) (err error) {
	if name == "" {
		return write(a.stdout)
	}
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, "."+filepath.Base(name)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreClosed(f.Close()), os.Remove(f.Name()))
		}
	}()
	b := bufio.NewWriterSize(f, 64<<10)
	if err := write(b); err != nil {
		return err
	}
	// Durable before it has its name, and the name before success is told.
	if err := errors.Join(b.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncDirectory(dir)
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil //nolint:nilerr // the file is there; not every system opens directories.
	}
	return errors.Join(d.Sync(), d.Close())
}

func readManifest(name string) (m reports.Manifest, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return m, err
	}
	var line struct{ Manifest reports.Manifest }
	if err := json.Unmarshal(text, &line); err != nil {
		return m, fmt.Errorf("%s holds no manifest: %w", name, err)
	}
	return line.Manifest, nil
}
