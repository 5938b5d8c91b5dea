package proof

import (
	"errors"
	"fmt"
)

// ErrUnsigned says that a log has no checkpoint yet, so there is nothing to
// prove it by.
var ErrUnsigned = errors.New("proof: no checkpoint was signed yet")

// Fault says where a log is not what was signed or stored.
type Fault struct {
	Log string
	// Position is the first wrong position, from 1; 0 where the fault is in
	// none, such as in a checkpoint.
	Position uint64
	// Through is Position, or a later one where only this much is known: the
	// first wrong one lies from Position through Through.
	Through uint64
	// Reason says what is wrong, without content.
	Reason string

	cause error
}

// Error implements error.
func (f *Fault) Error() string {
	switch {
	case f.Position == 0:
		return fmt.Sprintf("%s log: %s", f.Log, f.Reason)
	case f.Through > f.Position:
		return fmt.Sprintf("%s log: position %d (or one up to %d): %s", f.Log, f.Position, f.Through, f.Reason)
	}
	return fmt.Sprintf("%s log: position %d: %s", f.Log, f.Position, f.Reason)
}

// Unwrap gives what was found, if it was an error.
func (f *Fault) Unwrap() error { return f.cause }

// NewFault gives an error its place in a log; position 0 is in none.
func NewFault(log string, position uint64, err error) *Fault {
	return &Fault{Log: log, Position: position, Through: position, Reason: err.Error(), cause: err}
}
