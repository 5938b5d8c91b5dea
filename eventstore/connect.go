package eventstore

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
)

// Server names an external NATS server with JetStream.
type Server struct {
	URL       string // one or more, comma-separated
	CredsFile string // user JWT and seed; optional
	CAFile    string // PEM, of the authority that signed the server's certificate; optional
	CertFile  string // PEM, the client certificate; optional, with KeyFile
	KeyFile   string
	Logger    *slog.Logger // told of lost and new connections; required
}

// Connect connects to an external server. The connection reconnects for ever
// and sends nothing later that it could not send at once. Once ctx ends, no
// further attempt to connect is made. ErrUnavailable: no server answers, or
// it refuses the credentials.
func Connect(ctx context.Context, s Server) (*nats.Conn, error) {
	options := connectOptions(ctx, s.Logger)
	if s.CredsFile != "" {
		options = append(options, nats.UserCredentials(s.CredsFile))
	}
	if s.CAFile != "" {
		options = append(options, nats.RootCAs(s.CAFile))
	}
	if s.CertFile != "" || s.KeyFile != "" {
		options = append(options, nats.ClientCert(s.CertFile, s.KeyFile))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	nc, err := nats.Connect(s.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("%w: connecting to the NATS server: %w", ErrUnavailable, err)
	}
	return nc, nil
}

// connectOptions holds for every connection. Handlers outlive the call, so
// they log without its end.
func connectOptions(ctx context.Context, logger *slog.Logger) []nats.Option {
	ctx = context.WithoutCancel(ctx)
	warn := func(message string, err error) {
		attrs := []slog.Attr{}
		if err != nil {
			attrs = append(attrs, slog.String("cause", err.Error()))
		}
		logger.LogAttrs(ctx, slog.LevelWarn, message, attrs...) //nolint:sloglint // the three messages below are constants.
	}
	return []nats.Option{
		nats.Name("chancery"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.Timeout(5 * time.Second),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				warn("the connection to the log was lost", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { warn("the connection to the log is back", nil) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			warn("the connection to the log reports an error", err)
		}),
	}
}
