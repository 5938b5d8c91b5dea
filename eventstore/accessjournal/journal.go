package accessjournal

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

const (
	// segmentSize is half of the file. What waits for the access log is held in
	// memory too, so this also bounds memory.
	segmentSize = 4 << 20
	// fullWait bounds how long an append waits for room.
	fullWait = 5 * time.Second
)

// Log is the access log behind a journal, to which nobody else appends. See
// [eventstore.AccessLog].
type Log interface {
	// AppendAfter is that of [eventstore.AccessLog].
	AppendAfter(ctx context.Context, after uint64, data []byte, records []domain.Access) error
	// Read is that of [eventstore.AccessReadWriter].
	Read(ctx context.Context, after uint64) iter.Seq2[domain.AccessMessage, error]
	// Status is that of [eventstore.AccessReadWriter].
	Status(ctx context.Context) (domain.LogStatus, error)
}

// Options of [Open]. The zero value is usable.
type Options struct {
	Logger *slog.Logger // told when the access log takes nothing; default: silent
}

// Journal is an [eventstore.AccessAppender] whose records are durable before the
// access log has them. Safe for concurrent use.
type Journal struct {
	log     Log
	logger  *slog.Logger
	file    file
	segment int
	full    time.Duration // fullWait; shorter in tests
	wake    chan struct{} // has room for one: the forwarder looks again

	// The forwarder's: the message that it sends, and how many entries that is
	// until the access log has it.
	merged  []byte
	sending int

	writing sync.Mutex // one append at a time; guards what follows
	current int        // the segment that is written
	offset  int64      // of the next entry, in the file
	last    [2]uint64  // the highest number in each segment
	named   uint64     // what the newest entry names as forwarded

	mu       sync.Mutex // guards what follows
	newest   uint64     // the number of the newest durable entry
	waiting  []*entry   // durable here and not in the access log, in order
	bytes    int        // of their records
	position uint64     // the head of the access log
	wanted   uint64     // entries up to this number are forwarded at once
	failed   error      // of the file, for good
	refused  error      // the last answer of the access log
	changed  chan struct{}
}

var _ eventstore.AccessAppender = (*Journal)(nil)

func newJournal(f file, segment int, log Log, o Options) *Journal {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Journal{
		log: log, logger: o.Logger, file: f, segment: segment, full: fullWait,
		wake: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// Append implements [eventstore.AccessAppender]. Nil means durable in the
// journal. Appends are written one after the other, each with a sync: the
// recorder packs what waits. ErrUnavailable: not stored; the file failed, or the
// journal was full for 5 seconds. ErrUncertain: the file failed with this write,
// and nothing is stored any more.
func (j *Journal) Append(ctx context.Context, data []byte, records []domain.Access) (uint64, error) {
	if err := check(ctx, data); err != nil {
		return 0, err
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	e := newEntry(data, records)
	if err := j.makeRoom(ctx, e); err != nil {
		return 0, err
	}
	return 0, j.write(e)
}

// write stores an entry at offset, where it fits. writing is held.
//
// A crash before the sync has ended leaves the entry whole, then the next start
// forwards it, or not, then its sectors are free: nobody was told that it is
// stored. After that it waits for the forwarder, or for the next start.
func (j *Journal) write(e *entry) error {
	j.mu.Lock()
	failed := j.failed
	e.number, e.forwarded, e.position = j.newest+1, j.forwarded(), j.position
	j.mu.Unlock()
	if failed != nil {
		return fmt.Errorf("%w: the access journal failed: %w", eventstore.ErrUnavailable, failed)
	}
	e.seal()
	_, err := j.file.WriteAt(e.bytes, j.offset)
	if err == nil {
		err = j.file.Sync()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		// What the kernel could not write it may call clean from now on: a
		// second try would prove nothing.
		j.failed = err
		return fmt.Errorf("%w: the access journal: %w", eventstore.ErrUncertain, err)
	}
	j.offset += e.room()
	j.named, j.last[j.current] = e.forwarded, e.number
	if j.newest = e.number; len(e.data()) == 0 {
		return nil
	}
	j.waiting, j.bytes = append(j.waiting, e), j.bytes+len(e.data())
	if len(j.waiting) == 1 || j.bytes >= mergeSize {
		j.signal()
	}
	return nil
}

// fits reports whether there is room for an entry at offset. The last sector of a
// segment is for an entry without records.
func (j *Journal) fits(e *entry) bool {
	end := int64(j.current+1) * int64(j.segment)
	if len(e.data()) > 0 {
		end -= sector
	}
	return j.offset+e.room() <= end
}

// turn goes to the beginning of the other segment. A durable entry names all
// entries in it as forwarded.
func (j *Journal) turn() {
	j.current = 1 - j.current
	j.offset = int64(j.current) * int64(j.segment)
}

// makeRoom goes to the other segment where an entry does not fit. writing is held.
//
// Before that, all entries of the other segment are in the access log, and a
// durable entry of this one says so: a crash that cuts the first new entry leaves
// that. A crash between the two leaves an entry without records, behind which the
// next start goes on.
func (j *Journal) makeRoom(ctx context.Context, e *entry) error {
	if j.fits(e) {
		return nil
	}
	other := j.last[1-j.current]
	waiting, cancel := context.WithTimeout(ctx, j.full)
	defer cancel()
	if err := j.wait(waiting, other); err != nil {
		return fmt.Errorf("%w: the access journal is full: %w", eventstore.ErrUnavailable, err)
	}
	if j.named < other {
		if err := j.write(newEntry(nil, nil)); err != nil {
			return err
		}
	}
	j.turn()
	return nil
}

// forwarded returns the number up to which the access log has every entry. mu is
// held.
func (j *Journal) forwarded() uint64 {
	if len(j.waiting) > 0 {
		return j.waiting[0].number - 1
	}
	return j.newest
}

// wait waits until the access log has every entry up to a number, and has them
// forwarded at once.
func (j *Journal) wait(ctx context.Context, number uint64) error {
	for {
		j.mu.Lock()
		done, changed := j.forwarded() >= number, j.changed
		j.wanted = max(j.wanted, number)
		j.mu.Unlock()
		if done {
			return nil
		}
		j.signal()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (j *Journal) signal() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Flush returns nil once the access log has everything that was appended before
// the call. It needs Run. The error is ctx's.
func (j *Journal) Flush(ctx context.Context) error {
	j.mu.Lock()
	newest := j.newest
	j.mu.Unlock()
	return j.wait(ctx, newest)
}

// Backlog returns how many bytes of records wait for the access log.
func (j *Journal) Backlog() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bytes
}

// Problem returns why no access can be recorded, or soon none, nil for no reason.
func (j *Journal) Problem() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.failed != nil:
		return fmt.Errorf("the file of the access journal failed, and no access is recorded until the next start: %w", j.failed)
	case j.refused != nil:
		return fmt.Errorf("%d bytes wait in the access journal: %w", j.bytes, j.refused)
	case j.bytes > j.segment:
		return fmt.Errorf("%d bytes wait in the access journal", j.bytes)
	}
	return nil
}

// Close closes the file. If the access log has everything it says so in the file
// first: then the next start compares nothing, and others may have appended to
// the log meanwhile. Call it when Run has ended and nobody appends.
func (j *Journal) Close() error {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	note := j.failed == nil && len(j.waiting) == 0 && j.named < j.newest
	j.mu.Unlock()
	var err error
	if note {
		e := newEntry(nil, nil)
		if !j.fits(e) { // then the last one in this segment is of makeRoom
			j.turn()
		}
		// A crash before it is durable: the next start finds the entries in the
		// log.
		err = j.write(e)
	}
	if closing := j.file.Close(); err == nil {
		err = closing
	}
	return err
}
