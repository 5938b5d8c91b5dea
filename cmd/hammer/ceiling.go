package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// ceilingTime is how long each ceiling is measured.
const ceilingTime = 2 * time.Second

// noopCommand makes this program a server whose handler does nothing.
const noopCommand = "noop"

// ceilings are what the machine did at best, a second.
type ceilings struct {
	echo  map[int]float64 // by connections
	fsync float64
	log   map[int]float64 // by callers
}

// serveNoop serves until ctx ends.
func serveNoop(ctx context.Context, stdout io.Writer) error {
	e := echo.New()
	e.GET("/", func(c echo.Context) error { return c.Blob(http.StatusOK, "application/json", []byte(`{"data":{}}`)) })
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "listening on", l.Addr())
	server := &http.Server{Handler: e, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(l); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func measureCeilings(ctx context.Context, o options, dir string, stderr io.Writer) (c ceilings, err error) {
	fmt.Fprintln(stderr, "hammer: measuring what the machine does at best")
	c = ceilings{echo: map[int]float64{}, log: map[int]float64{}}
	if c.fsync, err = measureFsync(dir); err != nil {
		return c, err
	}
	for _, n := range o.conns {
		if c.echo[n], err = measureEcho(ctx, n, stderr); err != nil {
			return c, err
		}
		if c.log[n], err = measureLog(ctx, dir, n); err != nil {
			return c, err
		}
	}
	return c, nil
}

func measureEcho(ctx context.Context, conns int, stderr io.Writer) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	n, err := startNode(ctx, stderr, self, noopCommand)
	if err != nil {
		return 0, err
	}
	defer n.kill()
	request := []byte("GET / HTTP/1.1\r\nHost: " + n.address + "\r\n\r\n")
	l := load{
		address: n.address, conns: conns, duration: ceilingTime, warmup: 200 * time.Millisecond, ops: 1 << 30,
		status: http.StatusOK, source: func(int) next { return func() []byte { return request } },
	}
	t, took, err := l.run(ctx)
	if err != nil {
		return 0, err
	}
	return float64(t.ops()) / took.Seconds(), nil
}

// measureFsync appends 4 KiB and syncs, one after the other.
func measureFsync(dir string) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // with its directory.
	defer f.Close()           //nolint:errcheck // nobody needs it.
	page := make([]byte, 4096)
	begin, n := time.Now(), 0
	for ; time.Since(begin) < ceilingTime; n++ {
		if _, err := f.Write(page); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}

// measureLog appends events to a log of its own, from several callers: what
// remains of a write without HTTP, decisions, keys and a projection.
func measureLog(ctx context.Context, dir string, callers int) (_ float64, err error) {
	if dir, err = os.MkdirTemp(dir, "log-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // with its parent at the latest.
	e, err := eventstore.StartEmbedded(ctx, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	defer e.Shutdown() //nolint:errcheck // it is thrown away.
	nc, err := e.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	log, err := eventstore.OpenJetStream(ctx, nc, eventstore.Options{})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, ceilingTime, errDone)
	defer cancel()
	var appended atomic.Int64
	var failed atomic.Value
	var appending sync.WaitGroup
	begin := time.Now()
	for i := range callers {
		appending.Go(func() {
			if err := appendUntil(ctx, log, i, &appended); err != nil {
				failed.CompareAndSwap(nil, err)
			}
		})
	}
	appending.Wait()
	if err, ok := failed.Load().(error); ok {
		return 0, err
	}
	return float64(appended.Load()) / time.Since(begin).Seconds(), nil
}

var errDone = fmt.Errorf("the time is over")

func appendUntil(ctx context.Context, log eventstore.Log, caller int, appended *atomic.Int64) error {
	const org, scope = "org_01JD3Z8Q7G00000000000000A1", "proj_01JD3Z8Q7G00000000000000A2"
	ref := domain.SecretRef{
		Org: org, Scope: domain.Scope{Kind: domain.ScopeProject, ID: scope}, ID: domain.SecretID(fmt.Sprintf("s%d", caller)),
	}
	stream := domain.SecretStream{Ref: ref}
	var after uint64
	for version := uint64(1); ctx.Err() == nil; version++ {
		id, err := ulid.New(ulid.Now(), rand.Reader)
		if err != nil {
			return err
		}
		box := make([]byte, 64)
		r, err := log.Append(context.WithoutCancel(ctx), stream, after, domain.Proposed{
			ID: id, Version: version, Time: time.Now().UTC().Truncate(time.Millisecond),
			Actor:  domain.Actor{Kind: domain.ActorAgent, ID: "agt_01JD3Z8Q7G00000000000000A3", KeyID: "key_01JD3Z8Q7G00000000000000A4"},
			Origin: domain.Origin{RequestID: "req_" + id.String(), ClientIP: "127.0.0.1", UserAgent: "hammer"},
			Event:  domain.FieldSet{Field: domain.Field{Key: "password", Value: domain.Sealed{KekID: domain.KekID{1}, EventID: id, Box: box}}},
		})
		if err != nil {
			return err
		}
		after = r.Position
		appended.Add(1)
	}
	return nil
}
