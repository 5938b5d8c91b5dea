package httpapi

import (
	"io"
	"strings"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// defaultFormat is that of a report that nobody asked a format of.
const defaultFormat = "jsonl"

// maxSample is the largest random sample, which is held in memory.
const maxSample = 100_000

// reportWord is how reports and formats are named.
func reportWord(s string) bool {
	return s != "" && len(s) <= 64 && s[0] >= 'a' && s[0] <= 'z' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// listReports answers with the reports that there are.
func listReports(c *call) (answer, error) {
	org, err := c.org()
	if err != nil {
		return answer{}, err
	}
	if err := c.audit(domain.AccessReport, org); err != nil {
		return answer{}, err
	}
	if err := c.orgExists(org); err != nil {
		return answer{}, err
	}
	return success(append([]wire.ReportName{}, c.config.Reports.Names()...)), c.allowed()
}

// getReport answers with a report as a stream. It is recorded before its
// first byte.
func getReport(c *call) (answer, error) {
	org, err := c.org()
	if err != nil {
		return answer{}, err
	}
	q, err := c.reportQuery()
	if err != nil {
		return answer{}, err
	}
	q.Org = org
	c.access.Detail = cut(strings.TrimSpace(q.Name + " " + q.Format + " " + c.asked()))
	if err := c.audit(domain.AccessReport, org); err != nil {
		return answer{}, err
	}
	if err := c.orgExists(org); err != nil {
		return answer{}, err
	}
	contentType, filename, write, err := c.config.Reports.Open(c.ctx, q)
	if err != nil {
		return answer{}, err
	}
	return answer{
		contentType: contentType, filename: filename,
		stream: func(w io.Writer) error { return write(c.ctx, w) },
	}, c.allowed()
}

func (c *call) reportQuery() (q domain.ReportQuery, err error) {
	q.Name, q.Format = c.param("name"), defaultFormat
	if !reportWord(q.Name) {
		return q, domain.Errorf(domain.CodeInvalidID, "a report's name has a-z 0-9 - and starts with a letter")
	}
	if c.query.Has(paramFormat) {
		if q.Format = c.query.Get(paramFormat); !reportWord(q.Format) {
			return q, domain.Errorf(domain.CodeInvalidQuery, "a format's name has a-z 0-9 - and starts with a letter")
		}
	}
	if q.Events, err = c.uintParam(paramEvents); err != nil {
		return q, err
	}
	if q.Access, err = c.uintParam(paramAccess); err != nil {
		return q, err
	}
	if q.From, q.To, err = c.span(); err != nil {
		return q, err
	}
	if q.At, err = c.timeParam(paramAt); err != nil {
		return q, err
	}
	return q, c.sample(&q)
}

// sample reads the size of a random sample and its seed, which is said always:
// a sample that nobody can draw again proves nothing.
func (c *call) sample(q *domain.ReportQuery) error {
	if c.query.Has(paramSample) != c.query.Has(paramSeed) {
		return domain.Errorf(domain.CodeInvalidQuery, "sample and seed are given together")
	}
	if !c.query.Has(paramSample) {
		return nil
	}
	n, err := c.uintParam(paramSample)
	if err != nil || n > maxSample {
		return domain.Errorf(domain.CodeInvalidQuery, "sample is 1 to %d", maxSample)
	}
	seed, ok := wire.ParseUint(c.query.Get(paramSeed))
	if !ok {
		return domain.Errorf(domain.CodeInvalidQuery, "seed is a decimal number below 2^64")
	}
	q.Sample, q.Seed = int(n), seed
	return nil
}
