package main

import (
	"fmt"
	"io"
	"time"
)

// progress tells on stderr how far a long command has come: with a bar on a
// terminal, from the second on that the command takes, elsewhere with a line
// every ten seconds.
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
	progressLines = 10 * time.Second
	progressWidth = 30 // characters of the bar
)

func (p *progress) due() bool {
	after, pause := progressAfter, progressPause
	if !p.on {
		after, pause = progressLines, progressLines
	}
	now := time.Now()
	if now.Sub(p.begun) < after || now.Sub(p.last) < pause {
		return false
	}
	p.last, p.drawn = now, true
	return true
}

// line shows a text in the place of the one before, or behind it where there
// is no place.
func (p *progress) line(text string) {
	if p.on {
		text = clearLine + text
	} else {
		text += "\n"
	}
	fmt.Fprint(p.a.stderr, text)
}

const clearLine = "\r\x1b[K"

// show is told how many of how many of something were done.
func (p *progress) show(done, total uint64, what string) {
	if total == 0 || !p.due() {
		return
	}
	p.line(fmt.Sprintf("%s %d of %d %s", bar(done, total), done, total, what))
}

// read is told how many records of how many were read.
func (p *progress) read(read, total uint64) { p.show(read, total, "records") }

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
		r.p.line(fmt.Sprintf("%d KiB", r.bytes>>10))
	}
	return n, err
}

// end takes the line away.
func (p *progress) end() {
	if p.drawn && p.on {
		fmt.Fprint(p.a.stderr, clearLine)
	}
}
