package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/minio/highwayhash"

	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/proof"
)

// What a record is: eventstore, blocks.go. Its checksum is a HighwayHash of all
// but the lengths.

// compressedBlock begins a block that is compressed.
const compressedBlock = "cmp"

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
		for i, f := range files {
			content, err := os.ReadFile(f.Path)
			if err != nil {
				return notes, err
			}
			if bytes.HasPrefix(content, []byte(compressedBlock)) {
				// Its records are seen when the log is read.
				notes = append(notes, fmt.Sprintf("%s log: block %d is compressed: its checksums are left to the log's server", log, f.Number))
				last = 0
				continue
			}
			b := block{stream: stream, number: f.Number, expires: log == proof.LogAccess, last: last}
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
	stream  string
	number  uint32
	expires bool   // messages may go by age, which leaves marks
	last    uint64 // position of the last sound record, 0 for none yet
}

func (b *block) key() []byte {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", b.stream, b.number))
	return key[:]
}

// check follows the records from one to the next. It gives what begins with
// the first that is not sound.
func (b *block) check(content []byte) (rest []byte, err error) {
	key := b.key()
	for len(content) > 0 {
		record, err := cutRecord(content, key)
		if err != nil {
			return content, err
		}
		rest := content
		content = content[len(record):]
		sequence := binary.LittleEndian.Uint64(record[4:])
		if sequence&(eventstore.BlockIsErased|eventstore.BlockIsTombstone) != 0 {
			if !b.expires || len(record) != eventstore.BlockRecordEmpty {
				return rest, errors.New("a message was deleted")
			}
			if sequence&eventstore.BlockIsTombstone != 0 {
				continue
			}
			sequence &^= eventstore.BlockIsErased
		}
		if b.last > 0 && sequence != b.last+1 || sequence == 0 {
			return rest, fmt.Errorf("position %d follows", sequence)
		}
		b.last = sequence
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
	key := b.key()
	for i := 1; i < len(rest); i++ {
		if _, err := cutRecord(rest[i:], key); err == nil {
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

// cutRecord gives the first record, if its lengths fit each other and its
// checksum is right.
func cutRecord(content, key []byte) ([]byte, error) {
	if len(content) < eventstore.BlockRecordEmpty {
		return nil, errRecord
	}
	length := binary.LittleEndian.Uint32(content)
	size := int(length &^ eventstore.BlockHasHeaders)
	if size < eventstore.BlockRecordEmpty || size > len(content) {
		return nil, errRecord
	}
	record := content[:size]
	data := record[eventstore.BlockRecordHead : size-eventstore.BlockRecordChecksum]
	subject := int(binary.LittleEndian.Uint16(record[20:]))
	if subject > len(data) {
		return nil, errRecord
	}
	hash, err := highwayhash.New64(key)
	if err != nil {
		return nil, err
	}
	parts := [][]byte{record[4:20], data[:subject], data[subject:]}
	if length&eventstore.BlockHasHeaders != 0 {
		rest := data[subject:]
		if len(rest) < 4 || int64(binary.LittleEndian.Uint32(rest)) > int64(len(rest)-4) {
			return nil, errRecord
		}
		parts[2] = rest[4:]
	}
	for _, part := range parts {
		_, _ = hash.Write(part) // never fails
	}
	if !bytes.Equal(hash.Sum(nil), record[size-eventstore.BlockRecordChecksum:]) {
		return nil, errRecord
	}
	return record, nil
}
