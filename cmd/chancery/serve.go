package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/proof"
)

// storeOptions are the flags of every command that opens a data directory.
type storeOptions struct {
	server.Config
	logFormat, logLevel string
}

func (o *storeOptions) bind(f *pflag.FlagSet) {
	f.StringVar(&o.Data, "data", "chancery-data", "data `DIR`ectory")
	f.StringVar(&o.RootKeyFile, "root-key-file", "", "`FILE` of the root key (default root.key in the data directory)")
	f.StringVar(&o.NATSURL, "nats-url", "", "`URL` of an external NATS server with JetStream, in place of the embedded one")
	f.StringVar(&o.NATSCreds, "nats-creds", "", "credentials `FILE` for it")
	f.StringVar(&o.NATSCA, "nats-ca", "", "PEM `FILE` of the authority that signed its certificate")
	f.StringVar(&o.NATSCert, "nats-cert", "", "PEM `FILE` of the client certificate for it")
	f.StringVar(&o.NATSKey, "nats-key", "", "PEM `FILE` of that certificate's key")
	f.IntVar(&o.NATSReplicas, "nats-replicas", 1, "replicas of streams that must be made: 1, 3 or 5")
	f.StringVar(&o.ForeignFile, "foreign-file", "", "`FILE` that lists proven foreign messages in the log")
	f.StringVar(&o.logFormat, "log-format", "text", "log as `text` or json, to stderr")
	f.StringVar(&o.logLevel, "log-level", "info", "least `LEVEL` to log: debug, info, warn, error")
}

func (o *storeOptions) config(a *app) (server.Config, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return server.Config{}, usagef("--log-level must be debug, info, warn or error")
	}
	options := &slog.HandlerOptions{Level: level}
	switch o.logFormat {
	case "text":
		o.Logger = slog.New(slog.NewTextHandler(a.stderr, options))
	case "json":
		o.Logger = slog.New(slog.NewJSONHandler(a.stderr, options))
	default:
		return server.Config{}, usagef("--log-format must be text or json")
	}
	return o.Config, nil
}

func newServeCommand(a *app) *cobra.Command {
	var o storeOptions
	var witnesses []string
	var memory string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server: the API, with an embedded log in the data directory.

The first start makes an organization, an administrator and its API key, which
it writes to admin.key in the data directory and never prints. SIGTERM or an
interrupt ends it in order: requests in flight finish first.`,
		Example: `  chancery serve
  chancery serve --data /var/lib/chancery --listen 0.0.0.0:8420 --tls-cert cert.pem --tls-key key.pem`,
		Args: needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.config(a)
			if err != nil {
				return err
			}
			if cfg.Witnesses, err = parseWitnesses(witnesses); err != nil {
				return err
			}
			cfg.Version = versionOf(debug.ReadBuildInfo())
			if cfg.AccessRetention != 0 && cfg.AccessRetention < minRetention {
				return usagef("--access-retention must be at least 24h, or 0 to keep access records for ever")
			}
			if cfg.FeedRetention != 0 && cfg.FeedRetention < minRetention {
				return usagef("--feed-retention must be at least 24h, or 0 to keep events for ever")
			}
			if err := limitMemory(memory, os.Getenv, cgroupLimits()); err != nil {
				return err
			}
			noCoreDumps()
			tuning, stop := context.WithCancel(cmd.Context())
			defer stop()
			go tuneCollector(tuning, os.Getenv)
			cfg.Listening = func(addr net.Addr) { fmt.Fprintf(a.stdout, "listening on %s\n", addr) }
			cfg.ProfilesListening = func(addr net.Addr) { fmt.Fprintf(a.stdout, "profiles on http://%s/debug/pprof/\n", addr) }
			cfg.NATSListening = func(addr net.Addr) { fmt.Fprintf(a.stdout, "consumers on %s\n", addr) }
			return server.Run(cmd.Context(), cfg)
		},
	}
	f := c.Flags()
	o.bind(f)
	f.StringVar(&o.Listen, "listen", "127.0.0.1:8420", "`HOST:PORT` to listen on; port 0 takes a free one")
	f.StringVar(&o.TLSCert, "tls-cert", "", "PEM `FILE` of the server's certificate")
	f.StringVar(&o.TLSKey, "tls-key", "", "PEM `FILE` of its key")
	f.StringVar(&o.NATSListen, "nats-listen", "", "`HOST:PORT` where consumers of the embedded log may connect (chancery consumer add); none if empty")
	f.StringVar(&o.NATSTLSCert, "nats-tls-cert", "", "PEM `FILE` of the certificate that they see")
	f.StringVar(&o.NATSTLSKey, "nats-tls-key", "", "PEM `FILE` of its key")
	f.Float64Var(&o.RatePerSecond, "rate-limit", 0, "requests a second that each agent may make; 0 means no bound")
	f.Float64Var(&o.FailuresPerSecond, "failed-auth-limit", 0, "failed authentications a second that each address may make before it is told to wait; 0 means no bound")
	f.StringSliceVar(&o.TrustedProxies, "trusted-proxies", nil, "`CIDR`s whose X-Forwarded-For is believed")
	f.DurationVar(&o.AccessRetention, "access-retention", 0, "how long access records are kept, at least 24h; 0 keeps them for ever")
	f.DurationVar(&o.FeedRetention, "feed-retention", 0, "how long the feed keeps events for consumers, at least 24h; 0 keeps them for ever")
	f.DurationVar(&o.CheckpointInterval, "checkpoint-interval", 10*time.Second, "how often a log that grew is signed")
	f.StringArrayVar(&witnesses, "witness", nil, "`URL=KEY` of a witness that cosigns the checkpoints: its submission prefix and its verifier key; may be repeated")
	f.StringVar(&o.Webhooks, "webhooks", "", "`FILE` of the endpoints that events are sent to, mode 0600; none if empty")
	f.StringVar(&memory, "memory", "", "`SIZE` of the memory that the process may use for itself, like 512MiB; the container's limit if empty")
	f.StringVar(&o.Profiles, "pprof", "", "`HOST:PORT` on the loopback where profiles of the process are served; none if empty")
	f.DurationVar(&o.ShutdownGrace, "shutdown-grace", 20*time.Second, "how long requests in flight may take to finish")
	return c
}

// minRetention leaves time to export or to read what expires.
const minRetention = 24 * time.Hour

// parseWitnesses reads what --witness was given. A verifier key has no equals
// sign before its base64 part, a URL may have one.
func parseWitnesses(given []string) ([]proof.Witness, error) {
	var witnesses []proof.Witness
	for _, g := range given {
		name, _, _ := strings.Cut(g, "+")
		at := strings.LastIndexByte(name, '=')
		if at < 0 {
			return nil, usagef("--witness is URL=KEY")
		}
		w, err := proof.NewWitness(g[:at], g[at+1:])
		if err != nil {
			return nil, usagef("--witness: %v", err)
		}
		witnesses = append(witnesses, w)
	}
	return witnesses, nil
}

// noCoreDumps keeps keys in memory from being written to disk by a crash. The
// operator's own limit may be lower already; that it cannot be set is no
// reason not to serve.
func noCoreDumps() {
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
}
