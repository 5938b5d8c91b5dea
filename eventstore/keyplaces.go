package eventstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// keyRead is read at once where a key should lie.
const keyRead = 1 << 10

// lookRooms has the room of the last look, a block of 8 MiB perhaps, until the
// collector wants it: of type *[]byte.
var lookRooms sync.Pool

// keyPlaces knows where the messages of the embedded server's keys lie in its
// blocks. To give one, the server reads a whole block of 8 MiB unless that is in
// memory, and with a million secrets it mostly is not.
//
// What it says is a guess: erasing a key moves those behind it. What is found
// in a place counts only if its checksum is right and its subject is the one
// that is asked for; where it is not, its block is looked through again, and
// then the server is asked.
type keyPlaces struct {
	dir, stream string
	seed        maphash.Seed

	mu sync.RWMutex
	at map[uint64]keyPlace // by the subject's hash

	// looking is held by who looks through blocks; the rest belongs to them.
	looking sync.Mutex
	block   uint32 // the newest that was looked through
	offset  int64  // up to here
	room    []byte
}

type keyPlace struct {
	block  uint32
	offset uint32
}

func newKeyPlaces(dir, stream string) *keyPlaces {
	return &keyPlaces{dir: dir, stream: stream, seed: maphash.MakeSeed(), at: map[uint64]keyPlace{}}
}

// read gives the one message of a subject; false: it may be there or not.
func (p *keyPlaces) read(subject string) (stored, bool) {
	hash := maphash.String(p.seed, subject)
	place, known := p.find(hash)
	if !known {
		if err := p.lookOn(); err != nil {
			return stored{}, false
		}
		if place, known = p.find(hash); !known {
			return stored{}, false
		}
	}
	if m, ok := p.readAt(place, subject); ok {
		return m, true
	}
	if err := p.lookAgain(hash, place.block); err != nil {
		return stored{}, false
	}
	if place, known = p.find(hash); !known {
		return stored{}, false
	}
	return p.readAt(place, subject)
}

func (p *keyPlaces) find(hash uint64) (keyPlace, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	place, ok := p.at[hash]
	return place, ok
}

func (p *keyPlaces) path(block uint32) string {
	return filepath.Join(messagesDir(p.dir, p.stream), strconv.FormatUint(uint64(block), 10)+BlockSuffix)
}

func (p *keyPlaces) readAt(place keyPlace, subject string) (stored, bool) {
	f, err := os.Open(p.path(place.block))
	if err != nil {
		return stored{}, false
	}
	defer f.Close() //nolint:errcheck // only read.
	part := make([]byte, keyRead)
	n, err := f.ReadAt(part, int64(place.offset))
	if err != nil && !errors.Is(err, io.EOF) || n < BlockRecordEmpty {
		return stored{}, false
	}
	if size := int(binary.LittleEndian.Uint32(part) &^ BlockHasHeaders); size > n {
		if size > embeddedPayload {
			return stored{}, false
		}
		part = make([]byte, size)
		if n, err = f.ReadAt(part, int64(place.offset)); err != nil {
			return stored{}, false
		}
	}
	records, err := NewBlockScanner(p.stream, place.block)
	if err != nil {
		return stored{}, false
	}
	r, ok := records.Cut(part[:n])
	if !ok || r.Erased || r.Tombstone || string(r.Subject) != subject {
		return stored{}, false
	}
	return stored{subject: subject, position: r.Sequence, at: time.Unix(0, r.Time).UTC(), data: bytes.Clone(r.Data)}, true
}

// lookOn looks through what was written since the last time.
func (p *keyPlaces) lookOn() error {
	p.begin()
	defer p.end()
	files, err := BlockFiles(p.dir, p.stream)
	if err != nil {
		return err
	}
	for _, b := range files {
		if b.Number < p.block {
			continue
		}
		if b.Number > p.block {
			p.block, p.offset = b.Number, 0
		}
		if p.offset, err = p.look(b, p.offset); err != nil {
			return err
		}
	}
	return nil
}

// begin and end are around the looking.
func (p *keyPlaces) begin() {
	p.looking.Lock()
	if room, ok := lookRooms.Get().(*[]byte); ok {
		p.room = *room
	}
}

func (p *keyPlaces) end() {
	room := p.room
	p.room = nil
	lookRooms.Put(&room)
	p.looking.Unlock()
}

// lookAgain looks through a block that is not as it was, and forgets where a
// subject was there.
func (p *keyPlaces) lookAgain(hash uint64, block uint32) error {
	p.begin()
	defer p.end()
	p.mu.Lock()
	if p.at[hash].block == block {
		delete(p.at, hash)
	}
	p.mu.Unlock()
	end, err := p.look(BlockFile{Path: p.path(block), Number: block}, 0)
	if block == p.block {
		p.offset = end
	}
	return err
}

var errCompressed = errors.New("eventstore: the block is compressed")

// look notes the messages of a block behind an offset, and gives where the last
// of them ends. It does not check them: who reads one does.
func (p *keyPlaces) look(b BlockFile, offset int64) (end int64, err error) {
	room, err := readBlockFrom(b, offset, p.room)
	switch {
	case errors.Is(err, errBlockShorter):
		return p.look(b, 0)
	case err != nil:
		return offset, fmt.Errorf("eventstore: %w", err)
	}
	p.room = room
	if offset == 0 && BlockCompressed(p.room) {
		return 0, errCompressed
	}
	length := p.note(b.Number, offset)
	if offset > 0 && length == 0 && len(p.room) >= BlockRecordEmpty {
		return p.look(b, 0) // no record begins there any more: the block was written anew
	}
	return offset + int64(length), nil
}

// note goes through what was read of a block, and gives how much of it are whole
// records.
func (p *keyPlaces) note(block uint32, offset int64) (length int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		rest := p.room[length:]
		size, ok := recordSize(rest)
		if !ok {
			return length
		}
		subject := int(binary.LittleEndian.Uint16(rest[20:]))
		if subject > size-BlockRecordEmpty {
			return length
		}
		if _, ok := messageSequence(rest); ok {
			place := keyPlace{block: block, offset: uint32(offset) + uint32(length)} //nolint:gosec // a block has some MiB.
			p.at[maphash.Bytes(p.seed, rest[BlockRecordHead:BlockRecordHead+subject])] = place
		}
		length += size
	}
}
