package reports

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tableFormat is text for people. The first rows decide how wide the columns
// are; a later cell that is wider pushes its row out.
type tableFormat struct{}

// tableLook is how many rows decide on the widths.
const tableLook = 200

// Name implements [Format].
func (tableFormat) Name() string { return "table" }

// ContentType implements [Format].
func (tableFormat) ContentType() string { return "text/plain; charset=utf-8" }

// Extension implements [Format].
func (tableFormat) Extension() string { return "txt" }

// Encode implements [Format].
func (tableFormat) Encode(w io.Writer) Encoder { return &tableEncoder{w: w} }

type tableEncoder struct {
	w      io.Writer
	widths []int
	kept   [][]string
	fixed  bool
}

// Begin implements [Encoder].
func (e *tableEncoder) Begin(h Header) error {
	head := make([]string, len(h.Columns))
	for i, c := range h.Columns {
		head[i] = strings.ToUpper(c.Title)
	}
	e.widths, e.kept = make([]int, len(head)), [][]string{head}
	_, err := fmt.Fprintf(e.w, "%s\n\n", h.Title)
	return err
}

// Row implements [Encoder].
func (e *tableEncoder) Row(r Row) error {
	cells := make([]string, len(r.Values))
	for i, v := range r.Values {
		cells[i] = plain(v.String())
	}
	if e.fixed {
		return e.write(cells)
	}
	if e.kept = append(e.kept, cells); len(e.kept) <= tableLook {
		return nil
	}
	return e.Flush()
}

// plain keeps a cell from breaking the table or the terminal: what does not
// print, marks that turn the direction of text included, is quoted.
func plain(s string) string {
	if s == "" {
		return "-"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.QuoteToGraphic(s)
	}
	return s
}

// Flush implements [Encoder].
func (e *tableEncoder) Flush() error {
	e.fixed = true
	for _, row := range e.kept {
		for i, c := range row {
			e.widths[i] = max(e.widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, row := range e.kept {
		if err := e.write(row); err != nil {
			return err
		}
	}
	e.kept = nil
	return nil
}

func (e *tableEncoder) write(cells []string) error {
	var line strings.Builder
	for i, c := range cells {
		line.WriteString(c)
		if i < len(cells)-1 {
			line.WriteString(strings.Repeat(" ", max(0, e.widths[i]-utf8.RuneCountInString(c))+2))
		}
	}
	_, err := io.WriteString(e.w, strings.TrimRight(line.String(), " ")+"\n")
	return err
}

// End implements [Encoder]. People are told what the rows were made from; the
// manifest itself is for programs and goes beside the table.
func (e *tableEncoder) End(m Manifest) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d rows", m.Rows)
	if m.Rows != m.Population {
		fmt.Fprintf(&b, ", a sample of %d (seed %d)", m.Population, m.Query.Seed)
	}
	fmt.Fprintf(&b, "\nevents %d to %d\n", m.Events.From, m.Events.To)
	if m.Access != nil {
		fmt.Fprintf(&b, "access messages %d to %d\n", m.Access.From, m.Access.To)
	}
	fmt.Fprintf(&b, "sha256 %s of the %d bytes above\n", m.SHA256, m.Bytes)
	_, err := io.WriteString(e.w, b.String())
	return err
}
