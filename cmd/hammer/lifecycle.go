package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

// restarts measures how long the server takes until it is ready, after it was
// stopped in order and after it was killed.
func (w *world) restarts(ctx context.Context, stderr io.Writer) ([]timing, error) {
	var all []timing
	for _, end := range []string{"a clean stop", "kill -9"} {
		if end == "kill -9" {
			w.node.kill()
		} else if err := w.node.stop(); err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := w.start(ctx, stderr); err != nil {
			return nil, err
		}
		all = append(all, timing{what: "start to ready after " + end, took: time.Since(begin)})
	}
	return all, nil
}

// offline measures the commands that go through the whole log. The server is
// stopped.
func (w *world) offline(ctx context.Context, stderr io.Writer) ([]timing, error) {
	var fsck struct {
		Head uint64 `json:"head"`
	}
	out, _, err := w.command(ctx, stderr, "fsck", "--json")
	if err == nil {
		err = json.Unmarshal(out, &fsck)
	}
	if err != nil {
		return nil, fmt.Errorf("fsck: %w", err)
	}
	var all []timing
	for _, name := range []string{"rebuild", "verify"} {
		_, t, err := w.command(ctx, stderr, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t.what, t.events = "chancery "+name, fsck.Head
		all = append(all, t)
	}
	return all, nil
}

func (w *world) command(ctx context.Context, stderr io.Writer, name string, args ...string) ([]byte, timing, error) {
	cmd := exec.CommandContext(ctx, w.o.binary, append([]string{name, "--data", w.data}, args...)...) //nolint:gosec // the operator names the program.
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, stderr
	begin := time.Now()
	err := cmd.Run()
	t := timing{took: time.Since(begin)}
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		t.memory = u.Maxrss << 10 // KiB on Linux; what is mapped from files is in it
	}
	return out.Bytes(), t, err
}
