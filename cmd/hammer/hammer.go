package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

var errRequestsFailed = errors.New("some requests failed")

// hammer measures everything that was asked for and reports.
func hammer(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.maxTime, fmt.Errorf("given up after --max-time %v", o.maxTime))
	defer cancel()
	dir, err := os.MkdirTemp(o.dir, "hammer-")
	if err != nil {
		return err
	}
	defer func() {
		if o.keep {
			fmt.Fprintln(stderr, "hammer: the data is in", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	stderr = &lockedWriter{w: stderr} // the server writes there too
	f := findings{o: o, when: time.Now()}
	header(stdout)
	if o.ceilings {
		if f.ceilings, err = measureCeilings(ctx, o, dir, stderr); err != nil {
			return fmt.Errorf("measuring the machine: %w", err)
		}
	}
	w := &world{o: o, data: filepath.Join(dir, "data")}
	if err := w.start(ctx, stderr); err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped && w.node != nil {
			w.node.kill()
		}
	}()
	if err := errors.Join(w.settle(ctx), ctx.Err()); err != nil {
		return fmt.Errorf("preparing: %w", err)
	}
	if err := w.preload(ctx, stderr); err != nil {
		return err
	}
	if f.runs, err = w.runAll(ctx, stdout, stderr); err != nil {
		return err
	}
	if o.restarts {
		if f.timings, err = w.restarts(ctx, stderr); err != nil {
			return err
		}
	}
	stopped = true
	if err := w.node.stop(); err != nil {
		return err
	}
	if o.offline {
		timings, err := w.offline(ctx, stderr)
		if err != nil {
			return err
		}
		f.timings = append(f.timings, timings...)
	}
	return f.publish(stdout)
}

// lockedWriter is for several writers.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements [io.Writer].
func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (f findings) publish(stdout io.Writer) error {
	var b bytes.Buffer
	f.markdown(&b)
	fmt.Fprintf(stdout, "\n%s", b.Bytes())
	if f.o.out != "" {
		if err := replace(f.o.out, b.Bytes()); err != nil {
			return err
		}
	}
	for _, r := range f.runs {
		if r.errors > 0 {
			return errRequestsFailed
		}
	}
	return nil
}

func (w *world) start(ctx context.Context, stderr io.Writer) (err error) {
	args := append([]string{"serve", "--data", w.data, "--listen", "127.0.0.1:0", "--log-level", "warn"}, w.o.serveArgs...)
	if w.node, err = startNode(ctx, stderr, w.o.binary, args...); err != nil {
		return err
	}
	if err := w.node.ready(ctx); err != nil {
		w.node.kill()
		return err
	}
	return nil
}

// runAll runs each workload at each number of connections.
func (w *world) runAll(ctx context.Context, stdout, stderr io.Writer) (runs []result, err error) {
	for range w.o.runs {
		for _, name := range w.o.workloads {
			work, _ := find(name)
			for _, conns := range w.o.conns {
				if size := directorySize(w.data); size > w.o.maxData<<20 {
					fmt.Fprintf(stderr, "hammer: the data has %d MiB, more than --max-data: nothing more is run\n", size>>20)
					return runs, nil
				}
				r, err := w.run(ctx, work, conns)
				if err != nil {
					return nil, fmt.Errorf("%s with %d connections: %w", name, conns, err)
				}
				r.line(stdout)
				runs = append(runs, r)
			}
		}
	}
	return runs, nil
}

func (w *world) run(ctx context.Context, work workload, conns int) (result, error) {
	watch := w.watch(ctx)
	before := w.node.usage()
	l := load{
		address: w.node.address, conns: conns, rate: w.o.rate, warmup: w.o.warmup, duration: w.o.duration, ops: w.o.maxOps,
		status: work.status, least: work.least, source: func(worker int) next { return work.requests(w, worker) },
	}
	t, took, err := l.run(ctx)
	after := w.node.usage()
	anon := watch()
	if err != nil {
		return result{}, err
	}
	r := newResult(work.name, conns, t, took)
	// The warm-up is in the time that the server took, so it is scaled.
	share := took.Seconds() / (took + w.o.warmup).Seconds()
	r.cpu = time.Duration(float64(after.cpu-before.cpu) * share / float64(r.ops))
	r.anon = max(anon, after.anon)
	return r, nil
}

// watch looks at the server's memory until its result is called.
func (w *world) watch(ctx context.Context) func() int64 {
	ctx, cancel := context.WithCancel(ctx)
	var most atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				most.Store(max(most.Load(), w.node.usage().anon))
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() int64 {
		cancel()
		<-done
		return most.Load()
	}
}

func directorySize(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // files come and go.
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size
}
