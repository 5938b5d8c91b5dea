package eventstore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/chancery-dev/chancery/domain"
)

// TestListenerLetsFeedsInAlone: over the network, nobody gets in but the users
// of the feeds: not the nameless, not another key, not the service's own user.
func TestListenerLetsFeedsInAlone(t *testing.T) {
	w := embeddedWorld(t, t.TempDir())
	stranger := newFeedUser(t, "billing")
	service, err := w.embedded.service.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string][]nats.Option{
		"nobody":                      nil,
		"a password":                  {nats.UserInfo("chancery", "chancery")},
		"the system account":          {nats.UserInfo("sys", "sys")},
		"a token":                     {nats.Token("token")},
		"another key":                 {nats.Nkey(stranger.User, stranger.key.Sign)},
		"a name with another key":     {nats.Nkey(w.own.User, stranger.key.Sign)},
		"the service from outside":    {nats.Nkey(service, w.embedded.service.Sign)},
		"an echo of the server's key": {nats.Nkey(service, w.own.key.Sign)},
	} {
		nc, err := nats.Connect(w.url, append(options, nats.NoReconnect(), nats.MaxReconnects(0))...)
		if err == nil {
			nc.Close()
			t.Errorf("%s was let in", name)
		}
	}
	if err := w.own.dial(t, w.url).FlushTimeout(10 * time.Second); err != nil {
		t.Error(err)
	}
}

// TestListenerComesAndGoes: the log is the same with a listener and without,
// and a feed keeps its place meanwhile.
func TestListenerComesAndGoes(t *testing.T) {
	dir := t.TempDir()
	plain, nc := startEmbedded(t, dir)
	l := openLog(t, nc)
	appendMany(t, l, secretStream("a"), 0, 1, 3)
	u := newFeedUser(t, "a-feed")
	feeds, err := NewFeeds(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := feeds.Add(t.Context(), u.Feed); err != nil {
		t.Fatal(err)
	}
	stopEmbedded(t, plain, nc)
	for round := range 2 {
		e, err := StartEmbeddedWith(t.Context(), dir, EmbeddedOptions{Listener: &Listener{Address: "127.0.0.1:0", Feeds: []Feed{u.Feed}}, Logger: logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := e.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		o := u.dial(t, "nats://"+e.Addr().String())
		m := o.fetch(1)[0]
		if meta, err := m.Metadata(); err != nil || meta.Sequence.Stream != uint64(round+1) {
			t.Errorf("round %d: %+v, %v", round, meta, err)
		}
		if err := m.AckSync(); err != nil {
			t.Error(err)
		}
		o.Close()
		stopEmbedded(t, e, conn)
	}
	plain, nc = startEmbedded(t, dir)
	defer stopEmbedded(t, plain, nc)
	if plain.Addr() != nil {
		t.Errorf("it listens on %v", plain.Addr())
	}
	if rs := collect(t, openLog(t, nc).Read(t.Context(), 0)); len(rs) != 3 {
		t.Errorf("%d events", len(rs))
	}
}

// TestListenerTLS: with a certificate nothing is said in the clear, and the
// process itself needs none.
func TestListenerTLS(t *testing.T) {
	certificate, pool := selfSigned(t)
	u := newFeedUser(t, "billing")
	e, err := StartEmbeddedWith(t.Context(), t.TempDir(), EmbeddedOptions{Listener: &Listener{
		Address: "127.0.0.1:0", Feeds: []Feed{u.Feed}, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := e.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopEmbedded(t, e, nc) })
	openLog(t, nc)
	url := "nats://" + e.Addr().String()
	o := u.dial(t, url, nats.Secure(&tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}))
	if _, err := o.TLSConnectionState(); err != nil {
		t.Error(err)
	}
	if plain, err := nats.Connect(url, nats.Nkey(u.User, u.key.Sign), nats.NoReconnect()); err == nil {
		plain.Close()
		t.Error("a client that does not trust the certificate got in")
	}
}

// TestListenerRefusals: what cannot be listened on is an error, not the end of
// the process.
func TestListenerRefusals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test.
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, l := range []Listener{
		{Address: ""},
		{Address: "127.0.0.1"},
		{Address: "127.0.0.1:no-such-port"},
		{Address: taken.Addr().String()},
		{Address: "127.0.0.1:0", Feeds: []Feed{{Name: "*"}}},
	} {
		e, err := StartEmbeddedWith(t.Context(), t.TempDir(), EmbeddedOptions{Listener: &l, Logger: logger(t)})
		if err == nil {
			t.Errorf("%+v: it started", l)
			_ = e.Shutdown()
		}
		if l.Address != taken.Addr().String() && domain.CodeOf(err) != domain.CodeInvalidRequest {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
