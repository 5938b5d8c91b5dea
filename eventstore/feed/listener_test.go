package feed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// TestListenerLetsFeedsInAlone: over the network, nobody gets in but the users
// of the feeds: not the nameless, not another key, not the service's own user.
func TestListenerLetsFeedsInAlone(t *testing.T) {
	w := embeddedWorld(t, t.TempDir())
	stranger := newFeedUser(t, "billing")
	service, sign := w.nc.Opts.Nkey, w.nc.Opts.SignatureCB
	for name, options := range map[string][]nats.Option{
		"nobody":                      nil,
		"a password":                  {nats.UserInfo("chancery", "chancery")},
		"the system account":          {nats.UserInfo("sys", "sys")},
		"a token":                     {nats.Token("token")},
		"another key":                 {nats.Nkey(stranger.User, stranger.key.Sign)},
		"a name with another key":     {nats.Nkey(w.own.User, stranger.key.Sign)},
		"the service from outside":    {nats.Nkey(service, sign)},
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
// and a consumer keeps its position meanwhile.
func TestListenerComesAndGoes(t *testing.T) {
	dir, path, u := t.TempDir(), filepath.Join(t.TempDir(), "feed.json"), newFeedUser(t, "a-feed")
	plain, nc := startEmbedded(t, dir)
	appendMany(t, openLog(t, nc), secretStream("a"), 0, 1, 3)
	if err := openFeed(t, nc, Options{Epoch: plain.Epoch()}).Add(t.Context(), u.Consumer); err != nil {
		t.Fatal(err)
	}
	stopEmbedded(t, plain, nc)
	for round := range 2 {
		e, conn := startListening(t, dir, u.Consumer)
		running := followFeed(t, openFeed(t, conn, Options{Epoch: e.Epoch()}), openLog(t, conn), path, u.Consumer)
		o := u.dial(t, "nats://"+e.Addr().String())
		if meta, err := o.fetch(1, false)[0].Metadata(); err != nil || meta.Sequence.Stream != uint64(round+1) {
			t.Errorf("round %d: %+v, %v", round, meta, err)
		}
		o.Close()
		running.stop()
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
	l, err := Listener("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, []Consumer{u.Consumer})
	if err != nil {
		t.Fatal(err)
	}
	e, err := eventstore.StartEmbeddedWith(t.Context(), t.TempDir(), eventstore.EmbeddedOptions{Listener: &l, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	openLog(t, connected(t, e))
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
	for _, address := range []string{"", "127.0.0.1", "127.0.0.1:no-such-port", taken.Addr().String()} {
		l, err := Listener(address, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		e, err := eventstore.StartEmbeddedWith(t.Context(), t.TempDir(), eventstore.EmbeddedOptions{Listener: &l, Logger: logger(t)})
		if err == nil {
			t.Errorf("%q: it started", address)
			_ = e.Shutdown()
		}
		if address != taken.Addr().String() && domain.CodeOf(err) != domain.CodeInvalidRequest {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := Listener("127.0.0.1:0", nil, []Consumer{{Name: "*"}}); domain.CodeOf(err) != domain.CodeInvalidRequest {
		t.Errorf("a name with a wildcard: %v", err)
	}
	bad := eventstore.Listener{Address: "127.0.0.1:0", Accounts: "accounts {"}
	if e, err := eventstore.StartEmbeddedWith(t.Context(), t.TempDir(), eventstore.EmbeddedOptions{Listener: &bad, Logger: logger(t)}); err == nil {
		t.Error("accounts without an end: it started")
		_ = e.Shutdown()
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
