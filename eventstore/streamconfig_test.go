package eventstore

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestOpenRefuses: what is not configured as it must be is named.
func TestOpenRefuses(t *testing.T) {
	t.Run("an existing stream", func(t *testing.T) {
		_, nc := startEmbedded(t, t.TempDir())
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		config := eventsConfig(1)
		config.MaxMsgs = 10
		if _, err := js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		_, err = OpenJetStream(t.Context(), nc, Options{})
		checkSetting(t, err, EventsStream, "max_msgs")
	})
	t.Run("a stream that was changed later", func(t *testing.T) {
		_, nc := startEmbedded(t, t.TempDir())
		l := openLog(t, nc)
		config := eventsConfig(1)
		config.MaxAge = time.Hour
		if _, err := l.js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		checkSetting(t, l.Verify(t.Context()), EventsStream, "max_age")
	})
	t.Run("a small max_payload", func(t *testing.T) {
		x := startExternal(t, server.Options{MaxPayload: minPayload - 1})
		_, err := OpenJetStream(t.Context(), x.connect(), Options{})
		checkSetting(t, err, "", "max_payload")
	})
	t.Run("a connection that sends later", func(t *testing.T) {
		x := startExternal(t, server.Options{})
		nc, err := nats.Connect(x.server.ClientURL())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		_, err = OpenJetStream(t.Context(), nc, Options{})
		checkSetting(t, err, "", "reconnect buffer of the connection")
	})
}

func checkSetting(t *testing.T, err error, stream, setting string) {
	t.Helper()
	c := &ConfigurationError{}
	if !errors.Is(err, ErrConfiguration) || !errors.As(err, &c) || c.Stream != stream || c.Setting != setting ||
		!strings.Contains(err.Error(), setting) {
		t.Errorf("got %v", err)
	}
}

// TestVerifyStream: each setting that matters is compared.
func TestVerifyStream(t *testing.T) {
	changes := map[string]func(*jetstream.StreamConfig){
		"subjects":                  func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "more") },
		"storage":                   func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"retention":                 func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy },
		"max_consumers":             func(c *jetstream.StreamConfig) { c.MaxConsumers = 1 },
		"max_msgs":                  func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 },
		"max_bytes":                 func(c *jetstream.StreamConfig) { c.MaxBytes = 1 },
		"max_msgs_per_subject":      func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		"max_msg_size":              func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1 },
		"max_age":                   func(c *jetstream.StreamConfig) { c.MaxAge = 1 },
		"deny_delete":               func(c *jetstream.StreamConfig) { c.DenyDelete = !c.DenyDelete },
		"deny_purge":                func(c *jetstream.StreamConfig) { c.DenyPurge = !c.DenyPurge },
		"allow_direct":              func(c *jetstream.StreamConfig) { c.AllowDirect = !c.AllowDirect },
		"allow_atomic":              func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = !c.AllowAtomicPublish },
		"allow_batched":             func(c *jetstream.StreamConfig) { c.AllowBatchPublish = true },
		"allow_rollup_hdrs":         func(c *jetstream.StreamConfig) { c.AllowRollup = true },
		"allow_msg_ttl":             func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
		"allow_msg_counter":         func(c *jetstream.StreamConfig) { c.AllowMsgCounter = true },
		"allow_msg_schedules":       func(c *jetstream.StreamConfig) { c.AllowMsgSchedules = true },
		"subject_delete_marker_ttl": func(c *jetstream.StreamConfig) { c.SubjectDeleteMarkerTTL = 1 },
		"no_ack":                    func(c *jetstream.StreamConfig) { c.NoAck = true },
		"sealed":                    func(c *jetstream.StreamConfig) { c.Sealed = true },
		"persist_mode":              func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode },
		"first_seq":                 func(c *jetstream.StreamConfig) { c.FirstSeq = 2 },
		"mirror":                    func(c *jetstream.StreamConfig) { c.Mirror = &jetstream.StreamSource{} },
		"sources":                   func(c *jetstream.StreamConfig) { c.Sources = []*jetstream.StreamSource{{}} },
		"republish":                 func(c *jetstream.StreamConfig) { c.RePublish = &jetstream.RePublish{} },
		"subject_transform":         func(c *jetstream.StreamConfig) { c.SubjectTransform = &jetstream.SubjectTransformConfig{} },
	}
	for _, want := range []jetstream.StreamConfig{
		eventsConfig(1), keysConfig(1), accessConfig(1, 0), accessConfig(1, time.Hour), proofConfig(1),
	} {
		if err := VerifyStream(want, want); err != nil {
			t.Error(err)
		}
		for setting, change := range changes {
			got := want
			got.Subjects = slices.Clone(want.Subjects)
			change(&got)
			checkSetting(t, VerifyStream(want, got), want.Name, setting)
		}
	}
	compressed := keysConfig(1)
	compressed.Compression = jetstream.S2Compression
	checkSetting(t, VerifyStream(keysConfig(1), compressed), KeysStream, "compression")
	free := eventsConfig(3)
	free.Compression, free.Description, free.Metadata = jetstream.S2Compression, "ours", map[string]string{"a": "b"}
	if err := VerifyStream(eventsConfig(1), free); err != nil {
		t.Errorf("a free setting: %v", err)
	}
}
