package eventstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// runningFile is there while a server uses the directory, and holds the boot
// id of the machine.
const runningFile = "running"

// distrustState removes what the server remembers of its blocks where the
// machine may have gone down while it ran. The server writes that down without
// syncing, so after a power loss it may know of messages that are not on the
// disk: it must look for itself. After a crash of the process alone the
// kernel's memory has everything.
func (e *Embedded) distrustState() error {
	path := filepath.Join(e.dir, runningFile)
	boot := bootID()
	last, err := os.ReadFile(path) //nolint:gosec // in the data directory.
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case boot == "" || boot != string(last):
		states, err := filepath.Glob(filepath.Join(streamsDir(e.dir), "*", "msgs", "index.db"))
		if err != nil {
			return err
		}
		for _, state := range append(states, filepath.Join(e.dir, epochFile)) {
			if err := os.Remove(state); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if err := os.WriteFile(path, []byte(boot), 0o600); err != nil {
		return err
	}
	return errors.Join(syncDirectory(path, (*os.File).Sync), syncDirectory(e.dir, (*os.File).Sync))
}

// trustState makes all that the server wrote durable once it has ended, and
// then says so.
func (e *Embedded) trustState() error {
	if err := syncTree(streamsDir(e.dir), (*os.File).Sync); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(e.dir, runningFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncOf gives what makes a stream durable. The stream is there, and nobody
// appends to it yet.
func (e *Embedded) syncOf(ctx context.Context, stream string) (*blockSync, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.syncs[stream]
	if s == nil {
		s = newBlockSync(e.dir, stream)
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	if e.syncs == nil {
		e.syncs = map[string]*blockSync{}
	}
	e.syncs[stream] = s
	return s, nil
}

// headsOf gives where the newest appends to a stream went, which ended at head
// when it was asked for first. Nobody appended to it before, or through what
// this gave.
func (e *Embedded) headsOf(stream string, head uint64) *knownHeads {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.heads[stream] == nil {
		if e.heads == nil {
			e.heads = map[string]*knownHeads{}
		}
		e.heads[stream] = newKnownHeads(head)
	}
	return e.heads[stream]
}

// bootID identifies this run of the machine, "" where it does not say.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
