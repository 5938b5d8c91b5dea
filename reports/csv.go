package reports

import (
	"io"
	"strings"
)

// csvFormat is RFC 4180: a header, CRLF at line ends, quotes where they are
// needed. A cell that a spreadsheet could take for a formula gets an apostrophe
// in front, and so does one that begins with an apostrophe: taking the first
// one away gives back what was there. The manifest stands beside the file: see
// [ManifestSuffix].
type csvFormat struct{}

// Name implements [Format].
func (csvFormat) Name() string { return "csv" }

// ContentType implements [Format].
func (csvFormat) ContentType() string { return "text/csv; charset=utf-8; header=present" }

// Extension implements [Format].
func (csvFormat) Extension() string { return "csv" }

// Encode implements [Format].
func (csvFormat) Encode(w io.Writer) Encoder { return &csvEncoder{w: w} }

type csvEncoder struct {
	w    io.Writer
	line []byte
}

// Begin implements [Encoder].
func (e *csvEncoder) Begin(h Header) error {
	names := make([]string, len(h.Columns))
	for i, c := range h.Columns {
		names[i] = c.Name
	}
	return e.write(names)
}

// Row implements [Encoder].
func (e *csvEncoder) Row(r Row) error {
	cells := make([]string, len(r.Values))
	for i, v := range r.Values {
		cells[i] = v.String()
	}
	return e.write(cells)
}

func (e *csvEncoder) write(cells []string) error {
	e.line = e.line[:0]
	for i, c := range cells {
		if i > 0 {
			e.line = append(e.line, ',')
		}
		c = harmless(c)
		if !strings.ContainsAny(c, ",\"\r\n") && strings.TrimSpace(c) == c {
			e.line = append(e.line, c...)
			continue
		}
		e.line = append(e.line, '"')
		e.line = append(e.line, strings.ReplaceAll(c, `"`, `""`)...)
		e.line = append(e.line, '"')
	}
	_, err := e.w.Write(append(e.line, "\r\n"...))
	return err
}

// formulas are what spreadsheets take as the start of a formula, their
// full-width forms too; blanks before them are skipped by some.
const formulas = "=+-@\t\r\n＝＋－＠'"

func harmless(c string) string {
	if c == "" {
		return c
	}
	if strings.ContainsRune(formulas, []rune(c)[0]) {
		return "'" + c
	}
	if first := strings.TrimSpace(c); first != "" && first != c && strings.ContainsRune(formulas, []rune(first)[0]) {
		return "'" + c
	}
	return c
}

// Flush implements [Encoder].
func (e *csvEncoder) Flush() error { return nil }

// End implements [Encoder].
func (e *csvEncoder) End(Manifest) error { return nil }
