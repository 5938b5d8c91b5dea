package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

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

// progress tells on a terminal how far a report has come; elsewhere it is
// silent. It is shown from the second on that the report takes.
type progress struct {
	a     *app
	on    bool
	begun time.Time
	last  time.Time
	drawn bool
}

func newProgress(a *app) *progress {
	_, on := terminal(a.stderr)
	return &progress{a: a, on: on, begun: time.Now()}
}

const (
	progressAfter = time.Second
	progressPause = 100 * time.Millisecond
	progressWidth = 30 // characters of the bar
)

func (p *progress) due() bool {
	now := time.Now()
	if !p.on || now.Sub(p.begun) < progressAfter || now.Sub(p.last) < progressPause {
		return false
	}
	p.last, p.drawn = now, true
	return true
}

// show is told how many records of how many were read.
func (p *progress) show(read, total uint64) {
	if total == 0 || !p.due() {
		return
	}
	fmt.Fprintf(p.a.stderr, "\r\x1b[K%s %d of %d records", bar(read, total), read, total)
}

func bar(read, total uint64) string {
	full := int(min(read, total) * progressWidth / total) //nolint:gosec // at most the width.
	line := make([]byte, progressWidth)
	for i := range line {
		line[i] = '.'
		if i < full {
			line[i] = '#'
		}
	}
	return "[" + string(line) + "]"
}

// reader counts what a server sends: how much will come is not known.
func (p *progress) reader(r io.Reader) io.Reader {
	return &progressReader{p: p, r: r}
}

type progressReader struct {
	p     *progress
	r     io.Reader
	bytes int64
}

// Read implements io.Reader.
func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if r.bytes += int64(n); r.p.due() {
		fmt.Fprintf(r.p.a.stderr, "\r\x1b[K%d KiB", r.bytes>>10)
	}
	return n, err
}

// end takes the line away.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprint(p.a.stderr, "\r\x1b[K")
	}
}
