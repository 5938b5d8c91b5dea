package natsfile

import "fmt"

// Rules say what the blocks of a stream may hold beside a dense row of
// messages.
type Rules struct {
	// Expires is set where the oldest messages may go by age. The server then
	// removes each block whose messages are all gone. Where nothing is left it
	// begins a new block with a tombstone of the last sequence.
	Expires bool
	// Known returns the newest position of the stream that was durable, as
	// something beside the stream's files knows it. It is called only where the
	// last run did not end in order and all blocks are read; nil for nothing.
	Known func() (Known, error)
}

// Known is a position that was durable.
type Known struct {
	Position uint64
	By       string // names what knows it, for messages
}

// chain checks that records go on from one another.
type chain struct {
	rules Rules
	last  uint64 // sequence of the last message, 0 before the first
	// unknown is set until the first record where the messages before it were
	// not read.
	unknown bool
	// fresh is set at the begin of a block. Only there a stream that expires
	// may leave out sequences.
	fresh bool
}

// take checks the next record. limit is the highest sequence that a stream that
// expires may leave out.
func (c *chain) take(r record, limit uint64) error {
	before := r.sequence // the message before the record
	if !r.tombstone {
		before--
	}
	follows := c.unknown || before == c.last || c.rules.Expires && c.fresh && before > c.last && before <= limit
	switch {
	case r.erased:
		return fmt.Errorf("the message at position %d was erased", r.sequence)
	case r.tombstone && !c.rules.Expires:
		return fmt.Errorf("the message at position %d was deleted", r.sequence)
	case r.tombstone && r.size != recordEmpty:
		return fmt.Errorf("the tombstone of position %d has content", r.sequence)
	case r.sequence == 0:
		return fmt.Errorf("a record without a position follows position %d", c.last)
	case !r.tombstone && len(r.subject) == 0:
		return fmt.Errorf("the message at position %d has no subject", r.sequence)
	case !follows:
		return fmt.Errorf("position %d follows position %d", r.sequence, c.last)
	}
	c.last, c.unknown = r.sequence, false
	c.fresh = c.fresh && r.tombstone
	return nil
}
