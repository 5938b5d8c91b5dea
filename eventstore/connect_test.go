package eventstore

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
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/chancery-dev/chancery/kms"
)

var _ kms.KeyStore = (*KeyStore)(nil)

// writeCertificate makes a certificate for 127.0.0.1 that signs itself, and
// writes it and its key as PEM.
func writeCertificate(t *testing.T, dir string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := errors.Join(os.WriteFile(certFile, certPEM, 0o600), os.WriteFile(keyFile, keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, pool
}

// TestConnectTLS: with authority and client certificate the log works on an
// external server; without either there is no connection.
func TestConnectTLS(t *testing.T) {
	certFile, keyFile, pool := writeCertificate(t, t.TempDir())
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	x := startExternal(t, server.Options{TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}})
	full := Server{URL: x.server.ClientURL(), CAFile: certFile, CertFile: certFile, KeyFile: keyFile, Logger: logger(t)}
	nc, err := Connect(t.Context(), full)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	appendMany(t, openLog(t, nc), secretStream("s"), 0, 1, 1)
	for name, change := range map[string]func(*Server){
		"no authority":          func(s *Server) { s.CAFile = "" },
		"no client certificate": func(s *Server) { s.CertFile, s.KeyFile = "", "" },
		"a missing file":        func(s *Server) { s.CAFile += "x" },
		"no credentials file":   func(s *Server) { s.CredsFile = "none" },
		"no server":             func(s *Server) { s.URL = "tls://127.0.0.1:1" },
	} {
		s := full
		change(&s)
		if nc, err := Connect(t.Context(), s); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
			nc.Close()
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Connect(ended, full); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
}
