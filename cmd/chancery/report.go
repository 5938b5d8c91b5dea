package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/reports"
)

// reportFlags are a report's query and its file as they were typed.
type reportFlags struct {
	store          storeOptions
	admin          adminFlags
	format, out    string
	at, from, to   string
	events, access uint64
	sample         int
	seed           uint64
}

func newReportCommand(a *app) *cobra.Command {
	var f reportFlags
	c := &cobra.Command{
		Use:   "report [NAME]",
		Short: "Make a compliance report from the logs, or list what there is",
		Long: `Make a compliance report from the logs alone. Without NAME: list the reports.

It is asked of the server at --addr, with an auditor's API key, about one
organization; asking is recorded. With --data it is made from a data directory
whose server is stopped, about all organizations unless --org names one.

The same report over the same positions is the same, byte for byte, at any time
and on every node. Positions that are not given are those of the newest signed
checkpoints; the manifest at the end says which. A format that has no place for
a manifest gets one beside the file of --out.

Formats: ` + strings.Join(formatNames(), ", ") + `.`,
		Example: `  chancery report
  chancery report access-matrix --at 2026-01-31T12:00:00Z
  chancery report changes --format csv --out changes.csv
  chancery report accesses --format jsonl --sample 25 --seed 2026
  chancery report integrity --data chancery-data`,
		Args: needs("[NAME]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listReports()
			}
			q, err := f.query(a, cmd, args[0])
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("data") && !a.addrTyped(cmd) {
				return a.reportOffline(cmd.Context(), &f, q)
			}
			return a.connect(cmd, func(s session) error {
				ctx := s.ctx
				if !cmd.Flags().Changed("timeout") {
					ctx = cmd.Context() // a long report takes its time
				}
				return a.reportServed(ctx, s, &f, q)
			})
		},
	}
	f.bind(c)
	return c
}

func (f *reportFlags) bind(c *cobra.Command) {
	fl := c.Flags()
	f.store.bind(fl)
	fl.StringVar(&f.admin.org, "org", "", "`ORG` to report on; the caller's own, or all of a data directory, if not given")
	fl.StringVar(&f.format, "format", "table", "`FORMAT`: "+strings.Join(formatNames(), ", "))
	fl.StringVar(&f.out, "out", "", "write to this `FILE`, whole or not at all")
	fl.StringVar(&f.at, "at", "", "the state as of this `TIME` (RFC 3339), of reports about a state")
	fl.StringVar(&f.from, "from", "", "nothing before this `TIME` (RFC 3339)")
	fl.StringVar(&f.to, "to", "", "nothing from this `TIME` on (RFC 3339)")
	fl.Uint64Var(&f.events, "events-position", 0, "events up to this `POSITION`; 0 means what is signed")
	fl.Uint64Var(&f.access, "access-position", 0, "access messages up to this `POSITION`; 0 means what is signed")
	fl.IntVar(&f.sample, "sample", 0, "take `N` rows at random; 0 takes all")
	fl.Uint64Var(&f.seed, "seed", 0, "`NUMBER` that decides which rows --sample takes")
}

func formatNames() []string {
	var names []string
	for _, f := range reports.Formats() {
		names = append(names, f.Name())
	}
	return names
}

func (a *app) listReports() error {
	type named struct {
		Name  string `json:"name"`
		Title string `json:"title"`
	}
	var all []named
	t := newTable("NAME", "TITLE")
	for _, n := range reports.Names() {
		all = append(all, named(n))
		t.add(n.Name, n.Title)
	}
	return a.emit(all, func(w io.Writer) error { return a.print(w, t) })
}

func (f *reportFlags) query(a *app, cmd *cobra.Command, name string) (q domain.ReportQuery, err error) {
	q = domain.ReportQuery{Name: name, Format: f.format, Events: f.events, Access: f.access, Sample: f.sample, Seed: f.seed}
	if a.json && !cmd.Flags().Changed("format") {
		q.Format = "jsonl"
	}
	if f.admin.org != "" {
		if q.Org, err = domain.ParseOrgID(f.admin.org); err != nil {
			return q, usagef("--org takes an organization's id, such as org_01J…")
		}
	}
	if q.At, err = timeFlag("at", f.at); err != nil {
		return q, err
	}
	if q.From, err = timeFlag("from", f.from); err != nil {
		return q, err
	}
	q.To, err = timeFlag("to", f.to)
	return q, err
}

// reportOffline makes a report from a data directory.
func (a *app) reportOffline(ctx context.Context, f *reportFlags, q domain.ReportQuery) error {
	cfg, err := f.store.config(a)
	if err != nil {
		return err
	}
	bar := newProgress(a)
	defer bar.end()
	return server.Report(ctx, cfg, q, bar.read, func(p *reports.Prepared) error {
		var m reports.Manifest
		err := a.writeOut(f.out, func(w io.Writer) (err error) {
			m, err = p.Write(ctx, w)
			return err
		})
		if err != nil || f.out == "" || !besideFile(q.Format) {
			return err
		}
		return a.writeOut(f.out+manifestFile, func(w io.Writer) error { return reports.WriteManifest(w, m) })
	})
}

// reportServed asks a server for a report. Where the manifest goes beside the
// file it is asked for first: it settles the positions.
func (a *app) reportServed(ctx context.Context, s session, f *reportFlags, q domain.ReportQuery) (err error) {
	if q.Org, err = s.organization(&f.admin); err != nil {
		return err
	}
	bar := newProgress(a)
	defer bar.end()
	fetch := func(name string, q domain.ReportQuery) error {
		body, err := s.Admin().Report(ctx, q, s.opts...)
		if err != nil {
			return err
		}
		defer body.Close()
		return a.writeOut(name, func(w io.Writer) error {
			_, err := io.Copy(w, bar.reader(body))
			return err
		})
	}
	if f.out == "" || !besideFile(q.Format) {
		return fetch(f.out, q)
	}
	side := q
	side.Format += reports.ManifestSuffix
	if err := fetch(f.out+manifestFile, side); err != nil {
		return err
	}
	m, err := readManifest(f.out + manifestFile)
	if err != nil {
		return err
	}
	if q.Events = m.Events.To; m.Access != nil {
		q.Access = m.Access.To
	}
	return fetch(f.out, q)
}
