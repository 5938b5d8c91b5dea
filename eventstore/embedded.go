package eventstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore/natsfile"
)

const (
	embeddedPayload = 4 << 20
	// embeddedMemory is for consumers' states, which are small.
	embeddedMemory = 64 << 20
	// embeddedStore is no limit: the server's own default is a share of what
	// is free now, and refuses to start once the log has outgrown it.
	embeddedStore = 1 << 60
	readyPoll     = 5 * time.Millisecond
	// EmbeddedAccount is the name of the service's account in the text of a
	// [Listener]. The embedded server's default account stands in its place,
	// which a configuration's text cannot name.
	EmbeddedAccount = "CHANCERY"
)

// Embedded is a NATS server inside this process. It writes every message into a
// file before it acknowledges the message, and does not fsync: package natsfile
// does, for many messages at once. It listens on no network address unless
// consumers are to reach their feed from outside (see [Listener]).
type Embedded struct {
	server *server.Server
	dir    string
	files  *natsfile.Store
	logger *slog.Logger
	unlock func() error
	stop   func() error // once
	epoch  string
	mu     sync.Mutex
	heads  map[string]*knownHeads // by stream
	// service is the user of this process, nil where there is no listener and
	// so nobody to tell it from.
	service nkeys.KeyPair
}

// Listener opens a network address on which the users of the accounts may
// connect, and nobody else.
type Listener struct {
	Address string      // host:port; port 0 takes a free one
	TLS     *tls.Config // nil: without
	// Accounts is the part of a NATS server's configuration with accounts and
	// users by nkey, and [EmbeddedAccount] among them.
	Accounts string
}

// StartEmbedded starts a server that keeps its streams under dir, which is
// made (mode 0700) when missing. It returns when the streams are recovered,
// which can take long after a crash; the end of ctx stops that. A dir that
// another process uses is refused, and so is one whose files are not as they
// must be: natsfile.Findings say where. Warnings and errors of the server go
// to logger, and which position a torn end was cut off at.
func StartEmbedded(ctx context.Context, dir string, logger *slog.Logger) (*Embedded, error) {
	return StartEmbeddedWith(ctx, dir, EmbeddedOptions{Logger: logger})
}

// EmbeddedOptions are those of [StartEmbeddedWith].
type EmbeddedOptions struct {
	Listener *Listener // nil: without
	// Known returns the newest position of a stream that was durable, as
	// something beside the log's files knows it. The server does not start
	// after a power loss or a failed fsync where such a position is missing.
	// nil: nothing is known.
	Known func(stream string) (natsfile.Known, error)
	// Sync takes the place of (*os.File).Sync in tests.
	Sync   func(*os.File) error
	Logger *slog.Logger // required
}

// LogFiles are the streams of an embedded log that natsfile makes durable.
// known is as in [EmbeddedOptions].
func LogFiles(known func(stream string) (natsfile.Known, error)) map[string]natsfile.Rules {
	files := map[string]natsfile.Rules{EventsStream: {}, AccessStream: {Expires: true}, ProofStream: {}}
	if known == nil {
		return files
	}
	for stream, rules := range files {
		rules.Known = func() (natsfile.Known, error) { return known(stream) }
		files[stream] = rules
	}
	return files
}

// StartEmbeddedWith is [StartEmbedded] with options.
func StartEmbeddedWith(ctx context.Context, dir string, o EmbeddedOptions) (*Embedded, error) {
	if err := natsfile.CheckVersion(server.VERSION); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("eventstore: the log's directory: %w", err)
	}
	unlock, err := lockDir(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("eventstore: another process uses %s: %w", dir, err)
	}
	e := &Embedded{dir: dir, logger: o.Logger, unlock: unlock}
	e.stop = sync.OnceValue(e.shutdown)
	if err := e.start(ctx, dir, o); err != nil {
		return nil, errors.Join(err, e.Shutdown())
	}
	return e, nil
}

func (e *Embedded) start(ctx context.Context, dir string, o EmbeddedOptions) (err error) {
	if err := ctx.Err(); err != nil {
		return err // before anything runs that would have to be stopped
	}
	files := natsfile.Options{Streams: LogFiles(o.Known), PowerLost: func() error { return endEpoch(dir) }, Sync: o.Sync}
	if e.files, err = natsfile.Open(dir, files); err != nil {
		return err
	}
	if e.epoch, err = openEpoch(dir); err != nil {
		return err
	}
	for _, f := range e.files.CutOff() {
		e.logger.WarnContext(ctx, "a crash cut off the newest message of a log while it was written; nobody was told that it is stored, and it is removed",
			slog.String("stream", f.Stream), slog.Uint64("position", f.Position), slog.Int64("bytes", f.Behind), slog.String("reason", f.Reason))
	}
	options := &server.Options{
		ServerName: "chancery", DontListen: true, NoSigs: true, NoLog: true, DisableJetStreamBanner: true,
		JetStream: true, StoreDir: dir, SyncInterval: natsfile.SyncInterval,
		JetStreamMaxMemory: embeddedMemory, JetStreamMaxStore: embeddedStore, MaxPayload: embeddedPayload,
	}
	if o.Listener != nil {
		if err := e.listen(options, *o.Listener); err != nil {
			return err
		}
	}
	s, err := server.NewServer(options)
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

// listen adds the listener, its accounts and, since the server
// now refuses whoever has no name, a user for this process. Its key lives in
// memory alone, and the server takes it from inside the process alone.
func (e *Embedded) listen(o *server.Options, l Listener) error {
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil {
		return domain.Errorf(domain.CodeInvalidRequest, "the address for consumers is no host:port")
	}
	number, err := net.LookupPort("tcp", port) //nolint:noctx // a name from a local table.
	if err != nil {
		return domain.Errorf(domain.CodeInvalidRequest, "the address for consumers has no port")
	}
	if number == 0 {
		number = server.RANDOM_PORT
	}
	var accounts server.Options
	if err := accounts.ProcessConfigString(l.Accounts); err != nil {
		return fmt.Errorf("eventstore: the accounts of the consumers: %w", err)
	}
	if e.service, err = nkeys.CreateUser(); err != nil {
		return fmt.Errorf("eventstore: a key for the embedded server: %w", err)
	}
	public, err := e.service.PublicKey()
	if err != nil {
		return fmt.Errorf("eventstore: a key for the embedded server: %w", err)
	}
	for _, a := range accounts.Accounts {
		if a.Name == EmbeddedAccount {
			a.Name = server.DEFAULT_GLOBAL_ACCOUNT
			o.Nkeys = append(o.Nkeys, &server.NkeyUser{Nkey: public, Account: a, AllowedConnectionTypes: connections(jwt.ConnectionTypeInProcess)})
		}
	}
	for _, u := range accounts.Nkeys {
		u.AllowedConnectionTypes = connections(jwt.ConnectionTypeStandard)
	}
	o.DontListen, o.Host, o.Port, o.TLSConfig = false, host, number, l.TLS
	o.Accounts, o.Nkeys = accounts.Accounts, append(o.Nkeys, accounts.Nkeys...)
	return nil
}

func connections(kind string) map[string]struct{} { return map[string]struct{}{kind: {}} }

// Addr is the listener's address, nil where there is none.
func (e *Embedded) Addr() net.Addr { return e.server.Addr() }

// InProcessConn implements [nats.InProcessConnProvider]. By it a stream knows
// that its server is this one, which does not sync by itself.
func (e *Embedded) InProcessConn() (net.Conn, error) { return e.server.InProcessConn() }

// Connect gives a connection to the server, inside the process. What is opened
// on it is durable as its contract says: see package natsfile.
func (e *Embedded) Connect(ctx context.Context) (*nats.Conn, error) {
	options := append(connectOptions(ctx, e.logger), nats.InProcessServer(e))
	if e.service != nil {
		public, err := e.service.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		options = append(options, nats.Nkey(public, e.service.Sign))
	}
	nc, err := nats.Connect("", options...)
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
	if e.files == nil { // nothing ran: what a crash left is as it was
		return e.unlock()
	}
	return errors.Join(e.files.Close(), e.unlock())
}

// headsOf returns where the newest appends to a stream went, which ended at head
// when the first caller asked. Call it before the first append.
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
