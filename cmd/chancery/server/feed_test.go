package server_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/eventstore/feed"
	"github.com/chancery-dev/chancery/proof"
)

// TestConsumerAfterPowerLoss: the machine went down, and the feed with torn
// blocks and lost consumers comes back; the consumer handles each position
// once.
func TestConsumerAfterPowerLoss(t *testing.T) {
	program, address, cfg := exampleConsumer(t), freeAddress(t), newData(t)
	key, file := addConsumer(t, cfg, "billing"), filepath.Join(t.TempDir(), "billing.events")
	head := 4 // the first start makes four events
	for round := range 3 {
		url, kill := process(t, cfg.Data, serveNATS+"="+address)
		c := startConsumer(t, program, address, "billing", key, file)
		api := adminClient(t, url, cfg.Data)
		who, err := api.Whoami(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			scope := domain.Scope{Kind: domain.ScopeAgent, ID: who.AgentID}
			if err := createPlain(t.Context(), api, scope, "s-"+strings.Repeat("x", 5*round+i), "a value"); err != nil {
				t.Fatal(err)
			}
			head++
		}
		c.until(head)
		kill()
		c.kill()
		stream := filepath.Join(cfg.Data, "jetstream", "jetstream", "$G", "streams", feed.Stream)
		if err := os.RemoveAll(filepath.Join(stream, "obs")); err != nil {
			t.Fatal(err)
		}
		tear(t, filepath.Join(stream, "msgs"))
		if err := os.WriteFile(filepath.Join(cfg.Data, "jetstream", "running"), []byte("another boot"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	url, kill := process(t, cfg.Data, serveNATS+"="+address)
	waitPage(t, url+"/metrics", http.StatusOK, fmt.Sprintf("chancery_feed_position %d\n", head))
	kill()
	report, err := server.Fsck(t.Context(), cfg)
	if err != nil || report.Feed == nil || *report.Feed != (feed.Report{First: 1, Last: uint64(head)}) {
		t.Errorf("%+v, %v", report, err)
	}
	if list, err := server.Consumers(t.Context(), cfg); err != nil || len(list) != 1 || list[0].Name != "billing" {
		t.Errorf("%+v, %v", list, err)
	}
}

// tear cuts the end off every block.
func tear(t *testing.T, dir string) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("%v, %v", blocks, err)
	}
	for _, b := range blocks {
		info, err := os.Stat(b)
		if err == nil {
			err = os.Truncate(b, info.Size()/2)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// withFeed hands over the feed's stream of a stopped embedded node.
func withFeed(t *testing.T, cfg server.Config, do func(jetstream.JetStream)) {
	t.Helper()
	e, err := eventstore.StartEmbedded(t.Context(), filepath.Join(cfg.Data, "jetstream"), cfg.Logger)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Shutdown()
	nc, err := e.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	do(js)
}

// TestFeedIsVerified: fsck and verify find a feed that is not what the log makes
// it and name the position; a node refuses one that is ahead of its log, says so
// in /readyz, and makes a wrong one anew.
func TestFeedIsVerified(t *testing.T) {
	s := startServer(t)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	cfg := server.Config{Data: s.Data, Logger: slog.New(slog.DiscardHandler)}
	addConsumer(t, cfg, "billing")
	s.start(t)
	waitPage(t, s.URL+"/metrics", http.StatusOK, "chancery_feed_position 4\n")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.Data, "feed.json")); err != nil {
		t.Error(err)
	}
	find := func(position uint64, words string) {
		t.Helper()
		_, fscked := server.Fsck(t.Context(), cfg)
		_, verified := server.Verify(t.Context(), cfg, nil)
		for _, err := range []error{fscked, verified} {
			fault, ok := errors.AsType[*proof.Fault](err)
			if !ok || fault.Log != "feed" || fault.Position != position || !strings.Contains(err.Error(), words) {
				t.Errorf("it says %v", err)
			}
		}
	}
	report, err := server.Verify(t.Context(), cfg, nil)
	if err != nil || report.Feed == nil || *report.Feed != (feed.Report{First: 1, Last: 4}) {
		t.Errorf("%+v, %v", report.Feed, err)
	}
	withFeed(t, cfg, func(js jetstream.JetStream) {
		if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "chancery.feed.x", Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	})
	find(5, "lost events")
	ctx := t.Context()
	addr, stop := runNode(t, cfg)
	waitPage(t, "http://"+addr+"/readyz", http.StatusServiceUnavailable, "the feed of the consumers does not follow the log")
	if err := stop(); err != nil {
		t.Error(err)
	}
	withFeed(t, cfg, func(js jetstream.JetStream) { // as if an operator accepted the loss, and then a wrong one
		stream, err := js.Stream(ctx, feed.Stream)
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		if err := js.DeleteStream(ctx, feed.Stream); err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateStream(ctx, config); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := js.PublishMsg(ctx, &nats.Msg{Subject: "chancery.feed.x", Data: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
		}
	})
	find(1, "not the event's record")
	s.start(t)
	waitPage(t, s.URL+"/metrics", http.StatusOK, "chancery_feed_position 4\n")
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if report, err := server.Fsck(t.Context(), cfg); err != nil || *report.Feed != (feed.Report{First: 1, Last: 4}) {
		t.Errorf("%+v, %v", report, err)
	}
	if err := server.RemoveConsumer(t.Context(), cfg, "billing"); err != nil {
		t.Error(err)
	}
	s.start(t)
	waitPage(t, s.URL+"/metrics", http.StatusOK, "chancery_feed_position 0\n")
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if report, err := server.Fsck(t.Context(), cfg); err != nil || report.Feed != nil {
		t.Errorf("a feed without consumers: %+v, %v", report, err)
	}
	if _, err := os.Stat(filepath.Join(s.Data, "jetstream", "jetstream", "$G", "streams", feed.Stream)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
}

// waitPage polls a page until it has a status and holds some words.
func waitPage(t *testing.T, url string, status int, words string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if res.StatusCode == status && strings.Contains(string(body), words) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d without %q", url, res.StatusCode, words)
		}
	}
}
