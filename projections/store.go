package projections

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/domain"
)

// Source is what the projection needs of a log. It relies on it that only what
// is durable can be seen: nothing that it shows, and no checkpoint of its file,
// can be taken back by a power loss.
type Source interface {
	// Read yields every event after a position, to the head that Status names
	// as of the call.
	Read(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error]
	// Follow yields every event after a position, then those to come, without
	// gap or repeat. It does not end before ctx but with an error: an event
	// that can't be read, or a log that is not the one it began on.
	Follow(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error]
	// Status asks the log about itself. Its head covers everything that was
	// yielded before.
	Status(ctx context.Context) (domain.LogStatus, error)
}

// Options say how to open a store. Path, Now and Logger are required.
type Options struct {
	// Path of the bbolt file. Whatever lies there and can't be used is
	// replaced.
	Path string
	// BootID identifies this run of the machine. "" reads the kernel's; where
	// there is none, only a cleanly closed file is used again.
	BootID string
	// Now is the node's clock.
	Now    func() time.Time
	Logger *slog.Logger
	// Applied, when not nil, is told of every batch once it is committed and
	// before anybody who waits for it goes on: in order, one call at a time.
	// A rebuild tells everything again. The events are shared: not to be
	// changed, and their slice not to be kept.
	Applied func([]domain.Recorded)
	// Merged, when not nil, is told of a long log's rows that were sorted aside:
	// how many bytes of them are in the file, of how many. It comes after the
	// events and before the store answers, from one goroutine.
	Merged func(done, total uint64)
	// CachedGrants bounds the compiled principals in memory, counted in their
	// grants of a few hundred bytes each; 0 means 200,000.
	CachedGrants int
	// CachedSecretBytes bounds the decoded secrets in memory, with their values
	// as they are stored; 0 means 16 MiB.
	CachedSecretBytes int
	// BatchEvents and BatchBytes bound one transaction, and with it what
	// waits in memory; 0 means 4,096 events and 32 MiB.
	BatchEvents, BatchBytes int
	// Heartbeat is how often the log is asked for its status; 0 means 5 s.
	Heartbeat time.Duration
}

func (o Options) complete() (Options, error) {
	if o.Path == "" || o.Now == nil || o.Logger == nil {
		return o, errors.New("projections: Path, Now and Logger are required")
	}
	if o.BootID == "" {
		o.BootID = thisBoot()
	}
	if o.CachedGrants == 0 {
		o.CachedGrants = 200_000
	}
	if o.CachedSecretBytes == 0 {
		o.CachedSecretBytes = 16 << 20
	}
	if o.BatchEvents == 0 {
		o.BatchEvents = 4096
	}
	if o.BatchBytes == 0 {
		o.BatchBytes = 32 << 20
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 5 * time.Second
	}
	return o, nil
}

var (
	// ErrClosed is what a closed store answers.
	ErrClosed = errors.New("projections: the store is closed")
	// ErrStopped says that the store no longer follows its log.
	ErrStopped = errors.New("projections: the projection has stopped")
	// ErrBusy says that Run, CatchUp or Rebuild is going on already.
	ErrBusy = errors.New("projections: the store follows a log already")
)

// Store is the state that the log means, in one file. All methods are safe
// for concurrent use.
//
// Until it has caught up with a log, since it was opened or since a rebuild
// began, questions are refused with unavailable: see [Store.Serving].
type Store struct {
	o Options
	// following is held by the one Run, CatchUp or Rebuild.
	following sync.Mutex
	// applying is held from the begin of a transaction until memory and
	// position say the same as the file. It guards mark, and anchor: an earlier
	// mark that the log has confirmed.
	applying sync.Mutex
	mark     checkpoint
	anchor   checkpoint
	// recent is the log that Run follows, if its newest events are in memory, and
	// helped the last position that a caller of WaitFor has applied, 0 for none.
	// Guarded by applying.
	recent recentSource
	helped uint64
	// layers lie over the file. Who holds applying exchanges them.
	layers atomic.Pointer[layers]
	// flushing is held while a layer goes into the file. full asks for that,
	// flushed says that it was done.
	flushing      sync.Mutex
	full, flushed chan struct{}
	// Of how long a log on an empty file is filled in bulk, and how large a
	// layer grows while the store catches up: constants but in tests.
	bulkWorth uint64
	foldBytes int
	// file guards db: held for reading as long as a transaction reads, for
	// writing while the file is replaced or closed.
	file        sync.RWMutex
	db          *bbolt.DB // nil when closed
	directories directories
	secrets     secretCache // of the layers and the file as they are
	progress    progress
}

// Open opens the store, or makes an empty one where there is none or where the
// file must not be trusted: damaged, of another schema, or neither closed
// cleanly nor written since the machine started. It fails when another process
// has the file.
func Open(o Options) (*Store, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	found, err := Inspect(o.Path, o.BootID)
	if err != nil {
		return nil, err
	}
	reason := found.Reason
	for {
		if reason != "" {
			o.Logger.WarnContext(context.Background(), "the projection's file is discarded and folded anew",
				slog.String("reason", reason))
			if err := remove(o.Path); err != nil {
				return nil, err
			}
		}
		s, err := openAsIs(o)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errDamaged) || reason != "" {
			return nil, err
		}
		reason = reasonDamaged
	}
}

// openAsIs opens the store over the file as it is. errDamaged: it can't be used.
func openAsIs(o Options) (*Store, error) {
	s := &Store{o: o, full: make(chan struct{}, 1), flushed: make(chan struct{}, 1), bulkWorth: bulkWorth, foldBytes: foldBytes}
	s.layers.Store(noLayers())
	s.directories.cache.capacity = o.CachedGrants
	s.secrets.capacity = o.CachedSecretBytes
	if err := s.load(); err != nil {
		return nil, err
	}
	s.progress.restart(s.mark, false)
	return s, nil
}

// load opens the file and reads what is kept in memory.
func (s *Store) load() error {
	db, err := openFile(s.o.Path, s.o.BootID)
	if err != nil {
		return err
	}
	// What a process that died has left is worth nothing. The file's lock says
	// that nobody fills it now.
	if err := remove(runsPath(s.o.Path)); err != nil {
		return errors.Join(err, db.Close())
	}
	err = guarded(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			ts := tables{tx: tx}
			if s.mark, err = decodeCheckpoint(ts.at(tableMeta).Get([]byte(keyCheckpoint))); err != nil {
				return err
			}
			return s.directories.load(&ts)
		})
	})
	if errors.Is(err, errRow) {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	s.db = db
	return nil
}

// discard replaces the file by an empty one.
func (s *Store) discard() error {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.anchor = checkpoint{}
	bulk := s.bulk()
	s.layers.Store(noLayers())
	s.progress.restart(checkpoint{}, true)
	s.secrets.clear()
	s.file.Lock()
	defer s.file.Unlock()
	if s.db == nil {
		return ErrClosed
	}
	err := s.db.Close()
	if bulk != nil {
		err = errors.Join(err, bulk.runs.close())
	}
	s.db = nil
	if err != nil {
		return err
	}
	if err := remove(s.o.Path); err != nil {
		return err
	}
	return s.load()
}

// Close makes the file durable, marks it as cleanly closed and closes it. End
// Run first: one that goes on stops with [ErrClosed]. A second Close does
// nothing.
func (s *Store) Close() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.applying.Lock()
	defer s.applying.Unlock()
	s.file.Lock()
	defer s.file.Unlock()
	if s.db == nil {
		return nil
	}
	// Without its newest rows the file is whole all the same: a fold of fewer
	// events.
	err := errors.Join(s.flushAll(), closeFile(s.db))
	s.db = nil
	s.progress.stop(ErrClosed)
	return err
}

// apply folds a batch, then brings memory, listener and waiters up to it. It
// reaches the file later. Of a batch with an event that can't be applied, those
// before it are.
func (s *Store) apply(batch []domain.Recorded) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	return s.applyLocked(s.withoutHelped(batch))
}

// applyLocked is apply for who holds applying.
func (s *Store) applyLocked(batch []domain.Recorded) error {
	switch {
	case s.db == nil:
		return ErrClosed
	case len(batch) == 0:
		return nil
	}
	now := s.layers.Load()
	young, mark, err := foldBatch(s.db, now, s.mark, batch)
	if broken, ok := errors.AsType[*integrityError](err); ok && broken.at > 0 {
		batch = batch[:broken.at]
		var failed error
		if young, mark, failed = foldBatch(s.db, now, s.mark, batch); failed != nil {
			return failed
		}
	} else if err != nil {
		return err
	}
	s.mark = mark
	s.layers.Store(&layers{young: young, old: now.old, flushes: now.flushes})
	s.secrets.forget(batch)
	s.directories.apply(batch)
	if s.o.Applied != nil {
		s.o.Applied(batch)
	}
	s.progress.reached(mark)
	return err
}

// answering says why the store does not answer, if so. The caller holds file: a
// rebuild refuses questions before it takes the lock, so nobody finds the new
// file empty.
func (s *Store) answering() error {
	if err := s.progress.serving(); err != nil {
		return err
	}
	if s.db == nil {
		return ErrClosed
	}
	return nil
}

// view runs a question in one read transaction, if the store may answer. What
// ask reads must not outlive it.
func (s *Store) view(ask func(*tables) error) error {
	s.file.RLock()
	defer s.file.RUnlock()
	if err := s.answering(); err != nil {
		return err
	}
	for {
		over, moved := s.layers.Load(), false
		err := s.db.View(func(tx *bbolt.Tx) error {
			// The file may have taken a layer in between; then what was loaded
			// before is too old for it.
			if moved = s.layers.Load().flushes != over.flushes; moved {
				return nil
			}
			return ask(&tables{tx: tx, over: over})
		})
		if !moved {
			return err
		}
	}
}

// checkpoint gives the place of the last applied event, and an earlier one
// that the log has confirmed.
func (s *Store) checkpoint() (mark, anchor checkpoint) {
	s.applying.Lock()
	defer s.applying.Unlock()
	return s.mark, s.anchor
}
