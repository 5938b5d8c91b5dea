package eventstore

import (
	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// OpKind says what a log is about to do.
type OpKind string

// The operations of a log in which a fault can be injected.
const (
	OpAppend    OpKind = "append"
	OpBootstrap OpKind = "bootstrap"
	OpLookUp    OpKind = "look_up" // settling reads the subject
	// OpSync makes durable what is stored; only a log in memory has it. A fault
	// that does not return holds it, as a disk may hold an fsync.
	OpSync OpKind = "sync"
)

// Op is one step of a log, as a [Fault] sees it.
type Op struct {
	Kind    OpKind
	Subject string // of the message, or the one that is read
	// ID and Type are those of the (first) event of a write.
	ID   ulid.ULID
	Type domain.EventType
	// Attempt counts the sendings of one write, from 1. A settled write has
	// more than one.
	Attempt int
}

// Fault decides what happens to an operation. With a nil error it is carried
// out. With an error it is carried out if apply is true, and the error takes
// the place of its result: so (true, err) is a write that failed but
// persisted, (false, err) one that failed and did not.
//
// An error that is ErrConflict, ErrUnavailable or ErrUncertain is the answer;
// any other error is a lost acknowledgement, which the log settles.
type Fault func(Op) (apply bool, err error)

func writeOp(w write, attempt int) Op {
	m := w.messages[0]
	op := Op{Kind: OpAppend, Subject: m.subject, ID: m.event.ID, Attempt: attempt}
	if m.event.Event != nil {
		op.Type = m.event.Event.Type()
	}
	if w.first {
		op.Kind = OpBootstrap
	}
	return op
}

// inject carries out do as the fault says.
func (f Fault) inject(op Op, do func() error) error {
	if f == nil {
		return do()
	}
	apply, fault := f(op)
	if fault == nil {
		return do()
	}
	if apply {
		if err := do(); err != nil {
			return err
		}
	}
	return fault
}
