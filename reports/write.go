package reports

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
)

// bufferSize is how much is written at once, in bytes.
const bufferSize = 64 << 10

// Write makes the report. Nothing of it counts unless the error is nil. It may
// be called again, and gives the same bytes.
func (p *Prepared) Write(ctx context.Context, w io.Writer) (Manifest, error) {
	out := w
	if p.manifestOnly {
		out = io.Discard
	}
	m := p.manifest
	if err := p.write(ctx, out, &m); err != nil {
		return Manifest{}, err
	}
	if p.manifestOnly {
		return m, WriteManifest(w, m)
	}
	return m, nil
}

func (p *Prepared) write(ctx context.Context, w io.Writer, m *Manifest) error {
	body := &measured{w: w, sum: sha256.New()}
	buffered := bufio.NewWriterSize(body, bufferSize)
	enc := p.format.Encode(buffered)
	columns, sampled := p.report.columns, p.Query.Sample > 0
	if sampled {
		columns = slices.Concat([]Column{{"ordinal", "No.", KindNumber}}, columns)
	}
	if err := enc.Begin(Header{Report: p.report.name, Title: p.report.title, Query: p.Query, Columns: columns}); err != nil {
		return err
	}
	write := func(r Row) error {
		m.Rows++
		if sampled {
			r.Values = slices.Concat([]Value{Number(r.Ordinal)}, r.Values)
		}
		return enc.Row(r)
	}
	if err := p.eachRow(ctx, m, write); err != nil {
		return err
	}
	if err := enc.Flush(); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	m.Bytes, m.SHA256 = body.bytes, hex.EncodeToString(body.sum.Sum(nil))
	if err := m.sign(p.source.Signer); err != nil {
		return err
	}
	if err := enc.End(*m); err != nil {
		return err
	}
	return buffered.Flush()
}

// eachRow hands out the rows, or the sample of them, and counts all.
func (p *Prepared) eachRow(ctx context.Context, m *Manifest, write func(Row) error) error {
	v := newView(p)
	if err := v.loadNames(ctx); err != nil {
		return err
	}
	take := write
	var sample *reservoir
	if p.Query.Sample > 0 {
		sample = newReservoir(p.Query.Sample, p.Query.Seed)
		take = func(r Row) error {
			sample.offer(r)
			return nil
		}
	}
	for r, err := range p.report.rows(ctx, v) {
		if err != nil {
			return err
		}
		m.Population++
		r.Ordinal = m.Population
		if err := take(r); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if sample != nil {
		for _, r := range sample.taken() {
			if err := write(r); err != nil {
				return err
			}
		}
	}
	return nil
}
