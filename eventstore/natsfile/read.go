package natsfile

import (
	"errors"
	"io/fs"
	"iter"
)

// Read yields the messages behind a position, up to one that is durable, from
// the files. For many messages that takes half the time of asking the server,
// and it may run beside the server. It ends early, without an error, where a
// block is gone or anything but the very next message follows: what that means
// is the server's to say. An error comes last and says that a file could not be
// read.
func (s *Stream) Read(after, until uint64) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		all, err := blocks(s.follower.dir, s.name)
		var content []byte
		for n := firstWith(all, after+1); err == nil && n < len(all) && after < until; n++ {
			var records *scanner
			if records, err = newScanner(s.name, all[n].number); err != nil {
				break
			}
			if content, err = readInto(content, all[n].path); errors.Is(err, fs.ErrNotExist) {
				return
			}
			for rest := content; err == nil && len(rest) > 0 && after < until; {
				r, bad := records.next(rest)
				if bad != nil || r.erased || r.tombstone {
					return
				}
				rest = rest[r.size:]
				if r.sequence <= after {
					continue
				}
				if r.sequence != after+1 || !yield(r.message(), nil) {
					return
				}
				after = r.sequence
			}
		}
		if err != nil {
			yield(Message{}, err)
		}
	}
}

// firstWith returns the index of the last block that begins at or before a
// position.
func firstWith(all []block, position uint64) int {
	for n := len(all) - 1; n > 0; n-- {
		if first, ok := firstSequence(all[n].path); ok && first <= position {
			return n
		}
	}
	return 0
}
