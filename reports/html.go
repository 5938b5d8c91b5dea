package reports

import (
	_ "embed"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/chancery-dev/chancery/domain"
)

//go:embed html.tmpl
var htmlText string

// htmlFormat is one page that needs nothing beside it: no scripts, no requests.
// Rows are written as they come; the picture of when they were follows them and
// is counted in a bounded number of buckets meanwhile. Whatever a row holds is
// text to the page: html/template escapes it, and marks that do not print or
// that turn the direction of text are shown as their numbers.
type htmlFormat struct{}

// Name implements [Format].
func (htmlFormat) Name() string { return "html" }

// ContentType implements [Format].
func (htmlFormat) ContentType() string { return "text/html; charset=utf-8" }

// Extension implements [Format].
func (htmlFormat) Extension() string { return "html" }

// Encode implements [Format].
func (htmlFormat) Encode(w io.Writer) Encoder {
	return &htmlEncoder{w: w, page: template.Must(template.New("").Parse(htmlText))}
}

type htmlEncoder struct {
	w    io.Writer
	page *template.Template
	// own are the columns that stand as such, rest those that share the last.
	own, rest []int
	columns   []Column
	timeline  timeline
	rows      uint64
}

// maxOwn is how many columns fit on a sheet. A report with more keeps those
// that readers compare as columns and joins the rest.
const maxOwn = 10

// longWord is how long a cell without a blank may be, in bytes, before it is
// broken where it stands.
const longWord = 20

// compared are columns that readers compare down the page.
func compared(name string) bool {
	return slices.Contains([]string{
		"ordinal", "id", "position", "time", "log", "type", "action", "outcome", "rule", "scopeName", "secretId", "fieldKey",
		"actorName", "actor", "reason", "status", "count", "first", "last",
	}, name)
}

// layout divides the columns.
func (e *htmlEncoder) layout(columns []Column) {
	e.columns = columns
	for i, c := range columns {
		if len(columns) <= maxOwn+2 || compared(c.Name) && len(e.own) < maxOwn {
			e.own = append(e.own, i)
		} else {
			e.rest = append(e.rest, i)
		}
	}
}

// Begin implements [Encoder].
func (e *htmlEncoder) Begin(h Header) error {
	e.layout(h.Columns)
	var heads []htmlHead
	for _, i := range e.own {
		heads = append(heads, htmlHead{Title: e.columns[i].Title, Number: e.columns[i].Kind == KindNumber})
	}
	return e.page.ExecuteTemplate(e.w, "head", struct {
		Title string
		Facts []htmlCell
		Heads []htmlHead
		More  bool
	}{h.Title, factsOf(h), heads, len(e.rest) > 0})
}

type (
	htmlHead struct {
		Title  string
		Number bool
	}
	// htmlCell is a cell, or a title with its text.
	htmlCell struct {
		Title, Text string
		Items       []string // of a list
		Kind        string   // class of the cell
	}
)

// factsOf says what was asked for.
func factsOf(h Header) []htmlCell {
	q := h.Query
	facts := []htmlCell{{Title: "Report", Text: h.Report}}
	add := func(title, text string) {
		if text != "" {
			facts = append(facts, htmlCell{Title: title, Text: text})
		}
	}
	org := string(q.Org)
	if org == "" {
		org = "all"
	}
	add("Organization", org)
	add("Events up to position", strconv.FormatUint(q.Events, 10))
	if q.Access > 0 {
		add("Access messages up to position", strconv.FormatUint(q.Access, 10))
	}
	add("As of", stamp(q.At))
	add("From", stamp(q.From))
	add("To, exclusive", stamp(q.To))
	if q.Sample > 0 {
		add("Sample", strconv.Itoa(q.Sample)+" rows at most, seed "+strconv.FormatUint(q.Seed, 10))
	}
	return facts
}

// Row implements [Encoder].
func (e *htmlEncoder) Row(r Row) error {
	e.rows++
	refused := r.Access != nil && r.Access.Outcome != domain.OutcomeAllowed
	if t := rowTime(r); !t.IsZero() {
		e.timeline.add(t, refused)
	}
	row := struct {
		Refused bool
		Cells   []htmlCell
		Rest    []htmlCell
		More    bool
	}{Refused: refused, More: len(e.rest) > 0}
	for _, i := range e.own {
		row.Cells = append(row.Cells, e.cell(r, i))
	}
	for _, i := range e.rest {
		if !r.Values[i].Absent() {
			row.Rest = append(row.Rest, e.cell(r, i))
		}
	}
	return e.page.ExecuteTemplate(e.w, "row", row)
}

func (e *htmlEncoder) cell(r Row, i int) htmlCell {
	v, column := r.Values[i], e.columns[i]
	c := htmlCell{Title: column.Title, Text: visible(v.String())}
	for _, item := range v.Items() {
		c.Items = append(c.Items, visible(item))
	}
	switch {
	case v.Absent():
	case column.Kind == KindNumber:
		c.Kind = "number"
	case column.Kind == KindTime:
		c.Kind = "time"
	case column.Name == "outcome":
		c.Kind = "outcome"
	case len(c.Text) > longWord && !strings.Contains(c.Text, " "):
		c.Kind = "id"
	}
	return c
}

// visible shows what does not print, marks that turn the direction of text
// included, as numbers.
func visible(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// Flush implements [Encoder]: it ends the rows and draws the picture.
func (e *htmlEncoder) Flush() error {
	return e.page.ExecuteTemplate(e.w, "flush", struct {
		Rows    uint64
		Columns int
		Picture *picture
	}{e.rows, len(e.own) + min(1, len(e.rest)), e.timeline.draw()})
}

// End implements [Encoder].
func (e *htmlEncoder) End(m Manifest) error {
	text, err := marshal(m)
	if err != nil {
		return err
	}
	return e.page.ExecuteTemplate(e.w, "end", struct {
		Manifest
		JSON string
	}{m, string(text)})
}
