package reports

import (
	"context"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/chancery-dev/chancery/domain"
)

// report is one kind of report.
type report struct {
	name, title string
	columns     []Column
	// events, access and names say what is read: the event log, the access log,
	// and the event log once more before for the names.
	events, access, names bool
	records               recordKind
	rows                  func(ctx context.Context, v *view) iter.Seq2[Row, error]
}

// Name is a report's stable name with a title for people.
type Name struct{ Name, Title string }

// Reports makes reports from one source. It is safe for concurrent use.
type Reports struct {
	source   Source
	progress func(read, total uint64)
}

// New gives the reports of a source. progress, which may be nil, is told now
// and then how many log records of how many were read.
func New(source Source, progress func(read, total uint64)) *Reports {
	return &Reports{source: source, progress: progress}
}

// Names lists the reports.
func Names() []Name {
	var names []Name
	for _, r := range catalog() {
		names = append(names, Name{Name: r.name, Title: r.title})
	}
	return names
}

// Prepared is a report that is ready to be written.
type Prepared struct {
	ContentType string
	// Filename is a name for the file: report, organization, last position.
	Filename string
	// Query is the query with its positions settled: it asks for these very
	// bytes at any time.
	Query domain.ReportQuery

	report       report
	format       Format
	manifestOnly bool
	source       Source
	progress     func(read, total uint64)
	manifest     Manifest // what is known before the first row
}

// Prepare checks a query and settles its positions: not_found for a report
// that does not exist, invalid_query for what makes no sense or lies beyond the
// head, position_not_reached where no checkpoint covers the positions yet.
func (rs *Reports) Prepare(ctx context.Context, q domain.ReportQuery) (*Prepared, error) {
	p := &Prepared{source: rs.source, progress: rs.progress}
	all := catalog()
	i := slices.IndexFunc(all, func(r report) bool { return r.name == q.Name })
	if i < 0 {
		return nil, domain.Errorf(domain.CodeNotFound, "there is no such report")
	}
	p.report = all[i]
	if q.Format == "" {
		q.Format = jsonlFormat{}.Name()
	}
	name, manifestOnly := strings.CutSuffix(q.Format, ManifestSuffix)
	formats := Formats()
	i = slices.IndexFunc(formats, func(f Format) bool { return f.Name() == name })
	if i < 0 {
		return nil, domain.Errorf(domain.CodeInvalidQuery, "there is no such format")
	}
	p.format, p.manifestOnly = formats[i], manifestOnly
	switch {
	case !takes(p.format, p.report.records):
		return nil, domain.Errorf(domain.CodeInvalidQuery, "the rows of this report are no records: it can be written as %s",
			strings.Join(formatsOf(p.report), ", "))
	case q.Sample < 0 || q.Sample > MaxSample:
		return nil, domain.Errorf(domain.CodeInvalidQuery, "a sample has at most %d rows", MaxSample)
	case !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To):
		return nil, domain.Errorf(domain.CodeInvalidQuery, "from must lie before to")
	case p.report.access && rs.source.Access == nil:
		return nil, domain.Errorf(domain.CodeInvalidQuery, "there is no access log to report on")
	}
	if q.Sample == 0 {
		q.Seed = 0 // it decides nothing
	}
	if err := p.settle(ctx, &q); err != nil {
		return nil, err
	}
	p.describe(q, name)
	return p, nil
}

func (p *Prepared) describe(q domain.ReportQuery, format string) {
	p.Query = q
	p.manifest.V, p.manifest.Report, p.manifest.Title = 1, p.report.name, p.report.title
	p.manifest.Query = queryOf(q)
	p.manifest.Query.Format = format
	p.ContentType = p.format.ContentType()
	parts := []string{p.report.name}
	if q.Org != "" {
		parts = append(parts, string(q.Org))
	}
	parts = append(parts, Number(q.Events).String())
	if p.report.access {
		parts = append(parts, Number(q.Access).String())
	}
	p.Filename = strings.Join(parts, "-") + "." + p.format.Extension()
	if p.manifestOnly {
		p.ContentType, p.Filename = "application/json", p.Filename+ManifestSuffix+".json"
	}
}

// settle fixes the positions and finds the checkpoints that cover them.
func (p *Prepared) settle(ctx context.Context, q *domain.ReportQuery) error {
	status, err := p.source.Events.Status(ctx)
	if err != nil {
		return err
	}
	if p.manifest.Events, err = p.rangeOf(ctx, LogEvents, status, q.Events); err != nil {
		return err
	}
	q.Events = p.manifest.Events.To
	if !p.report.access {
		q.Access = 0
		return nil
	}
	if status, err = p.source.Access.Status(ctx); err != nil {
		return err
	}
	r, err := p.rangeOf(ctx, LogAccess, status, q.Access)
	p.manifest.Access, q.Access = &r, r.To
	return err
}

func (p *Prepared) rangeOf(ctx context.Context, log string, status domain.LogStatus, position uint64) (Range, error) {
	if position > status.Head {
		return Range{}, domain.Errorf(domain.CodeInvalidQuery, "the %s log ends at position %d", log, status.Head)
	}
	r := Range{From: status.First, To: position}
	if p.source.Checkpoints != nil {
		newest, ok, err := p.source.Checkpoints.Covering(ctx, log, 0)
		switch {
		case err != nil:
			return Range{}, err
		case ok && newest.Size < position:
			return Range{}, domain.Errorf(domain.CodePositionNotReached, "no checkpoint of the %s log covers position %d yet", log, position)
		case ok:
			if position == 0 {
				r.To = newest.Size
			}
			// The oldest that covers it, also where the newest was asked for:
			// asked again, it is the same one.
			first, ok, err := p.source.Checkpoints.Covering(ctx, log, max(1, r.To))
			if err != nil {
				return Range{}, err
			}
			if ok {
				r.Checkpoint = first.Note
			}
			return r.clipped(), nil
		}
	}
	if position == 0 {
		r.To = status.Head
	}
	return r.clipped(), nil
}

// clipped gives a range without messages, all of which age took, the form of
// an empty log.
func (r Range) clipped() Range {
	if r.From > r.To {
		r.From = 0
	}
	return r
}

// Open is Prepare and Write for callers that only pass the bytes on.
func (rs *Reports) Open(ctx context.Context, q domain.ReportQuery) (contentType, filename string, write func(ctx context.Context, w io.Writer) error, err error) {
	p, err := rs.Prepare(ctx, q)
	if err != nil {
		return "", "", nil, err
	}
	write = func(ctx context.Context, w io.Writer) error {
		_, err := p.Write(ctx, w)
		return err
	}
	return p.ContentType, p.Filename, write, nil
}
