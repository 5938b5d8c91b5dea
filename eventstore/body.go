package eventstore

import (
	"encoding/binary"
	"errors"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// A body is empty, or
//
//	u32be length | content | zeros up to a multiple of 256 bytes
//
// with content = version byte 1, then for each value, in the order of the
// record's fields, its kind byte and
//
//	1 sealed    kekId[16]  u32be length  box
//	2 envelope  iv[12]  tag[16]  u32be length  data key  u32be length  ciphertext
//	3 API key   u32be length  lookup id  hash[32]
//
// The padding hides the exact size from whoever gets headers only.
const (
	bodyVersion = 1
	bodyBlock   = 256

	kindSealed   = 1
	kindEnvelope = 2
	kindAPIKey   = 3
)

var errBody = errors.New("the body is not in its one form")

// encodeBody gives the body of an event with the id, nil where it has none,
// or ErrRefused.
func encodeBody(id ulid.ULID, b domain.Body) ([]byte, error) {
	size := 4 + 1
	for _, f := range b.Fields {
		size += valueSize(f.Value)
	}
	if b.LookupID != "" {
		size += 1 + 4 + len(b.LookupID) + len(b.Hash)
	}
	if size == 4+1 {
		return nil, nil
	}
	if size > maxMessageLen {
		return nil, refusedf("its values have %d bytes, more than %d", size, maxMessageLen)
	}
	padded := (size + bodyBlock - 1) / bodyBlock * bodyBlock
	out := make([]byte, 4, padded)
	binary.BigEndian.PutUint32(out, uint32(size-4))
	out = append(out, bodyVersion)
	for _, f := range b.Fields {
		var err error
		if out, err = appendValue(out, id, f); err != nil {
			return nil, err
		}
	}
	if b.LookupID != "" {
		out = appendBytes(append(out, kindAPIKey), b.LookupID)
		out = append(out, b.Hash[:]...)
	}
	return out[:padded], nil
}

func valueSize(v domain.Value) int {
	switch v := v.(type) {
	case domain.Sealed:
		return 1 + len(v.KekID) + 4 + len(v.Box)
	case domain.Envelope:
		return 1 + len(v.IV) + len(v.AuthTag) + 4 + len(v.DataKey) + 4 + len(v.Ciphertext)
	case domain.Plaintext:
	}
	return 1
}

func appendValue(out []byte, id ulid.ULID, f domain.Field) ([]byte, error) {
	switch v := f.Value.(type) {
	case domain.Sealed:
		if v.EventID != id {
			return nil, refusedf("a value was sealed for another event")
		}
		if !f.DekID.IsZero() {
			return nil, refusedf("a plaintext field names a data key")
		}
		out = append(append(out, kindSealed), v.KekID[:]...)
		return appendBytes(out, v.Box), nil
	case domain.Envelope:
		if f.DekID.IsZero() {
			return nil, refusedf("an envelope's data key was not verified")
		}
		out = append(append(append(out, kindEnvelope), v.IV[:]...), v.AuthTag[:]...)
		return appendBytes(appendBytes(out, v.DataKey), v.Ciphertext), nil
	case domain.Plaintext:
	}
	return nil, refusedf("a value was not sealed")
}

func appendBytes[T string | []byte](out []byte, b T) []byte {
	return append(binary.BigEndian.AppendUint32(out, uint32(len(b))), b...) //nolint:gosec // at most maxMessageLen.
}

// bodyReader reads the one form of a body's content; see recordReader.
type bodyReader struct {
	rest  []byte
	fault bool
}

// decodeBody is the inverse of encodeBody. Its fields get the keys and data
// keys that the record names. The result shares memory with body.
func decodeBody(id ulid.ULID, fields []domain.FieldMetadata, body []byte) (domain.Body, error) {
	var b domain.Body
	if len(body) == 0 {
		return b, nil
	}
	content, ok := unpad(body)
	if !ok {
		return b, errBody
	}
	if content[0] != bodyVersion {
		return b, errors.New("the body has an unknown version")
	}
	r := bodyReader{rest: content[1:]}
	for len(r.rest) > 0 {
		switch kind := r.take(1)[0]; {
		case kind == kindSealed && len(b.Fields) < len(fields):
			v := domain.Sealed{EventID: id}
			copy(v.KekID[:], r.take(len(v.KekID)))
			v.Box = r.bytes()
			b.Fields = append(b.Fields, domain.Field{Value: v})
		case kind == kindEnvelope && len(b.Fields) < len(fields):
			var v domain.Envelope
			copy(v.IV[:], r.take(len(v.IV)))
			copy(v.AuthTag[:], r.take(len(v.AuthTag)))
			v.DataKey, v.Ciphertext = string(r.bytes()), r.bytes()
			b.Fields = append(b.Fields, domain.Field{Value: v})
		case kind == kindAPIKey && len(b.Fields) == 0:
			b.LookupID = string(r.bytes())
			copy(b.Hash[:], r.take(len(b.Hash)))
			r.fault = r.fault || len(r.rest) > 0 || b.LookupID == ""
		default:
			return b, errBody
		}
		if r.fault {
			return b, errBody
		}
	}
	return b, nameFields(b, fields)
}

// nameFields completes the values by what the record says of their fields. An
// envelope has a data key and nothing else has one.
func nameFields(b domain.Body, fields []domain.FieldMetadata) error {
	if b.LookupID == "" && len(b.Fields) == 0 || len(b.Fields) > 0 && len(b.Fields) != len(fields) {
		return errBody
	}
	for i := range b.Fields {
		f := &b.Fields[i]
		f.Key, f.DekID = fields[i].Key, fields[i].DekID
		if f.DekID.IsZero() != (f.Value.Sensitivity() == domain.SensitivityPlaintext) {
			return errors.New("a field's data key does not fit its value")
		}
	}
	return nil
}

// unpad gives the content, which has at least one byte.
func unpad(body []byte) ([]byte, bool) {
	if len(body)%bodyBlock != 0 {
		return nil, false
	}
	size := int(binary.BigEndian.Uint32(body))
	// The padding is shorter than a block, else the same content had two forms.
	if size < 1 || size > len(body)-4 || len(body)-4-size >= bodyBlock {
		return nil, false
	}
	for _, z := range body[4+size:] {
		if z != 0 {
			return nil, false
		}
	}
	return body[4 : 4+size], true
}

// take gives n bytes, zeros after a fault.
func (r *bodyReader) take(n int) []byte {
	if n > len(r.rest) {
		r.fault, r.rest = true, nil
		return make([]byte, min(n, 64))
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *bodyReader) bytes() []byte {
	n := binary.BigEndian.Uint32(r.take(4))
	return r.take(int(n))
}
