package main

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
)

// TestServerScripts runs what speaks to a server: a real one for each script.
// Its projection is compared with a fresh fold of the log when the script has
// ended.
func TestServerScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/server",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server":  func(ts *testscript.TestScript, neg bool, args []string) { startScriptServer(t, ts, neg, args) },
			"capture": capture,
		},
	})
}

// startScriptServer is the script command "server": it starts a server on an
// empty data directory and sets CHANCERY_ADDR and ADMIN_KEY_FILE.
func startScriptServer(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: server")
	}
	data := ts.MkAbs("data")
	ctx, stop := context.WithCancel(context.Background())
	listening, ended := make(chan net.Addr, 1), make(chan error, 1)
	cfg := server.Config{
		Data: data, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		Listening: func(a net.Addr) { listening <- a },
	}
	go func() { ended <- server.Run(ctx, cfg) }()
	ts.Defer(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("%s: the server did not end in order: %v", ts.Name(), err)
		}
		if _, err := server.Fsck(context.Background(), cfg); err != nil {
			t.Errorf("%s: fsck: %v", ts.Name(), err)
		}
	})
	select {
	case addr := <-listening:
		ts.Setenv("CHANCERY_ADDR", "http://"+addr.String())
		ts.Setenv("ADMIN_KEY_FILE", filepath.Join(data, "admin.key"))
	case err := <-ended:
		ended <- err
		ts.Fatalf("the server did not start: %v", err)
	}
}
