package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	readyWithin = 5 * time.Minute // a start may have to fold the whole log
	stopWithin  = time.Minute
	readyPause  = 2 * time.Millisecond
)

// node is a running server.
type node struct {
	cmd     *exec.Cmd
	address string // host:port
}

// startNode runs a program that prints "listening on ADDRESS" and waits for
// that line. It ends with ctx.
func startNode(ctx context.Context, stderr io.Writer, binary string, args ...string) (*node, error) {
	cmd := exec.CommandContext(ctx, binary, args...) //nolint:gosec // the operator names the program.
	cmd.Stderr = stderr
	cmd.Cancel = func() error { return cmd.Process.Kill() }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
			return &node{cmd: cmd, address: address}, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("%s did not listen", binary), cmd.Process.Kill(), cmd.Wait())
}

// ready waits until the server says that it is.
func (n *node) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.address+"/readyz", nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-time.After(readyPause):
		case <-ctx.Done():
			return fmt.Errorf("the server did not get ready: %w", ctx.Err())
		}
	}
}

// stop ends the server in order.
func (n *node) stop() error {
	timer := time.AfterFunc(stopWithin, func() { _ = n.cmd.Process.Kill() })
	defer timer.Stop()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := n.cmd.Wait(); err != nil {
		return fmt.Errorf("the server did not end in order: %w", err)
	}
	return nil
}

// kill ends it as a crash does.
func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait() // its status is that of a killed process
}

// usage is what the process took so far.
type usage struct {
	cpu  time.Duration
	anon int64 // bytes of memory that are no file's, now
}

// clockTick is what /proc counts in on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// usage gives zeros where there is no /proc.
func (n *node) usage() (u usage) {
	dir := "/proc/" + strconv.Itoa(n.cmd.Process.Pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return u
	}
	// The name of the program, in parentheses, may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) > 12 {
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		u.cpu = time.Duration(user+system) * clockTick
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return u
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 10, 64)
			u.anon = n << 10
		}
	}
	return u
}
