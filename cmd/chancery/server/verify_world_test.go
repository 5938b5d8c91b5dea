package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/proof"
)

// signedData makes a data directory with events and access records, all of
// which are signed, as an orderly stop of the server leaves it.
func signedData(t *testing.T) Config {
	t.Helper()
	cfg := testConfig(t)
	openAndLook(t, cfg, func(s *store) {
		org, err := s.rootOrganization()
		mustDo(t, err)
		for range 3 {
			makeTeams(t, s, org, 5)
			recordAccess(t, s, org, 4)
			signLogs(t, s, org)
		}
	})
	return cfg
}

// makeTeams appends events on two streams.
func makeTeams(t *testing.T, s *store, org domain.OrgID, n int) {
	t.Helper()
	apply := func(org domain.OrgID, c domain.DirectoryCommand) {
		_, err := s.executor.ChangeDirectoryAsSystem(t.Context(), org, c, "test")
		mustDo(t, err)
	}
	for i := range n {
		id, err := ulid.New(ulid.Timestamp(s.now()), s.rand)
		mustDo(t, err)
		scope := domain.Scope{Kind: domain.ScopeTeam, ID: domain.TeamPrefix + id.String()}
		apply(org, domain.CreateScope{Scope: scope, Name: fmt.Sprintf("Team %d", i)})
	}
}

// recordAccess appends messages of the access log.
func recordAccess(t *testing.T, s *store, org domain.OrgID, n int) {
	t.Helper()
	log, err := eventstore.OpenAccessLog(t.Context(), s.conn, eventstore.AccessOptions{})
	mustDo(t, err)
	recorder := eventstore.NewAccessRecorder(log, eventstore.AccessRecorderConfig{Now: time.Now})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- recorder.Run(ctx) }()
	for i := range n {
		mustDo(t, recorder.Record(t.Context(), domain.Access{
			Org: org, Target: org, Action: domain.AccessReport, Detail: fmt.Sprint(i), Outcome: domain.OutcomeAllowed, Time: time.Now(),
		}))
	}
	stop()
	mustDo(t, <-ended)
}

// signLogs signs both logs as they are.
func signLogs(t *testing.T, s *store, org domain.OrgID) {
	t.Helper()
	proofs, err := eventstore.OpenProofStore(t.Context(), s.conn, 1)
	mustDo(t, err)
	seed, err := kms.LoadSigningKey(t.Context(), s.provider, proofs, org, true, s.rand, s.now)
	mustDo(t, err)
	key, err := proof.NewSigningKey(seed)
	mustDo(t, err)
	access, err := eventstore.OpenAccessLog(t.Context(), s.conn, eventstore.AccessOptions{})
	mustDo(t, err)
	l := &logsToVerify{broker: s.broker, access: access}
	for log, leaves := range map[string]func(func(proof.Leaf, error) bool){
		proof.LogEvents: l.eventLeaves(t.Context(), 0), proof.LogAccess: l.accessLeaves(t.Context(), 0),
	} {
		tree := proof.Tree{Tiles: tilesInMemory{}}
		for leaf, err := range leaves {
			mustDo(t, err)
			mustDo(t, tree.Append([]tlog.Hash{proof.LeafHash(leaf.Data)}))
		}
		root, err := tree.Root(tree.Size)
		mustDo(t, err)
		note, err := key.Sign(proof.Checkpoint{Origin: proof.Origin(string(org), log), Size: tree.Size, Root: root}, s.now())
		mustDo(t, err)
		_, revision, err := proofs.Latest(t.Context(), log)
		mustDo(t, err)
		_, err = proofs.Add(t.Context(), log, revision, note)
		mustDo(t, err)
	}
}

type leafHash = tlog.Hash

// rawStream opens the stopped server's log by the raw API, as one who has the
// files can.
func rawStream(t *testing.T, cfg Config, do func(ctx context.Context, js jetstream.JetStream)) {
	t.Helper()
	embedded, err := eventstore.StartEmbedded(t.Context(), cfg.path(logDirectory), cfg.Logger)
	mustDo(t, err)
	conn, err := embedded.Connect(t.Context())
	mustDo(t, err)
	js, err := jetstream.New(conn)
	mustDo(t, err)
	do(t.Context(), js)
	conn.Close()
	mustDo(t, embedded.Shutdown())
}

// remake deletes a stream and makes it again, with other messages.
func remake(t *testing.T, cfg Config, stream string, change func([]*nats.Msg) []*nats.Msg) {
	t.Helper()
	rawStream(t, cfg, func(ctx context.Context, js jetstream.JetStream) {
		s, err := js.Stream(ctx, stream)
		mustDo(t, err)
		info := s.CachedInfo()
		var messages []*nats.Msg
		for position := info.State.FirstSeq; position <= info.State.LastSeq; position++ {
			m, err := s.GetMsg(ctx, position)
			mustDo(t, err)
			// The other headers were orders to the log's server.
			msg := &nats.Msg{Subject: m.Subject, Data: m.Data}
			if record, ok := m.Header[eventstore.RecordHeader]; ok {
				msg.Header = nats.Header{eventstore.RecordHeader: record}
			}
			messages = append(messages, msg)
		}
		mustDo(t, js.DeleteStream(ctx, stream))
		deadline := time.Now().Add(30 * time.Second)
		for _, err = js.CreateStream(ctx, info.Config); err != nil && time.Now().Before(deadline); _, err = js.CreateStream(ctx, info.Config) {
			time.Sleep(time.Millisecond) // the server is still removing the one before
		}
		mustDo(t, err)
		for _, m := range change(messages) {
			_, err := js.PublishMsg(ctx, m)
			mustDo(t, err)
		}
	})
}

// blocks gives the message blocks of a stream, in order.
func blocks(t *testing.T, cfg Config, stream string) []string {
	t.Helper()
	found, err := filepath.Glob(cfg.path("jetstream/jetstream/$G/streams/" + stream + "/msgs/*.blk"))
	mustDo(t, err)
	slices.Sort(found)
	if len(found) == 0 {
		t.Fatalf("%s has no message block", stream)
	}
	return found
}

// copyData gives a copy of a data directory.
func copyData(t *testing.T, cfg Config) Config {
	t.Helper()
	copied := cfg
	copied.Data = filepath.Join(t.TempDir(), "data")
	mustDo(t, os.CopyFS(copied.Data, os.DirFS(cfg.Data)))
	mustDo(t, os.Chmod(copied.rootKeyFile(), 0o600))
	return copied
}

// tilesInMemory is a map of tiles.
type tilesInMemory map[[2]uint64][]byte

// Tile implements proof.Tiles.
func (m tilesInMemory) Tile(level int, index uint64) ([]byte, error) {
	return m[[2]uint64{uint64(level), index}], nil
}

// PutTile implements proof.Tiles.
func (m tilesInMemory) PutTile(level int, index uint64, hashes []byte) error {
	m[[2]uint64{uint64(level), index}] = slices.Clone(hashes)
	return nil
}
