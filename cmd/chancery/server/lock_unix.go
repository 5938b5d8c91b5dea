//go:build unix && !solaris && !aix

package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockDirectory takes a data directory for this process, without waiting, and
// makes the lock file when it is missing. The file stays there: to remove it
// would let two processes hold two files of its name. The kernel gives the
// lock back when the process ends, however it ends.
func lockDirectory(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = fmt.Errorf("another process uses the data directory %s", dir)
	case err != nil:
		err = fmt.Errorf("locking the data directory %s: %w", dir, err)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		// Unlocked by itself: a child process that was just forked holds the
		// file open for a moment longer.
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
		return errors.Join(err, f.Close())
	}, nil
}
