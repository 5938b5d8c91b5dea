package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/chancery-dev/chancery/httpapi/wire"
)

// emit prints data as JSON with --json, else what human writes.
func (a *app) emit(data any, human func(w io.Writer) error) error {
	var b bytes.Buffer
	if a.json {
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(data); err != nil {
			return fmt.Errorf("encoding the answer: %w", err)
		}
	} else if err := human(&b); err != nil {
		return err
	}
	_, err := a.stdout.Write(b.Bytes())
	return err
}

// say prints one line, or data with --json.
func (a *app) say(data any, format string, args ...any) error {
	return a.emit(data, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		return err
	})
}

// table is rows under a header.
type table struct {
	header []string
	rows   [][]string
}

func newTable(header ...string) *table { return &table{header: header} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table in columns, the header bold where that shows.
func (a *app) print(w io.Writer, t *table) error {
	var b bytes.Buffer
	tw := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, c := range row {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, cell(c))
		}
		fmt.Fprintln(tw)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		line = strings.TrimRight(line, " ")
		if i == 0 && a.color() {
			line = "\x1b[1m" + line + "\x1b[0m"
		}
		fmt.Fprintln(w, line)
	}
	return nil
}

// cell keeps a value from breaking the table or the terminal.
func cell(s string) string {
	if s == "" {
		return "-"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(s)
	}
	return s
}

// color follows https://no-color.org.
func (a *app) color() bool {
	_, tty := terminal(a.stdout)
	return tty && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
}

func timeCell(t *wire.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.String()
}

func versionCell(v uint64) string { return "v" + strconv.FormatUint(v, 10) }
