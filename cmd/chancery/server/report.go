package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/httpapi"
	"github.com/chancery-dev/chancery/httpapi/wire"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/proof"
	"github.com/chancery-dev/chancery/reports"
)

// Report prepares a compliance report on a data directory, whose server must
// be stopped, and hands it to write. It makes and changes nothing. It is signed
// where the root key is there, and is then what the server would give, byte for
// byte. progress is as for [reports.New].
func Report(ctx context.Context, cfg Config, q domain.ReportQuery, progress func(read, total uint64), write func(*reports.Prepared) error) error {
	return withLogs(ctx, cfg, nil, func(l *logsToVerify) error {
		key, err := l.openSigningKey(ctx)
		if err != nil {
			return err
		}
		rs := newReports(l.log, l.access, l.proofs, l.keys, key, progress)
		p, err := rs.Prepare(ctx, q)
		if err != nil {
			return err
		}
		return write(p)
	})
}

// openSigningKey gives nil where there is no root key file.
func (l *logsToVerify) openSigningKey(ctx context.Context) (*proof.SigningKey, error) {
	path := l.cfg.rootKeyFile()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // the report is not signed.
	}
	provider, err := kms.OpenLocal(path)
	if err != nil {
		return nil, err
	}
	seed, err := kms.OpenSigningKey(ctx, provider, l.org, l.record)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	return proof.NewSigningKey(seed)
}

// newReports makes the reports of opened logs. keys are the logs' public keys,
// by log; key may be nil, then manifests are not signed.
func newReports(events eventstore.Log, access reports.Access, proofs *eventstore.ProofStore, keys map[string]proof.LogKey, key *proof.SigningKey, progress func(read, total uint64)) *reports.Reports {
	source := reports.Source{Events: events, Access: access, Checkpoints: storedCheckpoints{proofs: proofs, keys: keys}}
	if key != nil {
		source.Signer = manifestSigner{key: key, name: keys[proof.LogEvents].VKey()}
	}
	return reports.New(source, progress)
}

// manifestSigner signs with the key that signs checkpoints.
type manifestSigner struct {
	key  *proof.SigningKey
	name string
}

// SignManifest implements [reports.Signer].
func (s manifestSigner) SignManifest(manifest []byte) reports.Signature {
	return reports.Signature{Key: s.name, Ed25519: s.key.SignManifest(manifest)}
}

// storedCheckpoints are those of the proof store. What it hands out was
// verified; those that it only passes over are read for their size alone.
type storedCheckpoints struct {
	proofs *eventstore.ProofStore
	keys   map[string]proof.LogKey
}

// Covering implements [reports.Checkpoints].
func (c storedCheckpoints) Covering(ctx context.Context, log string, position uint64) (reports.Checkpoint, bool, error) {
	if position == 0 {
		note, _, err := c.proofs.Latest(ctx, log)
		if err != nil || note == nil {
			return reports.Checkpoint{}, false, err
		}
		return c.open(log, note)
	}
	for note, err := range c.proofs.Checkpoints(ctx, log) {
		if err != nil {
			return reports.Checkpoint{}, false, err
		}
		size, err := checkpointSize(note)
		if err != nil {
			return reports.Checkpoint{}, false, err
		}
		if size >= position {
			return c.open(log, note)
		}
	}
	return reports.Checkpoint{}, false, nil
}

func (c storedCheckpoints) open(log string, note []byte) (reports.Checkpoint, bool, error) {
	signed, err := c.keys[log].Open(note)
	if err != nil {
		return reports.Checkpoint{}, false, fmt.Errorf("a checkpoint of the %s log: %w", log, err)
	}
	return reports.Checkpoint{Size: signed.Size, Note: string(note)}, true, nil
}

// checkpointSize reads the second line of a checkpoint (C2SP tlog-checkpoint).
func checkpointSize(note []byte) (uint64, error) {
	_, rest, _ := strings.Cut(string(note), "\n")
	line, _, _ := strings.Cut(rest, "\n")
	size, err := strconv.ParseUint(line, 10, 64)
	if err != nil {
		return 0, proof.ErrCheckpoint
	}
	return size, nil
}

// servedReports are the reports as the API offers them.
type servedReports struct{ *reports.Reports }

var _ httpapi.Reports = servedReports{}

// Names implements the API's Reports.
func (servedReports) Names() []wire.ReportName {
	var names []wire.ReportName
	for _, n := range reports.Names() {
		names = append(names, wire.ReportName(n))
	}
	return names
}
