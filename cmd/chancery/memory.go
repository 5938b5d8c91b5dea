package main

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// cgroupLimits are where Linux tells a process the memory of its container:
// cgroup v2 and v1.
func cgroupLimits() []string {
	return []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}
}

// limitMemory tells Go's garbage collector how much memory there is. asked
// comes first ("" for not said), then GOMEMLIMIT, which the runtime has read
// by itself, then nine tenths of the container's limit. What the projections
// map from their files is not part of it: the kernel takes that back when it
// wants to.
func limitMemory(asked string, environment func(string) string, limits []string) error {
	if asked != "" {
		bytes, err := parseSize(asked)
		if err != nil {
			return err
		}
		debug.SetMemoryLimit(bytes)
		return nil
	}
	if environment("GOMEMLIMIT") != "" {
		return nil
	}
	for _, path := range limits {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		bytes, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && bytes > 0 && bytes < math.MaxInt64/2 { // v1 says so that there is none
			debug.SetMemoryLimit(bytes / 10 * 9)
			return nil
		}
	}
	return nil
}

const leastMemory = 64 << 20

// parseSize reads a number of bytes with an optional KiB, MiB or GiB.
func parseSize(text string) (int64, error) {
	number, unit := text, int64(1)
	for suffix, size := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = rest, size
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit || n*unit < leastMemory {
		return 0, usagef("--memory is a number of bytes, or of KiB, MiB or GiB: 64MiB at least")
	}
	return n * unit, nil
}
