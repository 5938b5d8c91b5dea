package server

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/proof"
)

// checkBlocks reads the message blocks of the embedded log before its server
// does, which would cut a block off at what it can't read, and on some bytes
// runs for ever. It changes nothing. What it finds has the position that comes
// behind the last one that was sound.
//
// A crash can leave the newest message half written. It was never acknowledged,
// and the log's server cuts it off when it starts: errTorn if strict, else a
// note.
func checkBlocks(cfg Config, strict bool) (notes []string, found error) {
	if cfg.NATSURL != "" {
		return nil, nil
	}
	for stream, log := range provedStreams() {
		files, err := eventstore.BlockFiles(cfg.path(logDirectory), stream)
		if err != nil {
			return notes, err
		}
		last := uint64(0)
		var content []byte
		for i, f := range files {
			if content, err = eventstore.ReadBlock(f, content); err != nil {
				return notes, err
			}
			if eventstore.BlockCompressed(content) {
				// Its records are seen when the log is read.
				notes = append(notes, fmt.Sprintf("%s log: block %d is compressed: its checksums are left to the log's server", log, f.Number))
				last = 0
				continue
			}
			records, err := eventstore.NewBlockScanner(stream, f.Number)
			if err != nil {
				return notes, err
			}
			b := block{records: records, expires: log == proof.LogAccess, last: last}
			rest, err := b.check(content)
			if err != nil && i == len(files)-1 && b.torn(rest) {
				if err = errTorn; !strict {
					notes = append(notes, fmt.Sprintf("%s log: position %d: %v", log, b.last+1, err))
					break
				}
			}
			if err != nil {
				found = errors.Join(found, proof.NewFault(log, b.last+1, fmt.Errorf("block %d: %w", f.Number, err)))
				break
			}
			last = b.last
		}
	}
	return notes, found
}

// block is one message block while it is checked.
type block struct {
	records *eventstore.BlockScanner
	expires bool   // messages may go by age, which leaves marks
	last    uint64 // position of the last sound record, 0 for none yet
}

// check follows the records from one to the next. It gives what begins with
// the first that is not sound.
func (b *block) check(content []byte) (rest []byte, err error) {
	for len(content) > 0 {
		record, ok := b.records.Cut(content)
		if !ok {
			return content, errRecord
		}
		rest := content
		content = content[record.Size:]
		if record.Erased || record.Tombstone {
			if !b.expires || record.Size != eventstore.BlockRecordEmpty {
				return rest, errors.New("a message was deleted")
			}
			if record.Tombstone {
				continue
			}
		}
		if b.last > 0 && record.Sequence != b.last+1 || record.Sequence == 0 {
			return rest, fmt.Errorf("position %d follows", record.Sequence)
		}
		b.last = record.Sequence
	}
	return nil, nil
}

// torn says whether what is left of a block is the begin of one message: its
// length says that it goes on behind the end of the file, and nothing sound
// lies behind it.
func (b *block) torn(rest []byte) bool {
	if len(rest) >= 4 && int64(binary.LittleEndian.Uint32(rest)&^eventstore.BlockHasHeaders) <= int64(len(rest)) {
		return false
	}
	if len(rest) >= 12 && binary.LittleEndian.Uint64(rest[4:]) != b.last+1 {
		return false
	}
	for i := 1; i < len(rest); i++ {
		if _, ok := b.records.Cut(rest[i:]); ok {
			return false
		}
	}
	return true
}

var (
	errRecord = errors.New("the bytes of a message were changed or cut off")
	errTorn   = errors.New("the newest message is not whole; if this machine or the server crashed, " +
		"start the server and stop it: it cuts such a message off, which nobody was told is stored")
)
