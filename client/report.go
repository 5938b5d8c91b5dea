package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/chancery-dev/chancery/domain"
)

// Reports lists the compliance reports that the server makes.
func (a *Admin) Reports(ctx context.Context, org domain.OrgID, opts ...Option) ([]ReportName, error) {
	path, err := orgPath(org)
	if err != nil {
		return nil, err
	}
	return send[[]ReportName](ctx, a.c, call{method: http.MethodGet, path: path + "/reports"}, opts)
}

// Report asks for a compliance report of the query's organization, for its
// auditors, and gives it as the server makes it. The caller closes it. A
// report is whole only when it was read to [io.EOF]; any other error says that
// it broke off. It is asked for once, and lasts as long as ctx.
func (a *Admin) Report(ctx context.Context, q domain.ReportQuery, opts ...Option) (io.ReadCloser, error) {
	path, err := orgPath(q.Org)
	if err != nil {
		return nil, err
	}
	v := set(url.Values{}, "format", q.Format)
	set(set(v, "events", numberText(q.Events)), "access", numberText(q.Access))
	set(set(set(v, "from", timeText(q.From)), "to", timeText(q.To)), "at", timeText(q.At))
	if q.Sample > 0 {
		v.Set("sample", strconv.Itoa(q.Sample))
		v.Set("seed", strconv.FormatUint(q.Seed, 10))
	}
	return a.c.stream(ctx, call{method: http.MethodGet, path: path + "/reports/" + url.PathEscape(q.Name), query: v}, opts)
}

// stream makes a call whose answer is no JSON, once, and gives its body.
func (c *Client) stream(ctx context.Context, k call, opts []Option) (io.ReadCloser, error) {
	if err := k.apply(opts); err != nil {
		return nil, err
	}
	req, err := c.newRequest(ctx, &k, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "*/*")
	patient := *c.http
	patient.Timeout = 0 // it would bound the whole body
	resp, err := patient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	k.meta.fill(resp)
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	got, err := readAll(resp)
	if err != nil {
		return nil, fmt.Errorf("client: reading the answer: %w", err)
	}
	return nil, problemOf(resp, got)
}
