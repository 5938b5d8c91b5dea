package reports

import (
	"io"

	"github.com/chancery-dev/chancery/domain"
)

// Format writes reports. To add one: implement it in a file of its own, knowing
// columns and rows but no report, and put it into Formats. An encoder is given
// a buffered writer; it keeps at most a bounded number of rows.
type Format interface {
	// Name is what a query asks for; it never changes.
	Name() string
	// ContentType is the media type.
	ContentType() string
	// Extension is that of file names, without the dot.
	Extension() string
	// Encode starts one report.
	Encode(w io.Writer) Encoder
}

// Encoder writes one report: Begin, Row for each row, Flush, End, in this
// order and each but Row once.
type Encoder interface {
	// Begin writes what stands before the rows.
	Begin(h Header) error
	// Row writes one row, or keeps it back for a while.
	Row(r Row) error
	// Flush writes what Row kept back. The manifest's SHA-256 is over all bytes
	// written until it returns.
	Flush() error
	// End writes the manifest and whatever closes the report. A format whose
	// files can hold no manifest writes nothing.
	End(m Manifest) error
}

// Bare says that the files of a format hold no manifest, so that it goes beside
// them. A new format whose End writes nothing belongs here.
func Bare(f Format) bool {
	switch f.(type) {
	case tableFormat, csvFormat, ocsfFormat, cloudeventsFormat:
		return true
	}
	return false
}

// Header is what is known before the first row.
type Header struct {
	Report  string
	Title   string
	Query   domain.ReportQuery // with its positions settled
	Columns []Column
}

// Formats lists every format.
func Formats() []Format {
	return []Format{tableFormat{}, jsonlFormat{}, csvFormat{}, ocsfFormat{}, cloudeventsFormat{}, htmlFormat{}}
}

// recordKind is what the rows of a report are, beside their columns.
type recordKind int

const (
	noRecords     recordKind = iota // about a state or of findings
	summedRecords                   // each sums up records and has the last of them
	oneRecord                       // each is one record
)

// recordFormat is a [Format] that writes records where others write columns.
type recordFormat interface {
	Format
	// takes says whether it can write rows of a kind.
	takes(recordKind) bool
}

func takes(f Format, kind recordKind) bool {
	r, ok := f.(recordFormat)
	return !ok || r.takes(kind)
}

// formatsOf names the formats that a report can be written in.
func formatsOf(r report) []string {
	var names []string
	for _, f := range Formats() {
		if takes(f, r.records) {
			names = append(names, f.Name())
		}
	}
	return names
}

// ManifestSuffix behind a format's name asks for the manifest alone of the
// report in that format: "csv.manifest".
const ManifestSuffix = ".manifest"
