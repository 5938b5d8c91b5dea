package reports

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
)

// jsonlFormat is JSON Lines: an object a row, its members in the order of the
// columns, absent ones null; the last line is {"manifest": …}.
type jsonlFormat struct{}

// Name implements [Format].
func (jsonlFormat) Name() string { return "jsonl" }

// ContentType implements [Format].
func (jsonlFormat) ContentType() string { return "application/jsonl" }

// Extension implements [Format].
func (jsonlFormat) Extension() string { return "jsonl" }

// Encode implements [Format].
func (jsonlFormat) Encode(w io.Writer) Encoder { return &jsonlEncoder{w: w} }

type jsonlEncoder struct {
	w       io.Writer
	columns []Column
	line    []byte
}

// Begin implements [Encoder].
func (e *jsonlEncoder) Begin(h Header) error {
	e.columns = h.Columns
	return nil
}

// Row implements [Encoder].
func (e *jsonlEncoder) Row(r Row) error {
	e.line = append(e.line[:0], '{')
	for i, v := range r.Values {
		if i > 0 {
			e.line = append(e.line, ',')
		}
		e.line = append(e.line, '"')
		e.line = append(append(e.line, e.columns[i].Name...), `":`...)
		var err error
		if e.line, err = appendJSON(e.line, v); err != nil {
			return err
		}
	}
	e.line = append(e.line, "}\n"...)
	_, err := e.w.Write(e.line)
	return err
}

// Flush implements [Encoder].
func (e *jsonlEncoder) Flush() error { return nil }

// End implements [Encoder].
func (e *jsonlEncoder) End(m Manifest) error { return WriteManifest(e.w, m) }

func appendJSON(line []byte, v Value) ([]byte, error) {
	if v.Absent() {
		return append(line, "null"...), nil
	}
	switch v.Kind() {
	case KindNumber:
		return strconv.AppendUint(line, v.Uint(), 10), nil
	case KindList:
		text, err := marshal(v.Items())
		return append(line, text...), err
	case KindText, KindTime:
	}
	text, err := marshal(v.String())
	return append(line, text...), err
}

// marshal is JSON without the escapes that HTML needs.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// WriteManifest writes {"manifest": …} and a newline.
func WriteManifest(w io.Writer, m Manifest) error {
	text, err := marshal(struct {
		Manifest Manifest `json:"manifest"`
	}{m})
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}
