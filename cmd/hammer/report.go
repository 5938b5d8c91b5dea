package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// The marks between which --out puts the report.
const (
	beginMark = "<!-- hammer begin -->"
	endMark   = "<!-- hammer end -->"
)

// report is everything that a call of this program found out.
type findings struct {
	o        options
	when     time.Time
	runs     []result
	ceilings ceilings
	timings  []timing
}

// timing is something that was done once.
type timing struct {
	what   string
	took   time.Duration
	events uint64 // that were gone through; 0 for none
	memory int64  // bytes, the most that the process had; 0 for not measured
}

// markdown writes the report.
func (f findings) markdown(w io.Writer) {
	fmt.Fprintf(w, "Measured on %s: %s. %d secrets with 2 fields, %d with an encrypted one, %d events of one secret; %v a run, the median of %d.\n\n",
		f.when.UTC().Format("2006-01-02"), machine(), f.o.secrets, f.o.sealed, f.o.history, f.o.duration, f.o.runs)
	if f.o.ceilings {
		f.ceilingTable(w)
	}
	fmt.Fprintln(w, "| work | connections | a second | p50 | p90 | p99 | p99.9 | most | server CPU each | of echo | per fsync | of log | RssAnon |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range medians(f.runs) {
		fmt.Fprintf(w, "| %s | %d | %.0f |", r.work, r.conns, r.rate)
		for _, q := range shown() {
			fmt.Fprintf(w, " %s |", readable(r.quantiles[q]))
		}
		fmt.Fprintf(w, " %s | %s | %s | %s | %d MB |\n", readable(r.cpu),
			ratio(r.rate, f.ceilings.echo[r.conns]), ratio(r.rate, f.ceilings.fsync), ratio(r.rate, f.ceilings.log[r.conns]), r.anon>>20)
	}
	for _, r := range medians(f.runs) {
		if r.errors > 0 {
			fmt.Fprintf(w, "\n**%s, %d connections: %d requests failed: %s**\n", r.work, r.conns, r.errors, r.complaint)
		}
	}
	if len(f.timings) > 0 {
		fmt.Fprint(w, "\n| what | took | events a second | memory |\n|---|--:|--:|--:|\n")
		for _, t := range f.timings {
			fmt.Fprintf(w, "| %s | %s |", t.what, readable(t.took))
			if t.events > 0 {
				fmt.Fprintf(w, " %.0f |", float64(t.events)/t.took.Seconds())
			} else {
				fmt.Fprint(w, " |")
			}
			if t.memory > 0 {
				fmt.Fprintf(w, " %d MB |\n", t.memory>>20)
			} else {
				fmt.Fprintln(w, " |")
			}
		}
	}
}

func (f findings) ceilingTable(w io.Writer) {
	fmt.Fprintln(w, "| ceiling | callers | a second |")
	fmt.Fprintln(w, "|---|--:|--:|")
	fmt.Fprintf(w, "| one append of 4 KiB with fsync after another | 1 | %.0f |\n", f.ceilings.fsync)
	for _, n := range f.o.conns {
		fmt.Fprintf(w, "| echo: a handler that does nothing | %d | %.0f |\n", n, f.ceilings.echo[n])
	}
	for _, n := range f.o.conns {
		fmt.Fprintf(w, "| log: an event appended to JetStream, on disk before the answer | %d | %.0f |\n", n, f.ceilings.log[n])
	}
	fmt.Fprintln(w)
}

func ratio(a, b float64) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a/b)
}

// readable rounds to three digits or so.
func readable(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.0f µs", micros(d))
}

// header names the machine as the benchmark format does.
func header(w io.Writer) {
	fmt.Fprintf(w, "goos: %s\ngoarch: %s\ncpu: %s\n", runtime.GOOS, runtime.GOARCH, processor())
}

func machine() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(fmt.Sprintf("%d cores of %s, shared with the load generator, %s %s, %s",
		runtime.NumCPU(), processor(), runtime.GOOS, strings.TrimSpace(string(kernel)), runtime.Version()))
}

func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// checkMarks makes sure that a report can be put into a file.
func checkMarks(path string) error {
	_, _, err := splitAtMarks(path)
	return err
}

func splitAtMarks(path string) (before, after []byte, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	before, rest, ok := bytes.Cut(text, []byte(beginMark))
	_, after, closed := bytes.Cut(rest, []byte(endMark))
	if !ok || !closed {
		return nil, nil, fmt.Errorf("--out: %s has no %s … %s", path, beginMark, endMark)
	}
	return before, after, nil
}

// replace puts a report between the marks of a file and leaves the rest.
func replace(path string, report []byte) error {
	before, after, err := splitAtMarks(path)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%s\n\n%s\n%s%s", before, beginMark, report, endMark, after)
	return os.WriteFile(path, b.Bytes(), 0o644) //nolint:gosec // documentation.
}
