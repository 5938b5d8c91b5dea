package natsfile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// End is how the last run of a server on a directory ended.
type End int

const (
	// EndedInOrder says that everything that was written is durable.
	EndedInOrder End = iota
	// EndedWithProcess says that the process ended and the machine did not: what
	// was written is in the kernel's memory or on the disk.
	EndedWithProcess
	// EndedWithMachine says that the machine went down: what was not fsynced may
	// be gone, any part of it.
	EndedWithMachine
)

func endOf(last mark, running bool) End {
	switch boot := bootID(); {
	case !running:
		return EndedInOrder
	case boot != "" && boot == last.boot:
		return EndedWithProcess
	default:
		return EndedWithMachine
	}
}

// Options are what [Open] needs to know. Sync is for tests alone; the zero
// value is right for everybody else.
type Options struct {
	// Streams are those that are made durable here, by name.
	Streams map[string]Rules
	// PowerLost is called where the machine went down during the last run, before
	// that is forgotten. A crash after it makes the next Open call it again.
	// Optional.
	PowerLost func() error
	// Sync takes the place of (*os.File).Sync.
	Sync func(*os.File) error
}

// beginTries is how often the newest record of a stream is looked for while
// messages expire.
const beginTries = 3

// keepDirectory takes what [Open] cuts off with sound records in it.
const keepDirectory = "cut"

// Store is the directory of one embedded server. Safe for concurrent use.
type Store struct {
	dir     string
	options Options
	last    End // how the run before ended
	cut     []*Finding

	mu      sync.Mutex
	mark    mark
	streams map[string]*Stream

	notes sync.WaitGroup
	ended chan struct{} // closed by Close
}

// What is durable in a stream that expires is noted at least that often, and
// often while a message lives.
const (
	noteInterval = time.Minute
	noteShare    = 3
)

// Open prepares a directory for a server, which must not run yet and which must
// find nobody else there. It looks at how the last run ended, and
//
//   - writes the blocks anew that a fault of the last run made doubtful,
//   - removes the server's summaries of its blocks where the machine went down:
//     they may name messages that are not on the disk,
//   - checks the blocks that the end of the last run may have harmed: all of
//     them, or, where neither the machine went down nor there was a fault, the
//     newest two of each stream.
//
// A torn end of the newest block is cut off: see [Store.CutOff]. Where there are
// sound records in it, it goes into a new file below the directory's "cut".
// Other harm is an error that is [Findings], and nothing is changed.
func Open(dir string, o Options) (*Store, error) {
	if o.Sync == nil {
		o.Sync = (*os.File).Sync
	}
	s := &Store{dir: dir, options: o, streams: map[string]*Stream{}, ended: make(chan struct{})}
	last, running, err := readMark(dir)
	if err != nil {
		return nil, err
	}
	s.last, s.mark = endOf(last, running), newMark(bootID())
	if running {
		s.mark.durable = last.durable
		for stream, believed := range last.faulted { // it is written anew below
			s.mark.durable[stream] = max(s.mark.durable[stream], believed)
		}
	}
	if err := s.heal(last); err != nil {
		return nil, err
	}
	// A crash here leaves what was there: the next start does the same again.
	return s, s.mark.write(dir, o.Sync)
}

// heal does what the end of the last run asks for.
func (s *Store) heal(last mark) error {
	for stream, durable := range last.faulted {
		if err := rewrite(s.dir, stream, durable, s.options.Sync); err != nil {
			return fmt.Errorf("natsfile: writing the blocks of %s anew: %w", stream, err)
		}
	}
	whole := s.last == EndedWithMachine || len(last.faulted) > 0
	if whole {
		if err := dropIndexes(s.dir); err != nil {
			return err
		}
	}
	inspection, err := inspect(s.dir, s.options.Streams, whole)
	if err != nil {
		return err
	}
	var harm Findings
	for _, f := range inspection.Findings {
		if !f.Torn || !f.AtEnd {
			harm = append(harm, f)
		}
	}
	if len(harm) > 0 {
		return harm
	}
	for _, f := range inspection.Findings {
		if err := s.cutEnd(f); err != nil {
			return fmt.Errorf("natsfile: cutting off the end of %s: %w", f.Stream, err)
		}
		s.cut = append(s.cut, f)
	}
	if s.last != EndedWithMachine {
		return nil
	}
	if s.options.PowerLost != nil {
		if err := s.options.PowerLost(); err != nil {
			return err
		}
	}
	for name, rules := range s.options.Streams {
		known := inspection.Known[name].Position
		if !rules.Expires || inspection.Last[name] >= known {
			continue
		}
		if err := keepSequence(s.dir, name, known, s.options.Sync); err != nil {
			return fmt.Errorf("natsfile: keeping the last position of %s: %w", name, err)
		}
	}
	return nil
}

// cutEnd cuts off a torn end. Where it has sound records, damage to a message
// that was durable looks the same: what was cut off is kept.
func (s *Store) cutEnd(f *Finding) error {
	if f.Through > 0 {
		return cut(s.dir, f, filepath.Join(s.dir, keepDirectory), s.options.Sync)
	}
	return cutEnd(s.dir, f, s.options.Sync)
}

// Ended returns how the last run before this one ended.
func (s *Store) Ended() End { return s.last }

// CutOff returns the torn ends that [Open] cut off.
func (s *Store) CutOff() []*Finding { return s.cut }

// Stream makes everything in a stream's directory durable and returns what
// makes its next messages durable. The server runs, head is the sequence of its
// newest message there, and nobody appends during the call. A head that the
// files do not have is an error. maxAge is how long a stream that expires keeps
// its messages, 0 for ever.
func (s *Store) Stream(ctx context.Context, name string, head uint64, maxAge time.Duration) (*Stream, error) {
	s.mu.Lock()
	stream := s.streams[name]
	s.mu.Unlock()
	if stream != nil {
		return stream, stream.Wait(ctx, head)
	}
	rules, ok := s.options.Streams[name]
	if !ok {
		return nil, fmt.Errorf("natsfile: stream %s is not one of those that are made durable", name)
	}
	stream = &Stream{name: name, store: s}
	for tries := 1; ; tries++ {
		stream.follower = follower{dir: s.dir, stream: name, fsync: s.options.Sync, chain: chain{rules: rules}}
		if err := stream.follower.syncAll(); err != nil {
			s.noteFaults(name)
			return nil, fmt.Errorf("natsfile: fsync failed: %w", err)
		}
		err := stream.follower.begin()
		if err == nil {
			break
		}
		stream.follower.close()
		// Where messages expire, the server may be removing a block, and writing
		// the tombstone that begins the next one.
		if !rules.Expires || tries == beginTries {
			return nil, fmt.Errorf("natsfile: %w", err)
		}
	}
	if stream.durable = stream.follower.chain.last; stream.durable != head {
		stream.follower.close()
		return nil, fmt.Errorf("natsfile: the newest message of stream %s is at position %d, but its files end at %d", name, head, stream.durable)
	}
	if err := stream.note(); err != nil {
		stream.follower.close()
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[name] = stream
	if maxAge > 0 {
		s.notes.Go(func() { s.noteRegularly(stream, min(maxAge/noteShare, noteInterval)) })
	}
	return stream, nil
}

// noteDurable notes in the directory a position that is durable, so that what
// lies before it can never be taken for what a crash left. Durable on nil.
func (s *Store) noteDurable(stream string, position uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark.durable[stream] = max(s.mark.durable[stream], position) // notes may overtake each other
	return s.mark.write(s.dir, s.options.Sync)
}

// noteRegularly notes what is durable in a stream that expires: more than once
// in the life of a message, so that a message that has expired was noted. Where
// a power loss takes the block that the server began when nothing was left,
// the note keeps its positions from being given out again.
func (s *Store) noteRegularly(stream *Stream, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for noted := uint64(0); ; {
		select {
		case <-s.ended:
			return
		case <-tick.C:
		}
		if durable := stream.Durable(); durable != noted {
			if err := s.noteDurable(stream.name, durable); err != nil {
				stream.fail(fmt.Errorf("natsfile: noting what is durable: %w", err))
				return
			}
			noted = durable
		}
	}
}

// noteFault notes in the directory how far a stream is to be believed. Where the
// note cannot be fsynced either, it is written without: the next process on this
// machine needs it, and after a crash of the machine the kernel's memory, which
// it warns of, is gone too.
func (s *Store) noteFault(stream string, durable uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark.faulted[stream] = durable
	s.writeFaults()
}

// noteFaults notes streams of which all that is known is what was noted before.
func (s *Store) noteFaults(streams ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range streams {
		s.mark.faulted[name] = max(s.mark.faulted[name], s.mark.durable[name])
	}
	s.writeFaults()
}

// writeFaults writes the mark, if need be without an fsync. mu is held.
func (s *Store) writeFaults() {
	if s.mark.write(s.dir, s.options.Sync) != nil {
		_ = s.mark.write(s.dir, func(*os.File) error { return nil })
	}
}

// Close makes everything durable that the server wrote, and notes it. The
// server must have ended. Who still waits gets an error. After an error, and
// after a fault of a stream, the next [Open] finds a run that did not end in
// order. It is called once.
func (s *Store) Close() error {
	close(s.ended)
	s.notes.Wait()
	s.mu.Lock()
	streams := slices.Collect(maps.Values(s.streams))
	s.mu.Unlock()
	var faults []error
	for _, stream := range streams {
		faults = append(faults, stream.end())
	}
	if len(s.mark.faulted) > 0 {
		return errors.Join(errors.Join(faults...), s.mark.write(s.dir, s.options.Sync))
	}
	if err := syncTree(streamsDir(s.dir), s.options.Sync); err != nil {
		for _, stream := range streams {
			s.mark.durable[stream.name] = stream.Durable()
		}
		s.noteFaults(slices.Collect(maps.Keys(s.options.Streams))...)
		return fmt.Errorf("natsfile: fsync failed: %w", err)
	}
	return removeMark(s.dir, s.options.Sync)
}

// SyncInterval is the sync_interval of the server: it never comes. At each
// interval the server would write blocks anew of which much has expired, and
// rename them into place before it syncs them.
const SyncInterval = 100 * 365 * 24 * time.Hour
