package server

import (
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi"
	"github.com/chancery-dev/chancery/proof"
)

// Config is what [Run] needs. Data, Listen and Logger are required.
type Config struct {
	// Data is the data directory; it is made, mode 0700, when missing.
	Data string
	// Listen is host:port of the API; port 0 takes a free one.
	Listen string
	Logger *slog.Logger
	// Listening, if set, is called once with the bound address.
	Listening func(net.Addr)

	// TLSCert and TLSKey are PEM files; both or neither.
	TLSCert, TLSKey string

	// RootKeyFile is the local provider's key file; root.key in Data when
	// empty.
	RootKeyFile string

	// NATSURL selects an external JetStream in place of the embedded one.
	NATSURL string
	// NATSCreds, NATSCA, NATSCert and NATSKey are files for that connection.
	NATSCreds, NATSCA, NATSCert, NATSKey string

	// NATSListen, if set, is host:port where the consumers of the embedded log
	// may connect; port 0 takes a free one.
	NATSListen string
	// NATSTLSCert and NATSTLSKey are PEM files for it; both or neither.
	NATSTLSCert, NATSTLSKey string
	// NATSListening, if set, is called once with its address.
	NATSListening func(net.Addr)

	// NATSReplicas is for streams that must be made: 1, 3 or 5.
	NATSReplicas int

	// ForeignFile lists positions and SHA-256 of proven foreign messages.
	ForeignFile string

	// Version of this program, for the record of its start.
	Version string

	// AccessRetention is how long access records are kept; 0 is for ever.
	AccessRetention time.Duration
	// FeedRetention is how long the feed keeps events for consumers, by the
	// time of the event; 0 is for ever.
	FeedRetention time.Duration
	// CheckpointInterval is how often a log that grew is signed; 0 means 10 s.
	CheckpointInterval time.Duration
	// Witnesses are asked to cosign the checkpoints.
	Witnesses []proof.Witness

	// Profiles is the loopback address where profiles of this process are
	// served (net/http/pprof); none if empty. ProfilesListening is told it.
	Profiles          string
	ProfilesListening func(net.Addr)

	// Webhooks is the file of the endpoints that events are sent to; none if
	// empty.
	Webhooks string

	// RatePerSecond bounds each agent's requests; 0 means no bound.
	RatePerSecond float64
	// FailuresPerSecond bounds the failed authentications of an address; 0
	// means no bound. Beyond it they are answered with 429 in place of 401.
	FailuresPerSecond float64
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []string
	// existing says that the log must be there: what is missing is an error and
	// is not made. The offline commands set it.
	existing bool
	// keysReadOnly leaves the key files as they are. What makes no key and
	// destroys none sets it.
	keysReadOnly bool
	// atStep is called after each step of the first start and of a repair;
	// tests stop there.
	atStep func(step string) error
	// sync takes the place of fsync on the embedded log's files in tests.
	sync func(*os.File) error

	// ShutdownGrace is how long requests in flight may take to finish.
	ShutdownGrace time.Duration
}

func (c Config) path(name string) string { return filepath.Join(c.Data, name) }

func (c Config) rootKeyFile() string {
	if c.RootKeyFile != "" {
		return c.RootKeyFile
	}
	return c.path("root.key")
}

func (c Config) check() error {
	switch {
	case c.Data == "":
		return domain.Errorf(domain.CodeInvalidRequest, "a data directory is required")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return domain.Errorf(domain.CodeInvalidRequest, "a TLS certificate and its key go together")
	case (c.NATSTLSCert == "") != (c.NATSTLSKey == ""):
		return domain.Errorf(domain.CodeInvalidRequest, "a TLS certificate for consumers and its key go together")
	case c.NATSListen != "" && c.NATSURL != "":
		return domain.Errorf(domain.CodeInvalidRequest, "consumers of an external NATS server connect to that server")
	case c.AccessRetention < 0, c.FeedRetention < 0, c.CheckpointInterval < 0:
		return domain.Errorf(domain.CodeInvalidRequest, "a duration is negative")
	}
	return nil
}

func (c Config) tlsConfig() (*tls.Config, error) { return loadTLS(c.TLSCert, c.TLSKey) }

func loadTLS(cert, key string) (*tls.Config, error) {
	if cert == "" {
		return nil, nil //nolint:nilnil // no TLS was asked for.
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// loopback says whether an address can be reached from this machine alone.
func loopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

func (c Config) reached(step string) error {
	if c.atStep == nil {
		return nil
	}
	return c.atStep(step)
}

func (c Config) grace() time.Duration {
	if c.ShutdownGrace > 0 {
		return c.ShutdownGrace
	}
	return defaultShutdownGrace
}

// rate bounds to so many a second, and twice as many at once; 0 means none.
func rate(perSecond float64) httpapi.Rate {
	if perSecond <= 0 {
		return httpapi.Rate{}
	}
	return httpapi.Rate{PerSecond: perSecond, Burst: max(1, int(2*perSecond))}
}

// ipExtractor believes X-Forwarded-For from the named networks, and nobody
// else's.
func ipExtractor(networks []string) (echo.IPExtractor, error) {
	if len(networks) == 0 {
		return echo.ExtractIPDirect(), nil
	}
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, n := range networks {
		_, network, err := net.ParseCIDR(n)
		if err != nil {
			return nil, err
		}
		trust = append(trust, echo.TrustIPRange(network))
	}
	return echo.ExtractIPFromXFFHeader(trust...), nil
}
