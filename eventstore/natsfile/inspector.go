package natsfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
)

// inspector reads the blocks of one stream.
type inspector struct {
	dir, stream string
	ended       End
	faulted     bool
	whole       bool // all blocks are read
	expires     bool // the oldest messages may have gone
	known       Known
	chain       chain
	content     []byte // of the newest block that was read; after a finding, what lies behind it
}

// run reads all blocks up to the first thing that is not sound. Where not whole
// it reads the newest block, which a process that ended may have left cut short,
// and the block before it, which says how the newest block must begin.
func (i *inspector) run() (*Finding, error) {
	all, err := blocks(i.dir, i.stream)
	if err != nil {
		return nil, err
	}
	i.expires = i.chain.rules.Expires && mayExpire(i.dir, i.stream)
	i.chain.unknown = i.chain.rules.Expires
	if !i.whole && len(all) > 2 {
		all, i.chain.unknown = all[len(all)-2:], true
	}
	for n, b := range all {
		finding, err := i.check(b)
		if err != nil {
			return nil, err
		}
		if finding != nil {
			finding.AtEnd = finding.AtEnd && n == len(all)-1
			finding.Damage = i.damage(finding)
			finding.Torn = finding.Damage == ""
			return finding, i.measure(finding, all[n+1:])
		}
	}
	return i.lost(all), nil
}

// check reads one block.
func (i *inspector) check(b block) (*Finding, error) {
	records, err := newScanner(i.stream, b.number)
	if err != nil {
		return nil, err
	}
	if i.content, err = readInto(i.content, b.path); err != nil {
		return nil, err
	}
	i.chain.fresh = true
	for offset := 0; offset < len(i.content); {
		r, err := records.next(i.content[offset:])
		unreadable := err != nil
		if err == nil {
			err = i.chain.take(r, math.MaxUint64)
		}
		if err != nil {
			i.content = i.content[offset:]
			return &Finding{
				Stream: i.stream, Block: b.number, Offset: int64(offset), Position: i.chain.last + 1,
				AtEnd: unreadable, Reason: err.Error(),
			}, nil
		}
		offset += r.size
	}
	return nil, nil //nolint:nilnil // there is no finding.
}

// lost returns a finding where sound blocks end below a position that was
// durable. Where all messages may have expired, the server's next block, which
// names the last position, may be what is gone.
func (i *inspector) lost(all []block) *Finding {
	if i.chain.last >= i.known.Position || i.expires || i.chain.unknown && !i.whole {
		return nil
	}
	f := &Finding{
		Stream: i.stream, Position: i.chain.last + 1, AtEnd: true,
		Reason: "the files end here", Damage: i.wasDurable(),
	}
	if len(all) > 0 {
		f.Block, f.Offset = all[len(all)-1].number, int64(len(i.content))
	}
	return f
}

// damage says why the end of the last run cannot have left a finding, "" where
// it can.
//
// A machine that went down kept any part of what was not fsynced, and a failed
// fsync does the same. A process that ended can only have cut its last write
// short. A run that ended in order leaves nothing.
func (i *inspector) damage(f *Finding) string {
	switch anything := i.ended == EndedWithMachine || i.ended == EndedWithProcess && i.faulted; {
	case i.ended == EndedInOrder:
		return "the last run of the server ended in order"
	case f.Position <= i.known.Position:
		// Where everything has expired the server begins a block, which is not
		// durable yet.
		if anything && i.expires && f.AtEnd && f.Offset == 0 && !i.holdsDurable(f) {
			return ""
		}
		return i.wasDurable()
	case anything || f.AtEnd && i.cutShort(f):
		return ""
	}
	return "the machine did not go down, and a process that ends leaves no more than its newest record cut short"
}

func (i *inspector) wasDurable() string {
	return fmt.Sprintf("position %d was durable, as %s says", i.known.Position, i.known.By)
}

// holdsDurable reports whether what is left of the block has a sound record of
// a position that is known to be durable.
func (i *inspector) holdsDurable(f *Finding) bool {
	records, err := newScanner(i.stream, f.Block)
	if err != nil {
		return true
	}
	for r := range records.sound(i.content) {
		if r.sequence <= i.known.Position && !r.tombstone {
			return true
		}
	}
	return false
}

// cutShort reports whether what is left of the block is the begin of one
// record, with nothing sound in it.
func (i *inspector) cutShort(f *Finding) bool {
	records, err := newScanner(i.stream, f.Block)
	if err != nil {
		return false
	}
	if _, err := records.next(i.content); !errors.Is(err, errShort) {
		return false
	}
	if len(i.content) >= recordHead && sequenceOf(i.content) != f.Position {
		return false
	}
	for range records.sound(i.content) {
		return false
	}
	return true
}

// measure finds out how much lies behind a finding, in its block and in the
// younger ones.
func (i *inspector) measure(f *Finding, younger []block) error {
	number, content := f.Block, i.content
	for {
		records, err := newScanner(i.stream, number)
		if err != nil {
			return err
		}
		f.Behind += int64(len(content))
		for r := range records.sound(content) {
			f.Through = max(f.Through, r.sequence)
		}
		if len(younger) == 0 {
			return nil
		}
		number = younger[0].number
		if content, err = readInto(content[:0], younger[0].path); err != nil {
			return err
		}
		younger = younger[1:]
	}
}

// mayExpire reports whether the server removes the oldest messages of a stream.
// It does where its settings cannot be read.
func mayExpire(dir, stream string) bool {
	text, err := os.ReadFile(filepath.Join(streamDir(dir, stream), settingsFile))
	if err != nil {
		return true
	}
	var settings struct {
		MaxAge *int64 `json:"max_age"`
	}
	return json.Unmarshal(text, &settings) != nil || settings.MaxAge == nil || *settings.MaxAge != 0
}

// readInto reads a file, into a buffer if there is room.
func readInto(buffer []byte, path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // a block of the data directory.
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read.
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := int(info.Size())
	if cap(buffer) < size {
		buffer = make([]byte, size)
	}
	_, err = io.ReadFull(f, buffer[:size])
	return buffer[:size], err
}
