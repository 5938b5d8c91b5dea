package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/domain"
)

// externalNATS starts a NATS server of its own on loopback.
func externalNATS(t *testing.T) string {
	t.Helper()
	s, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, MaxPayload: 4 << 20, NoSigs: true, NoLog: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server did not start")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s.ClientURL()
}

// runNode runs a node until the test ends and gives its address.
func runNode(t *testing.T, cfg server.Config) (addr string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	listening, ended := make(chan net.Addr, 1), make(chan error, 1)
	cfg.Listen, cfg.Logger = "127.0.0.1:0", slog.New(slog.DiscardHandler)
	cfg.Listening = func(a net.Addr) { listening <- a }
	go func() { ended <- server.Run(ctx, cfg) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("the node did not end in order: %v", err)
		}
	})
	select {
	case a := <-listening:
		return a.String(), stop
	case err := <-ended:
		t.Fatalf("the node did not start: %v", err)
		return "", nil
	}
}

// TestTwoNodesOnOneLog: two nodes with the same root key serve one log. What
// one writes, the other shows at the position that the writer was told; a
// node with another root key does not start.
func TestTwoNodesOnOneLog(t *testing.T) {
	url := externalNATS(t)
	first := server.Config{Data: filepath.Join(t.TempDir(), "one"), NATSURL: url}
	addr, _ := runNode(t, first)
	waitReady(t, "http://"+addr)
	a := adminClient(t, "http://"+addr, first.Data)
	who, err := a.Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ref := client.SecretRef{Scope: domain.Scope{Kind: domain.ScopeAgent, ID: who.AgentID}, ID: "shared"}
	sealed, err := a.SealField(t.Context(), ref.Field("password"), []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	var written client.Meta
	if _, err := a.CreateSecret(t.Context(), ref, client.NewSecret{Name: "n", Category: "c", Fields: []domain.Field{sealed}}, client.WithMeta(&written)); err != nil {
		t.Fatal(err)
	}

	second := server.Config{Data: filepath.Join(t.TempDir(), "two"), NATSURL: url}
	second.Logger = slog.New(slog.DiscardHandler)
	if err := server.Run(t.Context(), second); err == nil || !strings.Contains(err.Error(), "root key") {
		t.Fatalf("a node without the root key: %v; want a refusal that names it", err)
	}
	if err := os.MkdirAll(second.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(second.Data, "root.key"), readFile(t, filepath.Join(first.Data, "root.key")), 0o600); err != nil {
		t.Fatal(err)
	}
	addr, _ = runNode(t, second)
	waitReady(t, "http://"+addr)
	b := adminClient(t, "http://"+addr, first.Data)
	opened, err := b.Reveal(t.Context(), ref.Field("password"), client.MinPosition(written.Position))
	if err != nil || string(opened.Value) != "open sesame" {
		t.Fatalf("the second node opens %v, %v", len(opened.Value), err)
	}
	if _, err := b.DeleteSecret(t.Context(), ref, client.WithMeta(&written)); err != nil {
		t.Fatal(err)
	}
	_, err = a.GetSecret(t.Context(), ref, client.MinPosition(written.Position))
	if !errors.Is(err, domain.Errorf(domain.CodeSecretNotFound, "")) {
		t.Errorf("the first node after the second deleted: %v; want secret_not_found", err)
	}
}

// TestOfflineCommandsMakeNoExternalLog: on an external server without our
// streams, as with a mistyped address, the offline commands refuse each time:
// none of them makes what the next would find.
func TestOfflineCommandsMakeNoExternalLog(t *testing.T) {
	cfg := server.Config{Data: t.TempDir(), NATSURL: externalNATS(t), Logger: slog.New(slog.DiscardHandler)}
	for range 2 {
		_, checked := server.Fsck(t.Context(), cfg)
		_, rebuilt := server.Rebuild(t.Context(), cfg, func(uint64, uint64, string) {})
		_, recovered := server.RecoverAdmin(t.Context(), cfg)
		for name, err := range map[string]error{"fsck": checked, "rebuild": rebuilt, "recover-admin": recovered} {
			if err == nil || !strings.Contains(err.Error(), "CHANCERY_EVENTS is missing") {
				t.Errorf("%s: %v; want an error that names the stream", name, err)
			}
		}
	}
}

// TestOrderlyStopLosesNothing: a stop in the middle of writes lets requests in
// flight finish; what was acknowledged is there after the start.
func TestOrderlyStopLosesNothing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	addr, stop := runNode(t, server.Config{Data: data})
	waitReady(t, "http://"+addr)
	c := adminClient(t, "http://"+addr, data)
	who, err := c.Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	scope := domain.Scope{Kind: domain.ScopeAgent, ID: who.AgentID}
	acknowledged := map[string]string{}
	var mu sync.Mutex
	var writers sync.WaitGroup
	progress := make(chan struct{}, 1<<16)
	for w := range 8 {
		writers.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("s-%d-%d", w, i)
				err := createPlain(context.WithoutCancel(t.Context()), c, scope, id, id)
				if p, ok := errors.AsType[*client.ProblemError](err); ok {
					t.Errorf("a request in flight was refused: %v", p)
				}
				if err != nil {
					return // no connection any more
				}
				mu.Lock()
				acknowledged[id] = id
				mu.Unlock()
				progress <- struct{}{}
			}
		})
	}
	for range 100 {
		<-progress
	}
	if err := stop(); err != nil {
		t.Errorf("the stop: %v", err)
	}
	writers.Wait()
	addr, _ = runNode(t, server.Config{Data: data})
	waitReady(t, "http://"+addr)
	got := readAll(t, "http://"+addr, data, acknowledged)
	for id := range acknowledged {
		if got[id] != id {
			t.Errorf("%s was acknowledged and is gone", id)
		}
	}
}

// TestTLS: with certificate files the API speaks TLS and nothing else.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	roots := certificate(t, dir)
	addr, _ := runNode(t, server.Config{
		Data: filepath.Join(dir, "data"), TLSCert: filepath.Join(dir, "cert.pem"), TLSKey: filepath.Join(dir, "key.pem"),
	})
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	defer trusting.CloseIdleConnections()
	for url, want := range map[string]int{"https://" + addr + "/healthz": 200, "http://" + addr + "/healthz": 400} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := trusting.Do(req)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if _ = res.Body.Close(); res.StatusCode != want {
			t.Errorf("%s answers %d; want %d", url, res.StatusCode, want)
		}
	}
}

// certificate writes a self-signed certificate for 127.0.0.1 and its key.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{"cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}
