package projections

import (
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// keyCheckpoint is the checkpoint's key in the meta table.
const keyCheckpoint = "checkpoint"

// checkpoint says which events the file holds: all up to one position of one
// log. Its zero value is the empty fold.
type checkpoint struct {
	position uint64
	eventID  ulid.ULID // of the event there; zero for a foreign message
	created  time.Time // creation of the stream
	at       time.Time // folded time
}

func (c checkpoint) encode() []byte {
	var p pen
	p.number(c.position)
	p.ulid(c.eventID)
	p.number(uint64(c.created.Unix() - epoch/1000)) //nolint:gosec // streams are younger than year 1.
	p.number(uint64(c.created.Nanosecond()))        //nolint:gosec // not negative.
	p.time(c.at)
	return p.row
}

func decodeCheckpoint(row []byte) (checkpoint, error) {
	if row == nil {
		return checkpoint{}, nil
	}
	s := scan(row)
	c := checkpoint{position: s.number(), eventID: s.ulid()}
	seconds, nanos := s.number(), s.number()
	c.created = time.Unix(int64(seconds)+epoch/1000, int64(nanos)).UTC() //nolint:gosec // as written above.
	c.at = s.time()
	return c, s.end()
}

// integrityError says that the log contradicts itself or this version.
type integrityError struct {
	reason string
	// at is the event's index in its batch.
	at int
}

// Error implements error.
func (e *integrityError) Error() string { return "projections: " + e.reason }

func integrityf(format string, args ...any) error {
	return &integrityError{reason: fmt.Sprintf(format, args...)}
}

// confirms says whether the log's answers fit the checkpoint as far as its
// status tells.
func (c checkpoint) confirms(s domain.LogStatus) bool {
	return (c.created.IsZero() || c.created.Equal(s.Created)) && s.Head >= c.position
}
