package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/chancery-dev/chancery/proof"
)

// LogFiles are both logs' static files (C2SP tlog-tiles), wherever they lie.
type LogFiles struct {
	// Source gives the files of a log.
	Source func(log string) proof.Source
	// FoundKey gives the key that comes with them.
	FoundKey func(ctx context.Context, log string) (proof.LogKey, error)
	// Pinned is the key of either log that the caller trusts; nil trusts the
	// one that is found.
	Pinned *proof.LogKey
}

// Key gives the key to verify a log with.
func (f LogFiles) Key(ctx context.Context, log string) (proof.LogKey, error) {
	if f.Pinned != nil {
		return pinnedKey(*f.Pinned, log)
	}
	key, err := f.FoundKey(ctx, log)
	if err != nil {
		return proof.LogKey{}, fmt.Errorf("the key of the %s log: %w", log, err)
	}
	return key, nil
}

// pinnedKey gives the key of a log from that of either one: they differ in
// the log's name alone.
func pinnedKey(pinned proof.LogKey, log string) (proof.LogKey, error) {
	for _, name := range []string{proof.LogEvents, proof.LogAccess} {
		if prefix, ok := strings.CutSuffix(pinned.Origin(), "/"+name); ok {
			return proof.NewLogKey(prefix+"/"+log, pinned.Public())
		}
	}
	return proof.LogKey{}, fmt.Errorf("%w: %q names neither log", proof.ErrKey, pinned.Origin())
}

// VerifyFiles proves the logs from their static files alone. Its report and
// its error are those of [Verify]; what lies behind the checkpoint is not
// looked at.
func VerifyFiles(ctx context.Context, f LogFiles) (VerifyReport, error) {
	report := VerifyReport{Pinned: f.Pinned != nil}
	var found error
	for _, log := range []string{proof.LogEvents, proof.LogAccess} {
		key, err := f.Key(ctx, log)
		if err != nil {
			return report, errors.Join(found, err)
		}
		report.Keys = append(report.Keys, key.VKey())
		result, err := proof.VerifySource(ctx, log, key, f.Source(log))
		report.Logs = append(report.Logs, logReport(log, result))
		found = errors.Join(found, err)
	}
	return report, found
}
