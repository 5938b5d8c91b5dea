package eventstore

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// epochFile names a time without an unclean stop of the machine.
const epochFile = "epoch"

// Epoch names the time since the directory was made, or since the machine last
// stopped while a server used it. What was written without a sync in another
// epoch may be lost. A crash of the process alone begins no new epoch.
func (e *Embedded) Epoch() string { return e.epoch }

// endEpoch has the next openEpoch begin another epoch.
func endEpoch(dir string) error {
	if err := os.Remove(filepath.Join(dir, epochFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// openEpoch reads the epoch, or begins one. It need not be durable: after the
// next unclean stop it is another one anyway.
func openEpoch(dir string) (string, error) {
	path := filepath.Join(dir, epochFile)
	text, err := os.ReadFile(path) //nolint:gosec // in the data directory.
	if err == nil && len(text) > 0 {
		return string(text), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	epoch := rand.Text()
	return epoch, os.WriteFile(path, []byte(epoch), 0o600)
}
