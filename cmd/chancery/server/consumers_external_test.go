package server_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/domain"
)

// serviceLines are what an operator's configuration says of the service's
// account beside what consumer add prints.
const serviceLines = "jetstream: enabled, users: [{user: service, password: secret}]\n"

// configuredNATS starts a NATS server with a configuration, over a store that
// outlives it, and gives the service's and the plain URL.
func configuredNATS(t *testing.T, store, accounts string) (service, plain string, stop func()) {
	t.Helper()
	var o natsserver.Options
	if err := o.ProcessConfigString(accounts); err != nil {
		t.Fatalf("%v\n%s", err, accounts)
	}
	o.Host, o.Port, o.JetStream, o.StoreDir, o.SyncAlways, o.MaxPayload, o.NoSigs, o.NoLog = "127.0.0.1", -1, true, store, true, 4<<20, true, true
	s, err := natsserver.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server did not start")
	}
	stop = func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
	t.Cleanup(stop)
	u, err := url.Parse(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("service", "secret")
	return u.String(), u.Host, stop
}

// TestConsumerExternal: with an external server, what consumer add prints is
// all that its configuration needs, while a node runs.
func TestConsumerExternal(t *testing.T) {
	store := t.TempDir()
	service, _, stopNATS := configuredNATS(t, store, "accounts {SERVICE {"+serviceLines+"}}")
	cfg := server.Config{Data: filepath.Join(t.TempDir(), "data"), NATSURL: service, Logger: slog.New(slog.DiscardHandler)}
	addr, stop := runNode(t, cfg)
	waitReady(t, "http://"+addr)
	key := filepath.Join(t.TempDir(), "billing.nk")
	added, err := server.AddConsumer(t.Context(), cfg, "billing", nil, key)
	if err != nil {
		t.Fatal(err)
	}
	second, err := server.AddConsumer(t.Context(), cfg, "search", nil, key+"2")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(second.Accounts, "accounts {\n  \"SERVICE\" {\n") || !strings.Contains(second.Accounts, added.User) {
		t.Fatalf("the accounts are\n%s", second.Accounts)
	}
	if seed := strings.TrimSpace(string(readFile(t, key))); strings.Contains(second.Accounts, seed) {
		t.Error("the seed is among the accounts")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	report, err := server.Fsck(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	stopNATS()
	service, plain, _ := configuredNATS(t, store, strings.Replace(second.Accounts, "{\n  \"SERVICE\" {\n", "{\n  \"SERVICE\" {\n"+serviceLines, 1))
	cfg.NATSURL = service
	addr, _ = runNode(t, cfg)
	waitReady(t, "http://"+addr)
	startConsumer(t, exampleConsumer(t), plain, "billing", key, filepath.Join(t.TempDir(), "billing.events")).until(int(report.Head))
}

// TestConsumerExternalRefusals: a server whose default account is used cannot
// keep consumers apart, and two kinds of listener contradict each other.
func TestConsumerExternalRefusals(t *testing.T) {
	cfg := server.Config{Data: filepath.Join(t.TempDir(), "data"), NATSURL: externalNATS(t), Logger: slog.New(slog.DiscardHandler)}
	addr, _ := runNode(t, cfg)
	waitReady(t, "http://"+addr)
	key := filepath.Join(t.TempDir(), "billing.nk")
	if _, err := server.AddConsumer(t.Context(), cfg, "billing", nil, key); domain.CodeOf(err) != domain.CodeConflict {
		t.Errorf("in the default account: %v", err)
	}
	if _, err := os.Stat(key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key is there: %v", err)
	}
	if list, err := server.Consumers(t.Context(), cfg); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	cfg.NATSListen = "127.0.0.1:0"
	if err := server.Run(t.Context(), cfg); domain.CodeOf(err) != domain.CodeInvalidRequest {
		t.Errorf("listening beside an external server: %v", err)
	}
	if err := server.Run(t.Context(), server.Config{Data: t.TempDir(), NATSListen: "127.0.0.1:0", NATSTLSCert: "cert.pem", Logger: cfg.Logger}); domain.CodeOf(err) != domain.CodeInvalidRequest {
		t.Errorf("a certificate without a key: %v", err)
	}
}
