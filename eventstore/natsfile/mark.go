package natsfile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// runningFile is in the server's directory from before the server starts until
// everything is durable after its end. Its first line is the machine's boot id.
// Each further line names a stream and a position: "durable" positions were so
// when the server started, "faulted" ones when the stream had a fault.
const runningFile = "running"

const (
	markDurable = "durable"
	markFaulted = "faulted"
)

// mark is the content of the running file.
type mark struct {
	boot    string
	durable map[string]uint64
	// faulted streams are believed up to their position and no further, until
	// what lies behind it was written anew.
	faulted map[string]uint64
}

func newMark(boot string) mark {
	return mark{boot: boot, durable: map[string]uint64{}, faulted: map[string]uint64{}}
}

// readMark returns false where there is no running file: the last run ended in
// order.
func readMark(dir string) (mark, bool, error) {
	content, err := os.ReadFile(filepath.Join(dir, runningFile)) //nolint:gosec // in the data directory.
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, false, nil
	}
	if err != nil {
		return mark{}, false, err
	}
	boot, rest, _ := strings.Cut(string(content), "\n")
	m := newMark(boot)
	for line := range strings.Lines(rest) {
		words := strings.Fields(line)
		if len(words) != 3 {
			return mark{}, false, fmt.Errorf("natsfile: %s has a line that is no mark of a stream", runningFile)
		}
		position, err := strconv.ParseUint(words[2], 10, 64)
		switch {
		case err == nil && words[0] == markDurable:
			m.durable[words[1]] = position
		case err == nil && words[0] == markFaulted:
			m.faulted[words[1]] = position
		default:
			return mark{}, false, fmt.Errorf("natsfile: %s has a line that is no mark of a stream", runningFile)
		}
	}
	return m, true, nil
}

// write replaces the running file. Durable on nil.
func (m mark) write(dir string, fsync func(*os.File) error) error {
	var b strings.Builder
	b.WriteString(m.boot + "\n")
	for _, kind := range []struct {
		word      string
		positions map[string]uint64
	}{{markDurable, m.durable}, {markFaulted, m.faulted}} {
		for _, stream := range slices.Sorted(maps.Keys(kind.positions)) {
			fmt.Fprintf(&b, "%s %s %d\n", kind.word, stream, kind.positions[stream])
		}
	}
	return writeFile(filepath.Join(dir, runningFile), []byte(b.String()), fsync)
}

// bootID identifies this run of the machine; "" where the machine does not say.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// removeMark notes that the run ended in order.
func removeMark(dir string, fsync func(*os.File) error) error {
	if err := os.Remove(filepath.Join(dir, runningFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncPath(dir, fsync)
}
