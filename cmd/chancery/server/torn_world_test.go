package server

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/eventstore/natsfile"
	"github.com/chancery-dev/chancery/reports"
)

// powerLoss is a data directory as of the moment the machine goes down. Every
// log has messages behind the newest position that a witness in it knows.
type powerLoss struct {
	Config
	caches Config // state.db and access.db that know everything
	// head and known are the newest position of each stream and the newest that
	// a witness knows.
	head, known map[string]uint64
}

func newPowerLoss(t *testing.T) powerLoss {
	t.Helper()
	p := powerLoss{Config: testConfig(t), caches: testConfig(t)}
	p.caches.Data = filepath.Join(t.TempDir(), "data")
	openAndLook(t, p.caches, func(s *store) {
		org, err := s.rootOrganization()
		mustDo(t, err)
		for range 3 {
			makeTeams(t, s, org, 5)
			recordAccess(t, s, org, 4)
			signLogs(t, s, org)
		}
		makeTeams(t, s, org, 2)
		recordAccess(t, s, org, 2)
		mustDo(t, s.index.CatchUp(t.Context(), s.access))
		mustDo(t, os.CopyFS(p.Data, os.DirFS(p.caches.Data)))
	})
	mustDo(t, os.Chmod(p.rootKeyFile(), 0o600))
	mustDo(t, os.Remove(p.path(stateFile)))
	mustDo(t, os.Remove(p.path(accessFile)))
	mark := p.path("jetstream/running")
	mustDo(t, os.WriteFile(mark, otherBoot(t, mustRead(t, mark)), 0o600))
	known, _ := knownPositions(t.Context(), p.Config)
	in, err := natsfile.Inspect(p.path(logDirectory), eventstore.LogFiles(known))
	if err != nil || in.Ended != natsfile.EndedWithMachine || len(in.Findings) > 0 {
		t.Fatalf("%+v, %v", in, err)
	}
	p.head, p.known = in.Last, map[string]uint64{}
	for stream, k := range in.Known {
		p.known[stream] = k.Position
		if k.Position == 0 || k.Position+2 > p.head[stream] {
			t.Fatalf("%s ends at %d, and %+v is known", stream, p.head[stream], k)
		}
	}
	return p
}

// records cuts a block into its messages, each of which has its length in the
// first four bytes, the topmost bit apart.
func records(content []byte) (all [][]byte) {
	for len(content) > 0 {
		n := int(uint32(content[0]) | uint32(content[1])<<8 | uint32(content[2])<<16 | uint32(content[3]&0x7f)<<24)
		all, content = append(all, content[:n]), content[n:]
	}
	return all
}

// harm is something that can have happened to a log's files.
type harm struct {
	name string
	do   func(t *testing.T, p powerLoss, stream string)
	// position is the first that cannot be read.
	position    func(p powerLoss, stream string) uint64
	torn, atEnd bool
	log         bool // of the events or the access log alone
}

func behind(p powerLoss, stream string) uint64 { return p.head[stream] + 1 }

// edit changes the one block of a stream.
func edit(change func(messages [][]byte) [][]byte) func(*testing.T, powerLoss, string) {
	return func(t *testing.T, p powerLoss, stream string) {
		t.Helper()
		name := blocks(t, p.Config, stream)[0]
		mustDo(t, os.WriteFile(name, bytes.Join(change(records(mustRead(t, name))), nil), 0o600))
	}
}

func harms() []harm {
	torn := func(m [][]byte) [][]byte { return append(m, m[0][:40]) }
	return []harm{
		{name: "nothing", do: func(*testing.T, powerLoss, string) {}},
		{name: "torn at the end", do: edit(torn), position: behind, torn: true, atEnd: true},
		{name: "torn before a younger block", do: func(t *testing.T, p powerLoss, stream string) {
			edit(torn)(t, p, stream)
			mustDo(t, os.WriteFile(filepath.Join(filepath.Dir(blocks(t, p.Config, stream)[0]), "2.blk"), make([]byte, 4096), 0o600))
		}, position: behind, torn: true},
		{
			name: "a message is missing that nobody was told of", do: edit(func(m [][]byte) [][]byte { return slices.Delete(m, len(m)-2, len(m)-1) }),
			position: func(p powerLoss, stream string) uint64 { return p.head[stream] - 1 }, torn: true,
		},
		{
			name: "a message is missing that a witness knows", do: edit(func(m [][]byte) [][]byte { return slices.Delete(m, 1, 2) }),
			position: func(powerLoss, string) uint64 { return 2 },
		},
		{
			name: "a byte is changed that a witness knows", do: edit(func(m [][]byte) [][]byte {
				m[1][len(m[1])/2] ^= 1
				return m
			}),
			position: func(powerLoss, string) uint64 { return 2 },
		},
		{
			name: "whole messages are gone that a witness knows", do: func(t *testing.T, p powerLoss, stream string) {
				edit(func(m [][]byte) [][]byte { return m[:p.known[stream]-1] })(t, p, stream)
			},
			position: func(p powerLoss, stream string) uint64 { return p.known[stream] }, log: true,
		},
	}
}

// opening is a command that opens the log of a data directory. A strict one
// changes nothing in it.
type opening struct {
	run    func(context.Context, Config) error
	strict bool
}

func openings() map[string]opening {
	all := map[string]opening{
		"serve": {run: func(ctx context.Context, cfg Config) error {
			s, err := openStore(ctx, cfg)
			if err != nil {
				return err
			}
			return s.close()
		}},
		"consumer list": {run: func(ctx context.Context, cfg Config) error {
			_, err := Consumers(ctx, cfg)
			return err
		}},
		"verify": {strict: true, run: func(ctx context.Context, cfg Config) error {
			_, err := Verify(ctx, cfg, nil)
			return err
		}},
		"log export": {strict: true, run: func(ctx context.Context, cfg Config) error {
			_, err := Export(ctx, cfg, cfg.path("out"), nil)
			return err
		}},
		"report": {strict: true, run: func(ctx context.Context, cfg Config) error {
			q := domain.ReportQuery{Name: "integrity", Format: "jsonl"}
			return Report(ctx, cfg, q, nil, func(*reports.Prepared) error { return nil })
		}},
	}
	for name, run := range offlineCommands() {
		all[name] = opening{run: run}
	}
	return all
}

// logFiles are the contents of all blocks of the logs, by path below the data
// directory.
func logFiles(t *testing.T, cfg Config) map[string]string {
	t.Helper()
	all := map[string]string{}
	for stream := range provedStreams() {
		for _, name := range blocks(t, cfg, stream) {
			all[strings.TrimPrefix(name, cfg.Data)] = string(mustRead(t, name))
		}
	}
	return all
}

// logged returns a copy of the directory and the log of the commands on it.
func (p powerLoss) logged(t *testing.T) (powerLoss, *bytes.Buffer) {
	t.Helper()
	var b bytes.Buffer
	p.Config = copyData(t, p.Config)
	p.Logger = slog.New(slog.NewTextHandler(&b, nil))
	return p, &b
}

// sameFiles reports whether no block was changed.
func sameFiles(t *testing.T, cfg Config, before map[string]string) bool {
	t.Helper()
	return maps.Equal(before, logFiles(t, cfg))
}
