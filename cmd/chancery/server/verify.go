package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/eventstore/accessjournal"
	"github.com/chancery-dev/chancery/eventstore/feed"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/proof"
)

// VerifyReport is what was proved about the logs.
type VerifyReport struct {
	// Keys are those that the checkpoints were verified with. Unless Pinned
	// they came with what was verified: a log that was made up whole, with a
	// key of its own, looks the same.
	Keys   []string    `json:"keys"`
	Pinned bool        `json:"pinned"`
	Logs   []LogReport `json:"logs"`
	// Feed is what was compared of the feed with the log, nil where there is no
	// feed or it was not asked for.
	Feed *feed.Report `json:"feed,omitempty"`
	// Notes say what was not looked at, and why.
	Notes []string `json:"notes,omitempty"`
}

// LogReport is what was proved about one log.
type LogReport struct {
	Log string `json:"log"`
	// First and Head are the positions of the first and the last leaf that
	// was read; First is Head and one where there is none.
	First uint64 `json:"first"`
	Head  uint64 `json:"head"`
	// Size, Root and SignedAt are the newest checkpoint's: everything up to
	// position Size is proved.
	Size     uint64    `json:"size"`
	Root     string    `json:"root"`
	SignedAt time.Time `json:"signedAt"`
	// Checkpoints and Tiles count those that were compared.
	Checkpoints uint64 `json:"checkpoints"`
	Tiles       uint64 `json:"tiles"`
	// Uncovered counts the newest positions that no checkpoint covers yet.
	Uncovered uint64 `json:"uncovered"`
}

func logReport(log string, r proof.Result) LogReport {
	report := LogReport{
		Log: log, First: r.First, Head: r.Head, Size: r.Signed.Size,
		Checkpoints: r.Checkpoints, Tiles: r.Tiles, Uncovered: r.Uncovered(),
	}
	if r.Checkpoints > 0 {
		report.Root, report.SignedAt = r.Signed.Root.String(), r.Signed.Time
	}
	return report
}

// Verify proves the logs of a data directory, whose server must be stopped: it
// decodes every event and every access record, recomputes every leaf and the
// trees, and holds them against every checkpoint, the tiles of the projections
// and the signing key, and every message of the feed against its event. pinned is a key that the caller trusts, nil for none.
//
// It mends nothing: damaged message blocks are found before the log's own
// server could cut them off. The error holds one [proof.Fault] a finding that
// has a place. The report says what was proved all the same.
func Verify(ctx context.Context, cfg Config, pinned *proof.LogKey) (VerifyReport, error) {
	report := VerifyReport{Pinned: pinned != nil}
	err := withLogs(ctx, cfg, pinned, func(l *logsToVerify) error {
		for _, log := range []string{proof.LogEvents, proof.LogAccess} {
			report.Keys = append(report.Keys, l.keys[log].VKey())
		}
		err := l.checkSigningKey(ctx)
		events, failed := l.verifyEvents(ctx)
		err = errors.Join(err, failed)
		access, failed := l.verifyAccess(ctx)
		err = errors.Join(err, failed)
		err = errors.Join(err, l.inspectJournal(ctx))
		report.Logs = []LogReport{logReport(proof.LogEvents, events), logReport(proof.LogAccess, access)}
		report.Feed, failed = l.checkFeed(ctx, cfg)
		err = errors.Join(err, failed)
		if report.Feed != nil && report.Feed.Skipped != "" {
			l.notes = append(l.notes, "feed: not compared: "+report.Feed.Skipped)
		}
		report.Notes = l.notes
		if err == nil { // else not all of them were read
			err = l.countProofs(ctx)
		}
		return err
	})
	return report, err
}

// logsToVerify are the opened logs of a data directory.
type logsToVerify struct {
	*broker
	cfg    Config
	access *eventstore.AccessLog
	proofs *eventstore.ProofStore
	js     jetstream.JetStream
	org    domain.OrgID
	record []byte // the signing key's
	keys   map[string]proof.LogKey
	notes  []string
	// read counts the messages of the proof store that were read: checkpoints
	// by log, and frontiers.
	read map[string]uint64
}

// accessFile is the projection of the access log.
const accessFile = "access.db"

const frontiers = "frontiers"

// withLogs opens a data directory as its server would, but makes and changes
// nothing, and looks at the streams before it reads from them.
func withLogs(ctx context.Context, cfg Config, pinned *proof.LogKey, do func(*logsToVerify) error) (err error) {
	if err := cfg.check(); err != nil {
		return err
	}
	cfg.existing = true
	if err := makeOrFindData(cfg); err != nil {
		return err
	}
	l := &logsToVerify{broker: &broker{}, cfg: cfg, read: map[string]uint64{}}
	defer func() { err = errors.Join(err, l.close()) }()
	if l.unlock, err = lockDirectory(cfg.Data); err != nil {
		return err
	}
	if l.notes, err = checkBlocks(ctx, cfg, true); err != nil {
		return err
	}
	if err := l.connect(ctx, cfg); err != nil {
		return err
	}
	if l.js, err = jetstream.New(l.conn); err != nil {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	// What is wrong with a stream as a whole has a position too; without it,
	// the stores below would only say which setting is not as it must be.
	if err := l.checkStates(ctx); err != nil {
		return err
	}
	if err := l.open(ctx); err != nil {
		return err
	}
	if err := l.findKeys(ctx, pinned); err != nil {
		return err
	}
	return do(l)
}

func (l *logsToVerify) open(ctx context.Context) error {
	foreign, err := readForeign(l.cfg.ForeignFile)
	if err != nil {
		return err
	}
	if l.log, err = eventstore.OpenJetStream(ctx, l.conn, eventstore.Options{Foreign: foreign, Logger: l.cfg.Logger}); err != nil {
		return err
	}
	age, err := accessAge(ctx, l.js)
	if err != nil {
		return err
	}
	if l.access, err = eventstore.OpenAccessLog(ctx, l.conn, eventstore.AccessOptions{MaxAge: age, Logger: l.cfg.Logger}); err != nil {
		return err
	}
	if l.proofs, err = eventstore.OpenProofStore(ctx, l.conn, 0); err != nil {
		return err
	}
	return l.proofs.Verify(ctx)
}

// findKeys finds the logs' keys and names: those of the stored signing key,
// which must be the pinned one and of the organization of the first event.
func (l *logsToVerify) findKeys(ctx context.Context, pinned *proof.LogKey) error {
	record, err := l.proofs.SigningKey(ctx)
	if err != nil {
		return err
	}
	if record == nil {
		return fmt.Errorf("there is no signing key: %w", proof.ErrUnsigned)
	}
	public, org, err := kms.SigningPublicKey(record)
	if err != nil {
		return err
	}
	l.record, l.org, l.keys = record, org, map[string]proof.LogKey{}
	for _, log := range []string{proof.LogEvents, proof.LogAccess} {
		if l.keys[log], err = proof.NewLogKey(proof.Origin(string(org), log), public); err != nil {
			return err
		}
	}
	if pinned != nil {
		if err := samePinned(*pinned, l.keys); err != nil {
			return err
		}
	}
	return nil
}

// samePinned accepts the key of either log: they share the public key.
func samePinned(pinned proof.LogKey, keys map[string]proof.LogKey) error {
	for _, key := range keys {
		if key.VKey() == pinned.VKey() {
			return nil
		}
	}
	return &proof.Fault{Log: "every", Reason: "the key is not the pinned one: the log was replaced, or is another server's"}
}

// checkSigningKey holds the stored key against the root key: the seed that it
// opens must be that of the public key.
func (l *logsToVerify) checkSigningKey(ctx context.Context) error {
	path := l.cfg.rootKeyFile()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		l.notes = append(l.notes, "the signing key was not opened: there is no root key file")
		return nil
	}
	provider, err := kms.OpenLocal(path)
	if err != nil {
		return err
	}
	seed, err := kms.OpenSigningKey(ctx, provider, l.org, l.record)
	clear(seed)
	return err
}

// inspectJournal notes the access records that a crash left in the journal.
func (l *logsToVerify) inspectJournal(ctx context.Context) error {
	if l.embedded == nil {
		return nil
	}
	records, err := accessjournal.Inspect(ctx, l.cfg.path(journalFile), l.access)
	if records > 0 {
		l.notes = append(l.notes, fmt.Sprintf("access log: %d records wait in %s and are part of no proof yet: the next start of the server stores them", records, journalFile))
	}
	return err
}

// countProofs looks for messages of the proof store that nobody asked for and
// for such that could not be read.
func (l *logsToVerify) countProofs(ctx context.Context) error {
	s, err := l.js.Stream(ctx, eventstore.ProofStream)
	if err != nil {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	read := uint64(1) // the signing key
	for _, n := range l.read {
		read += n
	}
	if has := s.CachedInfo().State.Msgs; has != read {
		return fmt.Errorf("%s holds %d messages, of which %d are checkpoints, frontiers and the signing key", eventstore.ProofStream, has, read)
	}
	return nil
}
