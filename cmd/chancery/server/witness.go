package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"sync"

	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/eventstore/feed"
	"github.com/chancery-dev/chancery/eventstore/natsfile"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/slotfile"
	"github.com/chancery-dev/chancery/projections"
	"github.com/chancery-dev/chancery/projections/accesslog"
	"github.com/chancery-dev/chancery/proof"
)

// Witness is something in a data directory that knows a position of a log. All
// up to that position was durable once: nobody learns of a position before.
type Witness struct {
	Name string `json:"name"`
	Log  string `json:"log"`
	// Position is the newest one that it knows, 0 for none.
	Position uint64 `json:"position"`
	// Unread says why it could not be read, "" where it could. Then it is no
	// witness.
	Unread string `json:"unread,omitempty"`
}

// witnessSource reads one witness from the files of a data directory whose
// server does not run.
type witnessSource struct {
	name, stream string
	newest       func(Config) (uint64, error)
}

// witnessSources are all that know positions, beside the logs' own files.
func witnessSources() []witnessSource {
	return []witnessSource{
		{"a checkpoint in " + eventstore.ProofStream, eventstore.EventsStream, checkpointWitness(proof.LogEvents)},
		{"a checkpoint in " + eventstore.ProofStream, eventstore.AccessStream, checkpointWitness(proof.LogAccess)},
		{"a later entry in " + eventstore.ProofStream, eventstore.ProofStream, proofWitness},
		{stateFile, eventstore.EventsStream, stateWitness},
		{accessFile, eventstore.AccessStream, accessWitness},
		{"a key in " + slotfile.KeysFile, eventstore.EventsStream, keyWitness},
		{"a message of " + feed.Stream, eventstore.EventsStream, feedWitness},
	}
}

// witnesses reads all witnesses of an embedded log.
func witnesses(cfg Config) []Witness {
	var all []Witness
	for _, s := range witnessSources() {
		w := Witness{Name: s.name, Log: provedStreams()[s.stream]}
		var err error
		if w.Position, err = s.newest(cfg); err != nil {
			w.Position, w.Unread = 0, err.Error()
		}
		all = append(all, w)
	}
	return all
}

// knownPositions returns the newest position of a stream that any witness
// knows. The witnesses are read once, at the first call. all returns them.
func knownPositions(ctx context.Context, cfg Config) (known func(stream string) (natsfile.Known, error), all func() []Witness) {
	all = sync.OnceValue(func() []Witness {
		read := witnesses(cfg)
		for _, w := range read {
			if w.Unread != "" {
				cfg.Logger.WarnContext(ctx, "what could know positions of the log cannot be read",
					slog.String("name", w.Name), slog.String("log", w.Log), slog.String("cause", w.Unread))
			}
		}
		return read
	})
	return func(stream string) (k natsfile.Known, _ error) {
		for _, w := range all() {
			if w.Log == provedStreams()[stream] && w.Position > k.Position {
				k = natsfile.Known{Position: w.Position, By: w.Name}
			}
		}
		return k, nil
	}, all
}

// checkpointWitness reads the newest checkpoint of a log: the signer signs what
// is durable.
func checkpointWitness(log string) func(Config) (uint64, error) {
	return func(cfg Config) (uint64, error) {
		return highest(eventstore.StoredCheckpoints(cfg.path(logDirectory), log), checkpointSize)
	}
}

func proofWitness(cfg Config) (uint64, error) { return eventstore.StoredProofs(cfg.path(logDirectory)) }

// keyWitness reads the newest position that a key names: it was durable when the
// key was made.
func keyWitness(cfg Config) (newest uint64, err error) {
	slots, err := slotfile.OpenReadOnly(cfg.Data)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	newest, err = highest(func(yield func([]byte, error) bool) {
		for key, err := range slots.SecretKeys(context.Background(), 0) {
			if !yield(key.Record, err) {
				return
			}
		}
	}, kms.LogPosition)
	return newest, errors.Join(err, slots.Close())
}

// feedWitness reads the newest sequence of the feed, which is the position of an
// event that was durable.
func feedWitness(cfg Config) (newest uint64, err error) {
	for m, err := range natsfile.Messages(cfg.path(logDirectory), feed.Stream) {
		if err != nil {
			return 0, err
		}
		newest = max(newest, m.Sequence)
	}
	return newest, nil
}

// highest passes over what is no such record.
func highest(records iter.Seq2[[]byte, error], positionOf func([]byte) (uint64, error)) (newest uint64, err error) {
	for record, err := range records {
		if err != nil {
			return 0, err
		}
		if position, err := positionOf(record); err == nil {
			newest = max(newest, position)
		}
	}
	return newest, nil
}

// stateWitness reads the projection's checkpoint, also of a file that was in
// use when the machine stopped.
func stateWitness(cfg Config) (uint64, error) {
	found, err := projections.Inspect(cfg.path(stateFile), "")
	return unread(found.Position, found.Reason, err)
}

func accessWitness(cfg Config) (uint64, error) {
	return unread(accesslog.Inspect(cfg.path(accessFile)))
}

// unread is an error where a file holds no position for a reason.
func unread(position uint64, reason string, err error) (uint64, error) {
	if err == nil && position == 0 && reason != "" {
		err = fmt.Errorf("it cannot be read: %s", reason)
	}
	return position, err
}
