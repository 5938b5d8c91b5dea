package eventstore

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"sync"
	"time"
)

const (
	// blockWorth is how many messages must be wanted before it is worth to open
	// the blocks; a consumer gives fewer as quickly.
	blockWorth = 256
	// What is decoded at once, and how many of these may wait.
	partMessages, partBytes, partsWaiting = 128, 1 << 20, 8
)

// part is a run of messages on its way through decoding.
type part[T any] struct {
	messages []stored
	values   []T   // of the first messages, up to the first fault
	err      error // that fault
	decoded  chan struct{}
}

// readBlocks yields what the blocks of an embedded server's stream hold behind
// the last message of d, in order and without a gap, and moves d on. The server
// hands out one message at a time; this reads a block at once, and decodes on
// all processors.
//
// It stops without an error before the first thing that it does not
// understand: a block that is compressed, or is being written to or written
// anew, a checksum that is wrong, a message that is missing. What that means is
// the server's to say, who is asked next. Other errors are those of hand.
func (l *reader[T]) readBlocks(ctx context.Context, d *delivery, yield func(T, error) bool) error {
	if l.sync == nil || d.filter != "" {
		return nil
	}
	until := d.until
	if until == 0 {
		info, err := l.info(ctx)
		if err != nil {
			return err
		}
		if until = info.State.LastSeq; d.created.IsZero() {
			d.created = info.Created
		}
	}
	if until < d.last+blockWorth {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	parts, work := make(chan *part[T], partsWaiting), make(chan *part[T], partsWaiting)
	for range min(4, runtime.GOMAXPROCS(0)) {
		working.Go(func() {
			for p := range work {
				l.decodePart(ctx, p)
			}
		})
	}
	var cutErr error
	working.Go(func() {
		defer close(parts)
		defer close(work)
		c := cutter[T]{ctx: ctx, last: d.last, until: until, parts: parts, work: work}
		cutErr = c.stream(l.sync.dir, l.config.Name)
	})
	for p := range parts {
		<-p.decoded
		for i, v := range p.values {
			if err := ctx.Err(); err != nil {
				return err
			}
			m := p.messages[i]
			d.last, d.previous, d.seen = m.position, m, true
			if !yield(v, nil) {
				return errLeft
			}
		}
		if p.err != nil {
			return p.err
		}
	}
	return cutErr
}

func (l *reader[T]) decodePart(ctx context.Context, p *part[T]) {
	defer close(p.decoded)
	p.values = make([]T, 0, len(p.messages))
	for _, m := range p.messages {
		if p.err = ctx.Err(); p.err != nil {
			return
		}
		v, err := l.meaning(ctx, m)
		if err != nil {
			p.err = err
			return
		}
		p.values = append(p.values, v)
	}
}

// cutter cuts a stream's blocks into parts.
type cutter[T any] struct {
	ctx         context.Context //nolint:containedctx // of one reading, as all of it.
	last, until uint64
	parts, work chan<- *part[T]
	block       []byte
	next        part[T]
	bytes       int
}

// stream cuts block after block, as far as they go on from the last message.
func (c *cutter[T]) stream(dir, stream string) error {
	files, err := BlockFiles(dir, stream)
	if err != nil {
		return err
	}
	for i := c.first(files); i < len(files) && c.last < c.until; i++ {
		if c.block, err = ReadBlock(files[i], c.block); errors.Is(err, fs.ErrNotExist) {
			break // it expired
		} else if err != nil {
			return err
		}
		records, err := NewBlockScanner(stream, files[i].Number)
		if err != nil {
			return err
		}
		if whole := c.cut(records); !whole {
			break
		}
	}
	c.hand()
	return c.ctx.Err()
}

// first gives the index of the last block that begins at or before what is
// wanted.
func (c *cutter[T]) first(files []BlockFile) int {
	for i := len(files) - 1; i > 0; i-- {
		if sequence, ok := firstSequence(files[i].Path); ok && sequence <= c.last+1 {
			return i
		}
	}
	return 0
}

// cut goes through the block. false: it must not go on behind it.
func (c *cutter[T]) cut(records *BlockScanner) bool {
	if BlockCompressed(c.block) {
		return false
	}
	for rest := c.block; len(rest) > 0 && c.last < c.until; {
		r, ok := records.Cut(rest)
		if !ok || r.Erased || r.Tombstone {
			return false
		}
		rest = rest[r.Size:]
		if r.Sequence <= c.last {
			continue
		}
		if r.Sequence != c.last+1 || !c.add(r) {
			return false
		}
	}
	return true
}

// add takes a record over: the block's memory is used again. false: it can't be
// read, or nobody wants it any more.
func (c *cutter[T]) add(r BlockRecord) bool {
	m := stored{
		subject: string(r.Subject), position: r.Sequence, at: time.Unix(0, r.Time).UTC(),
		data: append([]byte(nil), r.Data...),
	}
	if len(r.Headers) > 0 {
		var ok bool
		if m.headers, ok = decodeHeaders(r.Headers); !ok {
			return false
		}
	}
	c.last = r.Sequence
	c.next.messages = append(c.next.messages, m)
	if c.bytes += r.Size; len(c.next.messages) == partMessages || c.bytes >= partBytes {
		return c.hand()
	}
	return true
}

// hand gives the part that is ready to whoever decodes and to whoever yields.
func (c *cutter[T]) hand() bool {
	if len(c.next.messages) == 0 {
		return true
	}
	p := &part[T]{messages: c.next.messages, decoded: make(chan struct{})}
	c.next.messages, c.bytes = make([]stored, 0, partMessages), 0
	select {
	case c.work <- p:
	case <-c.ctx.Done():
		return false
	}
	select {
	case c.parts <- p:
		return true
	case <-c.ctx.Done():
		return false
	}
}
