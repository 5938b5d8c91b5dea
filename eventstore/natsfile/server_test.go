package natsfile

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const stream = "TEST"

// rules are those of the stream in these tests.
func rules(expires bool) map[string]Rules { return map[string]Rules{stream: {Expires: expires}} }

// node is a server on a directory, with the store that makes it durable.
type node struct {
	t      *testing.T
	dir    string
	store  *Store
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
	stream *Stream
}

// start opens the directory, starts a server on it and makes the stream. maxAge
// is 0 for a stream that keeps everything.
func start(t *testing.T, dir string, maxAge time.Duration, o Options) *node {
	t.Helper()
	n := &node{t: t, dir: dir}
	o.Streams = rules(maxAge > 0)
	var err error
	if n.store, err = Open(dir, o); err != nil {
		t.Fatal(err)
	}
	n.startServer()
	config := jetstream.StreamConfig{Name: stream, Subjects: []string{"test.>"}, MaxAge: maxAge, Duplicates: 100 * time.Millisecond}
	s, err := n.js.CreateStream(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if n.stream, err = n.store.Stream(t.Context(), stream, s.CachedInfo().State.LastSeq, maxAge); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) startServer() {
	n.t.Helper()
	s, err := server.NewServer(&server.Options{
		ServerName: "test", DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: n.dir,
		SyncInterval: SyncInterval, MaxPayload: 4 << 20, JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 1 << 40,
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.server = s
	s.Start()
	for !s.ReadyForConnections(time.Second) || !s.JetStreamEnabled() {
		if n.t.Context().Err() != nil {
			n.t.Fatal("the server did not start")
		}
	}
	n.t.Cleanup(n.stopServer)
	if n.conn, err = nats.Connect("", nats.InProcessServer(s)); err != nil {
		n.t.Fatal(err)
	}
	if n.js, err = jetstream.New(n.conn); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) stopServer() {
	if n.server != nil {
		n.conn.Close()
		n.server.Shutdown()
		n.server.WaitForShutdown()
		n.server = nil
	}
}

// close stops everything in order.
func (n *node) close() error {
	n.stopServer()
	return n.store.Close()
}

// publish has the server store a message of some length, whose content names
// its sequence, and returns the sequence.
func (n *node) publish(size int) uint64 {
	n.t.Helper()
	sequence, err := n.tryPublish(size)
	if err != nil {
		n.t.Fatal(err)
	}
	return sequence
}

func (n *node) tryPublish(size int) (uint64, error) {
	ack, err := n.js.PublishMsg(context.Background(), &nats.Msg{Subject: "test.s", Header: nats.Header{"H": {"h"}}, Data: make([]byte, size)})
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// append publishes and waits until it is durable.
func (n *node) append(size int) uint64 {
	n.t.Helper()
	sequence := n.publish(size)
	if err := n.stream.Wait(n.t.Context(), sequence); err != nil {
		n.t.Fatal(err)
	}
	return sequence
}

// state asks the server.
func (n *node) state() jetstream.StreamState {
	n.t.Helper()
	s, err := n.js.Stream(n.t.Context(), stream)
	if err != nil {
		n.t.Fatal(err)
	}
	return s.CachedInfo().State
}

// recordOf builds a record as the server does.
func recordOf(t *testing.T, number uint32, sequence uint64, subject string, size int) []byte {
	t.Helper()
	r := make([]byte, recordEmpty+len(subject)+size)
	binary.LittleEndian.PutUint32(r, uint32(len(r)))
	binary.LittleEndian.PutUint64(r[4:], sequence)
	binary.LittleEndian.PutUint16(r[20:], uint16(len(subject)))
	copy(r[recordHead:], subject)
	s, err := newScanner(stream, number)
	if err != nil {
		t.Fatal(err)
	}
	copy(r[len(r)-recordChecksum:], s.checksum(r, r[recordHead+len(subject):len(r)-recordChecksum]))
	return r
}

func message(t *testing.T, sequence uint64) []byte {
	return recordOf(t, 1, sequence, fmt.Sprintf("test.%d", sequence), 100)
}
