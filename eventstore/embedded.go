package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	embeddedPayload = 4 << 20
	// embeddedMemory is for consumers' states, which are small.
	embeddedMemory = 64 << 20
	// embeddedStore is no limit: the server's own default is a share of what
	// is free now, and refuses to start once the log has outgrown it.
	embeddedStore = 1 << 60
	readyPoll     = 5 * time.Millisecond
)

// Embedded is a NATS server inside this process. It listens on no network
// address and writes every message through to the disk before it
// acknowledges it.
type Embedded struct {
	server *server.Server
	logger *slog.Logger
	unlock func() error
	stop   func() error // once
}

// StartEmbedded starts a server that keeps its streams under dir, which is
// made (mode 0700) when missing. It returns when the streams are recovered,
// which can take long after a crash; the end of ctx stops that. A dir that
// another process uses is refused. Warnings and errors of the server go to
// logger.
func StartEmbedded(ctx context.Context, dir string, logger *slog.Logger) (*Embedded, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("eventstore: the log's directory: %w", err)
	}
	unlock, err := lockDir(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("eventstore: another process uses %s: %w", dir, err)
	}
	e := &Embedded{logger: logger, unlock: unlock}
	e.stop = sync.OnceValue(e.shutdown)
	if err := e.start(ctx, dir); err != nil {
		return nil, errors.Join(err, e.Shutdown())
	}
	return e, nil
}

func (e *Embedded) start(ctx context.Context, dir string) error {
	s, err := server.NewServer(&server.Options{
		ServerName: "chancery", DontListen: true, NoSigs: true, NoLog: true, DisableJetStreamBanner: true,
		JetStream: true, StoreDir: dir, SyncAlways: true,
		JetStreamMaxMemory: embeddedMemory, JetStreamMaxStore: embeddedStore, MaxPayload: embeddedPayload,
	})
	if err != nil {
		return fmt.Errorf("eventstore: the embedded server: %w", err)
	}
	e.server = s
	bridge := &serverLogger{ctx: context.WithoutCancel(ctx), logger: e.logger}
	s.SetLoggerV2(bridge, false, false, false)
	started := make(chan struct{})
	go func() {
		defer close(started)
		s.Start()
	}()
	for {
		select {
		case <-started:
			if err := bridge.fault(); err != nil {
				return err
			}
			if s.ReadyForConnections(readyPoll) && s.JetStreamEnabled() {
				return nil
			}
		default:
		}
		if !sleep(ctx, readyPoll) {
			return fmt.Errorf("eventstore: the embedded server did not start: %w", ctx.Err())
		}
	}
}

// Connect gives a connection to the server, inside the process.
func (e *Embedded) Connect(ctx context.Context) (*nats.Conn, error) {
	nc, err := nats.Connect("", append(connectOptions(ctx, e.logger), nats.InProcessServer(e.server))...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nc, nil
}

// Shutdown stops the server and returns when its files are closed.
// Connections should be closed before. It may be called again.
func (e *Embedded) Shutdown() error { return e.stop() }

func (e *Embedded) shutdown() error {
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}
	return e.unlock()
}

// serverLogger passes the server's warnings and errors on. Its debug and
// trace output would show messages, so it is off.
type serverLogger struct {
	ctx    context.Context //nolint:containedctx // the server's logger interface has no contexts.
	logger *slog.Logger
	mu     sync.Mutex
	fatal  error
}

func (l *serverLogger) log(level slog.Level, format string, v []any) {
	l.logger.LogAttrs(l.ctx, level, "embedded NATS server", slog.String("report", fmt.Sprintf(format, v...)))
}

// fault gives what the server could not start for.
func (l *serverLogger) fault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

// Fatalf implements server.Logger. It does not end the process.
func (l *serverLogger) Fatalf(format string, v ...any) {
	l.mu.Lock()
	l.fatal = fmt.Errorf("eventstore: the embedded server: %s", fmt.Sprintf(format, v...))
	l.mu.Unlock()
	l.log(slog.LevelError, format, v)
}

// Errorf implements server.Logger.
func (l *serverLogger) Errorf(format string, v ...any) { l.log(slog.LevelError, format, v) }

// Warnf implements server.Logger.
func (l *serverLogger) Warnf(format string, v ...any) { l.log(slog.LevelWarn, format, v) }

// Noticef implements server.Logger.
func (*serverLogger) Noticef(string, ...any) {}

// Debugf implements server.Logger.
func (*serverLogger) Debugf(string, ...any) {}

// Tracef implements server.Logger.
func (*serverLogger) Tracef(string, ...any) {}
