//go:build unix && !solaris && !aix

package eventstore

import (
	"errors"
	"os"
	"syscall"
)

// lockDir takes the lock file, without waiting. The kernel gives it back when
// the process ends, however it ends.
func lockDir(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator names the data directory.
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		// Unlocked by itself: a child process that was just forked holds the
		// file open for a moment longer.
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
		return errors.Join(err, f.Close())
	}, nil
}
