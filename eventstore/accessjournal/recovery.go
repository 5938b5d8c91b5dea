package accessjournal

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/chancery-dev/chancery/eventstore"
)

// errRefused ends what is said of a file that cannot be used.
var errRefused = errors.New("restore the data directory from a backup, or move the journal away to go on without the records that only it holds")

// Inspect returns how many records of the journal at a path the access log does
// not have yet. It changes nothing. A journal that [Open] would refuse is an
// error; a missing one has no records.
func Inspect(ctx context.Context, path string, log Log) (records int, err error) {
	content, err := osDirectory(path).load()
	if err != nil || content == nil {
		return 0, err
	}
	found, err := parse(content, segmentSize)
	if err == nil {
		err = found.compare(ctx, log)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	for _, e := range found.waiting {
		records += bytes.Count(e.data(), []byte{'\n'})
	}
	return records, nil
}

// contents is what a journal's file holds.
type contents struct {
	newest  *entry    // nil: no entry was ever written
	last    [2]uint64 // the highest number in each segment
	waiting []*entry  // what the access log does not have
	head    uint64    // of the access log; set by compare
}

// parse reads a file. What waits is what the newest entry does not name as
// forwarded. An entry that is not whole is the newest one that a crash cut, or a
// damaged one: then an entry behind it is there, and one is missing.
func parse(content []byte, segment int) (*contents, error) {
	if len(content) != 2*segment {
		return nil, fmt.Errorf("it has %d bytes, not %d: %w", len(content), 2*segment, errRefused)
	}
	c := &contents{}
	entries := readEntries(content, segment)
	if len(entries) == 0 {
		return c, nil
	}
	c.newest = entries[len(entries)-1]
	next := c.newest.forwarded + 1
	for _, e := range entries {
		c.last[e.offset/segment] = e.number
		if e.number < next {
			continue
		}
		if e.number != next {
			return nil, fmt.Errorf("entry %d is damaged: %w", next, errRefused)
		}
		next++
		if len(e.data()) > 0 {
			c.waiting = append(c.waiting, e)
		}
	}
	return c, nil
}

// compare takes what the access log has out of what waits. The log's messages
// behind the position that the newest entry names are entries, in order.
func (c *contents) compare(ctx context.Context, log Log) error {
	status, err := log.Status(ctx)
	if err != nil {
		return err
	}
	c.head = status.Head
	if len(c.waiting) == 0 {
		return nil
	}
	position := c.newest.position
	if c.head < position {
		return fmt.Errorf("the access log ends at position %d, before position %d, which the journal knows to be durable: %w", c.head, position, errRefused)
	}
	var messages [][]byte
	expired := false
	for m, err := range log.Read(ctx, position) {
		if err != nil {
			return err
		}
		expired = expired || len(messages) == 0 && m.Position > position+1
		if messages = append(messages, m.Raw); len(messages) > len(c.waiting) {
			break // each has an entry
		}
		c.head = m.Position
	}
	// Of messages that have expired nobody knows how many entries they held. If
	// all have, the entries are appended once more: none is lost.
	for first := range c.waiting {
		if n, ok := forwarded(c.waiting[first:], messages); ok {
			c.waiting = c.waiting[first+n:]
			return nil
		}
		if !expired {
			break
		}
	}
	return fmt.Errorf("the messages of the access log behind position %d are not those of the journal: %w", position, errRefused)
}

// forwarded returns how many entries the messages hold, and reports whether they
// hold nothing else.
func forwarded(waiting []*entry, messages [][]byte) (n int, ok bool) {
	for _, m := range messages {
		for len(m) > 0 {
			if n == len(waiting) || !bytes.HasPrefix(m, waiting[n].data()) {
				return 0, false
			}
			m = m[len(waiting[n].data()):]
			n++
		}
	}
	return n, true
}

// Open makes the journal at a path, or goes on with the one that is there: what
// the access log lacks is appended to it. Nil means that the log has everything
// durably. The file is copied first, synced, and put in place of the old one: see
// invariant 4. Besides a refusal, the errors are those of the log and of the file
// system; the records then wait for the next start.
func Open(ctx context.Context, path string, log Log, o Options) (*Journal, error) {
	j, err := open(ctx, osDirectory(path), segmentSize, log, o)
	if err != nil {
		return nil, fmt.Errorf("the access journal %s: %w", path, err)
	}
	return j, nil
}

func open(ctx context.Context, dir directory, segment int, log Log, o Options) (*Journal, error) {
	content, err := dir.load()
	if err != nil {
		return nil, err
	}
	if content == nil {
		content = make([]byte, 2*segment)
	}
	found, err := parse(content, segment)
	if err != nil {
		return nil, err
	}
	if err := found.compare(ctx, log); err != nil {
		return nil, err
	}
	// A crash before this is durable leaves the old file, after it the same
	// entries. The log gets nothing before: it must not be ahead of the journal.
	f, err := dir.replace(content)
	if err != nil {
		return nil, err
	}
	j := newJournal(f, segment, log, o)
	j.position, j.waiting, j.last = found.head, found.waiting, found.last
	if e := found.newest; e != nil {
		j.newest, j.named = e.number, e.forwarded
		j.current, j.offset = e.offset/segment, int64(e.offset)+e.room()
	}
	for _, e := range j.waiting {
		j.bytes += len(e.data())
	}
	for len(j.waiting) > 0 {
		// A crash here leaves part of the entries in the log, where the next
		// start finds them.
		if err := j.forward(ctx); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return j, nil
}

// check is Append's of [eventstore.AccessReadWriter].
func check(ctx context.Context, data []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	if len(data) == 0 || len(data) > eventstore.MaxAccessMessage {
		return fmt.Errorf("%w: it has %d bytes", eventstore.ErrRefused, len(data))
	}
	return nil
}
