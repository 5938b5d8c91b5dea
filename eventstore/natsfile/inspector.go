package natsfile

import (
	"errors"
	"io"
	"math"
	"os"
)

// inspector reads the blocks of one stream.
type inspector struct {
	dir, stream string
	ended       End
	durable     uint64 // known from the mark
	faulted     bool
	chain       chain
	content     []byte
}

// run reads all blocks up to the first thing that is not sound. Where not whole
// it reads the newest block, which a process that ended may have left cut short,
// and the block before it, which says how the newest block must begin.
func (i *inspector) run(whole bool) (*Finding, error) {
	all, err := blocks(i.dir, i.stream)
	if err != nil {
		return nil, err
	}
	i.chain.unknown = i.chain.rules.Expires
	if !whole && len(all) > 2 {
		all, i.chain.unknown = all[len(all)-2:], true
	}
	for n, b := range all {
		finding, err := i.check(b)
		if err != nil {
			return nil, err
		}
		if finding != nil {
			finding.AtEnd = finding.AtEnd && n == len(all)-1
			finding.Torn = i.torn(finding)
			return finding, nil
		}
	}
	return nil, nil //nolint:nilnil // there is no finding.
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

// torn reports whether the end of the last run can have left a finding.
//
// A machine that went down kept any part of what was not fsynced, and a failed
// fsync does the same. A process that ended can only have cut its last write
// short. A run that ended in order leaves nothing.
func (i *inspector) torn(f *Finding) bool {
	switch anything := i.ended == EndedWithMachine || i.ended == EndedWithProcess && i.faulted; {
	case i.ended == EndedInOrder:
		return false
	case f.Position > i.durable && anything:
		return true
	case f.Position > i.durable:
		return f.AtEnd && i.cutShort(f)
	default:
		// Where everything has expired the server begins a block, which is not
		// durable yet.
		return anything && i.chain.rules.Expires && f.AtEnd && f.Offset == 0 && !i.holdsDurable(f)
	}
}

// holdsDurable reports whether what is left of the block has a sound record of
// a position that is known to be durable.
func (i *inspector) holdsDurable(f *Finding) bool {
	records, err := newScanner(i.stream, f.Block)
	if err != nil {
		return true
	}
	for at := range i.content {
		if r, err := records.next(i.content[at:]); err == nil && r.sequence <= i.durable && !r.tombstone {
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
	for at := 1; at < len(i.content); at++ {
		if _, err := records.next(i.content[at:]); err == nil {
			return false
		}
	}
	return true
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
