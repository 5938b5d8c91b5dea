package projections

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// What the log remembers only for a while, by event time. The margins are for
// clocks that disagree.
const (
	// IdempotencyWindow is how long a request is known by its Idempotency-Key,
	// by the wall clock.
	IdempotencyWindow  = 24 * time.Hour
	idempotencyKept    = IdempotencyWindow + 10*time.Minute
	dataKeyKept        = 15*time.Minute + time.Minute
	expiredAtOnce      = 128 // rows of a kind that one event removes at most
	idempotencyRowSize = 128
)

// recent says whether a data key is young enough, by the event's time, to be
// remembered beside the current ones.
func (f *fold) recent(d domain.DekID) bool { return ulid.ULID(d).Time() >= f.dekCutoff() }

func (f *fold) dekCutoff() uint64 {
	return uint64(max(0, f.mark.at.Add(-dataKeyKept).UnixMilli()))
}

// expire removes what has aged out at the event's time, oldest first and at
// most a fixed number of rows: more than an event adds, so that nothing piles
// up, and few, so that the first event after a quiet time stays cheap.
func (f *fold) expire() error {
	cutoff := f.dekCutoff()
	err := f.expireFrom(tableDeksRecent, &f.oldestDek, func(key []byte) bool {
		var id ulid.ULID
		copy(id[:], key)
		return id.Time() < cutoff
	}, func([]byte) error { return nil })
	if err != nil {
		return err
	}
	oldest := millis(f.mark.at.Add(-idempotencyKept))
	return f.expireFrom(tableIdempotencyTimes, &f.oldestRequest, func(key []byte) bool {
		return len(key) >= 16 && binary.BigEndian.Uint64(key) < oldest
	}, func(key []byte) error {
		return f.forget(f.at(tableIdempotencyTimes).Get(key), binary.BigEndian.Uint64(key[8:]))
	})
}

// oldestRow is where a table begins that ages. Rows are put behind it, so that
// it need not be looked for with every event.
type oldestRow struct {
	known bool
	key   []byte // nil: the table is empty
}

// put notes a new row.
func (o *oldestRow) put(key []byte) {
	if o.known && (o.key == nil || bytes.Compare(key, o.key) < 0) {
		o.key = key
	}
}

// expireFrom removes rows from the begin of a table while their keys are too
// old, after what hangs on them. The first row is not read before it is.
func (f *fold) expireFrom(t table, oldest *oldestRow, tooOld func(key []byte) bool, forget func(key []byte) error) error {
	for range expiredAtOnce {
		if !oldest.known {
			first, _ := f.at(t).Cursor().First()
			*oldest = oldestRow{known: true, key: bytes.Clone(first)}
		}
		key := oldest.key
		if key == nil || !tooOld(key) {
			return nil
		}
		if err := forget(key); err != nil {
			return err
		}
		if err := f.put(t, key, nil); err != nil {
			return err
		}
		next, _ := f.at(t).Cursor().Seek(key)
		*oldest = oldestRow{known: true, key: bytes.Clone(next)}
	}
	return nil
}

// forget removes an idempotency key unless a later event has taken it over.
func (f *fold) forget(name []byte, position uint64) error {
	name = bytes.Clone(name)
	row, err := decodeIdempotent(f.at(tableIdempotency).Get(name))
	if err != nil || row.Position != position {
		return err
	}
	return f.put(tableIdempotency, name, nil)
}

// remember files an event under its request's Idempotency-Key.
func (f *fold) remember(r domain.Recorded) error {
	if r.Origin.IdempotencyKey == "" || r.Actor.Kind != domain.ActorAgent {
		return nil
	}
	operation := domain.EventOperation(r.Stream, r.Event)
	if operation == "" {
		return nil
	}
	name := idempotencyName(domain.AgentID(r.Actor.ID), operation, r.Origin.IdempotencyKey)
	p := pen{row: make([]byte, 0, idempotencyRowSize)}
	p.number(r.Position)
	p.number(r.Version)
	p.time(r.At)
	p.text(r.Stream.Subject())
	if err := f.put(tableIdempotency, name, p.row); err != nil {
		return err
	}
	due := binary.BigEndian.AppendUint64(make([]byte, 0, 16), millis(r.At))
	due = binary.BigEndian.AppendUint64(due, r.Position)
	f.oldestRequest.put(due)
	return f.put(tableIdempotencyTimes, due, name)
}

// idempotencyName is SHA-256 over the three parts, each after its length: a
// key of fixed size.
func idempotencyName(agent domain.AgentID, operation, key string) []byte {
	p := pen{row: make([]byte, 0, 3*binary.MaxVarintLen16+len(agent)+len(operation)+len(key))}
	p.text(string(agent))
	p.text(operation)
	p.text(key)
	sum := sha256.Sum256(p.row)
	return sum[:]
}

// decodeIdempotent gives the zero event for no row.
func decodeIdempotent(row []byte) (domain.IdempotentEvent, error) {
	if row == nil {
		return domain.IdempotentEvent{}, nil
	}
	s := scan(row)
	e := domain.IdempotentEvent{Position: s.number(), Version: s.number(), At: s.time()}
	subject := s.text()
	if err := s.end(); err != nil {
		return domain.IdempotentEvent{}, err
	}
	var err error
	e.Stream, err = domain.ParseStream(subject)
	return e, err
}
