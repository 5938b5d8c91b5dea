package eventstore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// RecordHeader is the NATS header that holds an event's record.
const RecordHeader = "Chancery-Record"

const (
	// maxRecordLen keeps a message's headers under the 64 KiB that the server
	// allows, and a record under the 65,535 bytes of a tlog-tiles entry.
	maxRecordLen = 60 << 10
	// minPayload is the max_payload that a server must have at least.
	minPayload = 2 << 20
	// maxMessageLen bounds record and body together; the rest of minPayload
	// is for the headers that NATS itself needs.
	maxMessageLen = minPayload - 4<<10
)

// message is an event on its way into the log.
type message struct {
	subject string
	record  []byte
	body    []byte
	// event is what decoding the message gives.
	event domain.Recorded
}

// stored is a message as it lies in the log.
type stored struct {
	subject  string
	position uint64
	at       time.Time // of storing, by the store's clock; zero where nobody asks
	headers  map[string][]string
	data     []byte
}

// encode gives the message that records the event. ErrRefused: it has none, a
// plaintext value is one reason. Equal events give equal messages.
func encode(stream domain.Stream, p domain.Proposed) (message, error) {
	if stream == nil || p.Event == nil {
		return message{}, refusedf("it has no stream or no content")
	}
	if e, ok := p.Event.(domain.KeyDestroyed); ok && e.Ref.Org != stream.Organization() {
		return message{}, refusedf("it names another organization")
	}
	body, err := encodeBody(p.ID, domain.BodyOf(p.Event))
	if err != nil {
		return message{}, err
	}
	rec, err := encodeRecord(record{
		Record: domain.Record{
			ID: p.ID, Type: p.Event.Type(), Stream: stream, Version: p.Version, Time: p.Time,
			Actor: p.Actor, Origin: p.Origin, Details: domain.Describe(stream, p.Event),
		},
		bodyHash: sha256.Sum256(body),
	})
	if err != nil {
		return message{}, err
	}
	if len(rec)+len(body) > maxMessageLen {
		return message{}, refusedf("it has %d bytes, more than %d", len(rec)+len(body), maxMessageLen)
	}
	m := message{subject: domain.SubjectPrefix + stream.Subject(), record: rec, body: body}
	// What cannot be read back would stop every projection for ever, so it is
	// refused here.
	if m.event, err = decode(stored{
		subject: m.subject, headers: map[string][]string{RecordHeader: {string(rec)}}, data: body,
	}); err != nil {
		return message{}, refusedf("it cannot be read back: %s", corruption(err).Reason)
	}
	return m, nil
}

// decode gives the event that a message records. The only error is a
// [CorruptError], without a digest.
func decode(m stored) (domain.Recorded, error) {
	r, err := decodeEvent(m)
	if err != nil {
		return domain.Recorded{}, &CorruptError{Position: m.position, Reason: err.Error()}
	}
	return r, nil
}

func decodeEvent(m stored) (domain.Recorded, error) {
	subject, stream, err := parseSubject(m.subject)
	if err != nil {
		return domain.Recorded{}, err
	}
	raw, err := onlyRecord(m.headers)
	if err != nil {
		return domain.Recorded{}, err
	}
	rec, err := decodeRecord(stream, subject, raw)
	if err != nil {
		return domain.Recorded{}, err
	}
	if sha256.Sum256(m.data) != rec.bodyHash {
		return domain.Recorded{}, errors.New("the body is not the one that the record names")
	}
	body, err := decodeBody(rec.ID, rec.Details.Fields, m.data)
	if err != nil {
		return domain.Recorded{}, err
	}
	event, ok := domain.Compose(rec.Type, stream, rec.Details, body)
	if !ok {
		return domain.Recorded{}, errors.New("the type is unknown, or its members do not fit it")
	}
	return domain.Recorded{
		ID: rec.ID, Stream: stream, Position: m.position, Version: rec.Version, Time: rec.Time,
		Actor: rec.Actor, Origin: rec.Origin, Event: event, Raw: []byte(raw), BodyHash: rec.bodyHash,
	}, nil
}

// parseSubject gives a message's stream, and the stream's own Subject.
func parseSubject(subject string) (string, domain.Stream, error) {
	own, ok := strings.CutPrefix(subject, domain.SubjectPrefix)
	if !ok {
		return "", nil, errSubject
	}
	stream, err := domain.ParseStream(own)
	if err != nil {
		return "", nil, errors.New("the subject is not one of a stream")
	}
	return own, stream, nil
}

// onlyRecord finds the one record among the headers. A second one, however it
// is spelt, could be shown to someone as the record.
func onlyRecord(headers map[string][]string) (string, error) {
	count := 0
	for name, values := range headers {
		if strings.EqualFold(name, RecordHeader) {
			count += len(values)
		}
	}
	if values := headers[RecordHeader]; count == 1 && len(values) == 1 {
		return values[0], nil
	}
	return "", errors.New("the message does not have exactly one record")
}

// holds says whether s is m, stored.
func (s stored) holds(m message) bool {
	values := s.headers[RecordHeader]
	if m.record == nil {
		return len(values) == 0 && bytes.Equal(s.data, m.body)
	}
	return len(values) == 1 && values[0] == string(m.record) && bytes.Equal(s.data, m.body)
}

func corruption(err error) *CorruptError {
	if c, ok := errors.AsType[*CorruptError](err); ok {
		return c
	}
	return &CorruptError{Reason: "unknown"}
}
