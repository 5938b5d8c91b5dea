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
	c := f.at(tableDeksRecent).Cursor()
	for range expiredAtOnce {
		key, _ := c.First()
		var id ulid.ULID
		if copy(id[:], key); key == nil || id.Time() >= cutoff {
			break
		}
		if err := c.Delete(); err != nil {
			return err
		}
	}
	oldest := millis(f.mark.at.Add(-idempotencyKept))
	c = f.at(tableIdempotencyTimes).Cursor()
	for range expiredAtOnce {
		key, name := c.First()
		if len(key) < 16 || binary.BigEndian.Uint64(key) >= oldest {
			break
		}
		if err := f.forget(name, binary.BigEndian.Uint64(key[8:])); err != nil {
			return err
		}
		if err := c.Delete(); err != nil {
			return err
		}
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
	due := binary.BigEndian.AppendUint64(nil, millis(r.At))
	return f.put(tableIdempotencyTimes, append(due, positionKey(r.Position)...), name)
}

// idempotencyName is SHA-256 over the three parts, each after its length: a
// key of fixed size.
func idempotencyName(agent domain.AgentID, operation, key string) []byte {
	var p pen
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
