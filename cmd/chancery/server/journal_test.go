package server

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// crashedData gives a data directory as a crash leaves it: an access record is
// durable in the journal and not in the access log.
func crashedData(t *testing.T) Config {
	t.Helper()
	cfg := signedData(t)
	s, err := openStore(t.Context(), cfg)
	mustDo(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.recorder.Run(ctx) }()
	mustDo(t, s.record(t.Context(), domain.AccessStart, "crashed"))
	stop()
	mustDo(t, <-ended)
	mustDo(t, s.close())
	return cfg
}

// accessDetails returns the details of the newest records of the access log.
func accessDetails(t *testing.T, cfg Config, after uint64) (details []string) {
	t.Helper()
	openAndLook(t, cfg, func(s *store) {
		for m, err := range s.access.Read(t.Context(), after) {
			mustDo(t, err)
			for _, a := range m.Records {
				details = append(details, a.Detail)
			}
		}
	})
	return details
}

// TestJournalOffline: the commands that only look say what waits in the journal
// and change nothing; the next start, and a command that appends, store it first.
func TestJournalOffline(t *testing.T) {
	cfg := crashedData(t)
	before := mustRead(t, cfg.path(journalFile))
	report, err := Verify(t.Context(), cfg, nil)
	mustDo(t, err)
	head := report.Logs[1].Head
	if notes := strings.Join(report.Notes, "\n"); !strings.Contains(notes, "1 records wait in access.journal") {
		t.Errorf("the notes are %q", notes)
	}
	checked, err := Fsck(t.Context(), cfg)
	mustDo(t, err)
	if checked.Head == 0 || !bytes.Equal(before, mustRead(t, cfg.path(journalFile))) {
		t.Errorf("%+v, or the journal was changed", checked)
	}
	_, err = AddConsumer(t.Context(), cfg, "billing", nil, filepath.Join(t.TempDir(), "key"))
	mustDo(t, err)
	if got := strings.Join(accessDetails(t, cfg, head), ", "); got != "crashed, consumer added: billing" {
		t.Errorf("the access log has %q", got)
	}
	report, err = Verify(t.Context(), cfg, nil)
	mustDo(t, err)
	if strings.Contains(strings.Join(report.Notes, ""), journalFile) || report.Logs[1].Head != head+2 {
		t.Errorf("%+v", report)
	}
}

// TestJournalOfAnotherLog: an access log that went on without the records of the
// journal is found by every command, and stays as it is.
func TestJournalOfAnotherLog(t *testing.T) {
	cfg := crashedData(t)
	b, err := openBroker(t.Context(), cfg)
	mustDo(t, err)
	log, err := eventstore.OpenAccessLog(t.Context(), b.accessConn, eventstore.AccessOptions{})
	mustDo(t, err)
	_, err = log.Append(t.Context(), []byte(`{"v":1,"time":"2026-01-01T00:00:00.000Z"}`+"\n"), nil)
	mustDo(t, err)
	mustDo(t, b.close())
	before := mustRead(t, cfg.path(journalFile))
	for name, do := range map[string]func() error{
		"verify": func() error { _, err := Verify(t.Context(), cfg, nil); return err },
		"fsck":   func() error { _, err := Fsck(t.Context(), cfg); return err },
		"serve": func() error {
			_, err := openStore(t.Context(), cfg)
			return err
		},
		"consumer add": func() error {
			_, err := AddConsumer(t.Context(), cfg, "billing", nil, filepath.Join(t.TempDir(), "key"))
			return err
		},
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), "not those of the journal") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !bytes.Equal(before, mustRead(t, cfg.path(journalFile))) {
		t.Error("the journal was changed")
	}
}

// TestJournalFailed: once the journal's file has failed no access is recorded, so
// nothing is released, and readiness names the journal.
func TestJournalFailed(t *testing.T) {
	s, err := openStore(t.Context(), testConfig(t))
	mustDo(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.recorder.Run(ctx) }()
	h := newHealth(s)
	mustDo(t, s.record(t.Context(), domain.AccessStart, ""))
	if failsFor(h.Ready(t.Context()), "access journal") {
		t.Error("not ready before the file failed")
	}
	mustDo(t, s.journal.Close()) // every write fails from now on
	for _, want := range []error{eventstore.ErrUncertain, eventstore.ErrUnavailable} {
		if err := s.record(t.Context(), domain.AccessStart, ""); !errors.Is(err, want) {
			t.Errorf("recorded: %v, want %v", err, want)
		}
	}
	if !failsFor(h.Ready(t.Context()), "access journal") {
		t.Error("ready after the file failed")
	}
	stop()
	mustDo(t, <-ended)
	if err := s.close(); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}
