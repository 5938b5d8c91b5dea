package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

// TestLimitMemory: what was asked for wins, then the runtime's own variable,
// then nine tenths of the container's limit.
func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	limited, unlimited, old := file("v2", "1000000000\n"), file("max", "max\n"), file("v1", "9223372036854771712\n")
	for name, test := range map[string]struct {
		asked, variable string
		limits          []string
		want            int64
	}{
		"asked":          {"512MiB", "1GiB", []string{limited}, 512 << 20},
		"variable":       {"", "1GiB", []string{limited}, math.MaxInt64},
		"container":      {"", "", []string{filepath.Join(dir, "missing"), limited}, 900_000_000},
		"no limit there": {"", "", []string{unlimited, old}, math.MaxInt64},
		"no container":   {"", "", nil, math.MaxInt64},
	} {
		debug.SetMemoryLimit(math.MaxInt64)
		if err := limitMemory(test.asked, func(string) string { return test.variable }, test.limits); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := debug.SetMemoryLimit(-1); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
	for _, text := range []string{"1", "63MiB", "-1GiB", "lots", "9999999999GiB", "1GB", " 1GiB"} {
		if err := limitMemory(text, os.Getenv, nil); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
