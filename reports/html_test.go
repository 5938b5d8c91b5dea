package reports

import (
	"bytes"
	"encoding/json"
	"html"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// shape is a page without what it says: its tags, and apart from them its
// text. No attribute of a page holds what a row says, and no text a bracket:
// every bracket is a tag's.
func shape(page string) (tags []string, text string) {
	tag := regexp.MustCompile(`<[^>]*>`)
	return tag.FindAllString(page, -1), html.UnescapeString(tag.ReplaceAllString(page, "\n"))
}

// page writes one row of texts.
func page(t testing.TB, texts ...string) string {
	t.Helper()
	var b bytes.Buffer
	e := htmlFormat{}.Encode(&b)
	h := Header{Report: "test", Title: "Test"}
	var row Row
	for _, s := range texts {
		h.Columns = append(h.Columns, Column{Name: "c", Title: "Column"})
		row.Values = append(row.Values, Value{set: true, text: s})
	}
	h.Columns = append(h.Columns, Column{Name: "list", Title: "List", Kind: KindList})
	row.Values = append(row.Values, List([]string{texts[0], texts[0]}))
	m := Manifest{Report: "test", Events: Range{Checkpoint: texts[0]}, Query: ManifestQuery{Org: domain.OrgID(texts[0])}}
	for _, err := range []error{e.Begin(h), e.Row(row), e.Flush(), e.End(m)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestHTMLHoldsNoMarkupOfOthers verifies that no text changes the tags of a
// page, and that marks which turn the direction of text are shown
// (invariant 9).
func TestHTMLHoldsNoMarkupOfOthers(t *testing.T) {
	class := strings.NewReplacer(` class="id"`, "") // depends on the length
	want, _ := shape(class.Replace(page(t, "x")))
	evil := []string{
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "' onmouseover='alert(1)", "</table></main><h1>", "<!--", "]]>",
		"</style><style>*{display:none}", "</pre>", "javascript:alert(1)", "{{.}}", "&lt;b&gt;", "a\u0000b", "\xff\xfe", "<svg/onload=alert(1)>",
	}
	for _, s := range evil {
		got, _ := shape(class.Replace(page(t, s)))
		if !slices.Equal(got, want) {
			t.Errorf("%q makes other tags: %v", s, got)
		}
	}
	turned := page(t, "user\u202Etxt.exe\u2066\u200F")
	if strings.ContainsAny(turned[:strings.Index(turned, "Checkpoint of")], "\u202E\u2066\u200F") || !strings.Contains(turned, `user\u202etxt.exe\u2066\u200f`) {
		t.Error("marks that turn text are not shown as numbers")
	}
	if _, text := shape(page(t, "שלום & <b>")); !strings.Contains(text, "שלום & <b>") {
		t.Error("letters of right-to-left scripts are not kept")
	}
}

// TestHTMLEscapesAnyText verifies that a cell of any text adds no bracket and
// no quote to its row.
func TestHTMLEscapesAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringN(1, -1, -1).Draw(t, "s")
		var b bytes.Buffer
		e := htmlFormat{}.Encode(&b)
		if err := e.Begin(Header{Columns: []Column{{Name: "c"}}}); err != nil {
			t.Fatal(err)
		}
		head := b.Len()
		if err := e.Row(Row{Values: []Value{Text(s)}}); err != nil {
			t.Fatal(err)
		}
		row := strings.Replace(b.String()[head:], ` class="id"`, "", 1)
		cell, tail, ok := strings.Cut(strings.TrimPrefix(row, "<tr><td><bdi>"), "</bdi></td></tr>\n")
		if !ok || tail != "" || strings.ContainsAny(cell, "<>\"'") {
			t.Fatalf("%q became %q", s, row)
		}
	})
}

// TestHTMLStandsAlone verifies that a page loads and runs nothing, for every
// report, and that its manifest covers the bytes it says.
func TestHTMLStandsAlone(t *testing.T) {
	source := scenario(t)
	for _, name := range Names() {
		text, m := run(t, source, domain.ReportQuery{Name: name.Name, Format: "html"})
		tags, _ := shape(text)
		for _, tag := range tags {
			for _, bad := range []string{"<script", "<link", "<iframe", "<img", "<base", " src=", " on"} {
				if strings.Contains(tag, bad) {
					t.Errorf("%s has %s", name.Name, tag)
				}
			}
		}
		if strings.Contains(text, "http:") || strings.Contains(text, "https:") || strings.Contains(text, "@import") {
			t.Errorf("%s names something elsewhere", name.Name)
		}
		if strings.Count(text[:m.Bytes], "<tr") < int(m.Rows) || !strings.HasSuffix(text, "</html>\n") {
			t.Errorf("%s is not whole", name.Name)
		}
		_, words := shape(text[m.Bytes:])
		if !strings.Contains(words, m.SHA256) {
			t.Errorf("%s does not tell its hash", name.Name)
		}
		var inner Manifest
		_, rest, _ := strings.Cut(text, `<pre id="manifest-json">`)
		quoted, _, _ := strings.Cut(rest, "</pre>")
		if err := json.Unmarshal([]byte(html.UnescapeString(quoted)), &inner); err != nil || inner.SHA256 != m.SHA256 || inner.Signature == nil {
			t.Errorf("%s: the manifest in the page: %v", name.Name, err)
		}
	}
}

// TestHTMLRepeatsAndNames holds what printing and reading aloud rely on.
func TestHTMLRepeatsAndNames(t *testing.T) {
	text, _ := run(t, scenario(t), domain.ReportQuery{Name: "denials", Format: "html"})
	for _, want := range []string{
		`<html lang="en">`, `<thead><tr><th scope="col"`, "table-header-group", "@page", `@top-left { content: "Denials`, `role="img"`, "<desc",
		`<tr class="refused">`, "Hatched: those that were refused or failed", ">denied<", "no_membership",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

// TestTimelineCountsAll verifies that buckets are few, that none is lost, and
// that the order of rows does not matter.
func TestTimelineCountsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(-1e4, 1e4), rapid.Int64Range(-6e10, 2e11)), 1, 50).Draw(t, "seconds")
		count := func(order []int64) (*picture, timeline) {
			var tl timeline
			for _, s := range order {
				tl.add(time.Unix(s, 0), s%2 == 0)
				if len(tl.buckets) > maxBuckets || tl.last-tl.first >= maxBuckets {
					t.Fatalf("%d buckets", len(tl.buckets))
				}
			}
			return tl.draw(), tl
		}
		p, tl := count(seconds)
		var rows, refused, most uint64
		for _, b := range p.Bars {
			rows, refused, most = rows+b.Rows, refused+b.RefusedRows, max(most, b.Rows)
			if b.X < pictureLeft || b.X+b.Width > pictureWidth || b.Y < pictureTop || b.Y+b.Height != pictureBase || b.Refused > b.Height {
				t.Fatalf("%+v", b)
			}
		}
		even := uint64(0)
		for _, s := range seconds {
			if s%2 == 0 {
				even++
			}
		}
		if rows != uint64(len(seconds)) || refused != even || most != p.Most {
			t.Fatalf("%d rows and %d refused of %d and %d; most %d, not %d", rows, refused, len(seconds), even, p.Most, most)
		}
		again, other := count(rapid.Permutation(seconds).Draw(t, "order"))
		if other.step != tl.step || again.First != p.First || len(again.Bars) != len(p.Bars) {
			t.Fatal("the order decides")
		}
		if tl.step > 0 && (slices.Max(seconds)-slices.Min(seconds))/bucketWidth(tl.step-1)+2 <= maxBuckets {
			t.Fatalf("wider than needed: step %d", tl.step)
		}
	})
}

// TestHTMLKeepsNoRows verifies that what an encoder holds does not grow with
// the rows: columns, and buckets that are at most so many.
func TestHTMLKeepsNoRows(t *testing.T) {
	e := htmlFormat{}.Encode(io.Discard).(*htmlEncoder) //nolint:errcheck,forcetypeassert // it is.
	if err := e.Begin(Header{Columns: []Column{{Name: "time", Kind: KindTime}}}); err != nil {
		t.Fatal(err)
	}
	for i := range 20_000 {
		at := start.Add(time.Duration(i) * time.Hour)
		if err := e.Row(Row{Values: []Value{Time(at)}, Since: at}); err != nil {
			t.Fatal(err)
		}
	}
	if e.rows != 20_000 || len(e.timeline.buckets) > maxBuckets || len(e.own)+len(e.rest) != 1 {
		t.Errorf("%d rows, %d buckets", e.rows, len(e.timeline.buckets))
	}
}
