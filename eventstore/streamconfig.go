package eventstore

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
)

// The streams.
const (
	// EventsStream holds every event, for ever.
	EventsStream = "CHANCERY_EVENTS"
	// AccessStream holds every access record, for as long as the operator
	// wants.
	AccessStream = "CHANCERY_ACCESS"
	// ProofStream holds what proves the two above: the wrapped signing key,
	// checkpoints and frontiers, for ever.
	ProofStream = "CHANCERY_PROOF"
	// KeysStream holds the wrapped keys of an external server, until they are
	// erased.
	KeysStream = "CHANCERY_KEYS"

	allEvents     = domain.SubjectPrefix + ">"
	accessSubject = "chancery.access"
	proofPrefix   = "chancery.proof."
	allProofs     = proofPrefix + ">"
	keyPrefix     = "chancery.keys."
	allKeys       = keyPrefix + ">"
)

// eventsConfig is how the events' stream is made: file storage, no limit by
// which an event could ever go, no deletion, no change of what is stored.
func eventsConfig(replicas int) jetstream.StreamConfig {
	c := StreamConfig(EventsStream, allEvents, replicas)
	c.DenyDelete, c.DenyPurge = true, true
	c.AllowDirect, c.AllowAtomicPublish = true, true
	return c
}

// accessConfig is how the access log's stream is made: nothing goes but by age
// (0: never), no deletion.
func accessConfig(replicas int, maxAge time.Duration) jetstream.StreamConfig {
	c := StreamConfig(AccessStream, accessSubject, replicas)
	c.DenyDelete, c.DenyPurge, c.AllowDirect = true, true, true
	c.MaxAge = maxAge
	return c
}

// proofConfig is how the proofs' stream is made: no limits, no deletion.
func proofConfig(replicas int) jetstream.StreamConfig {
	c := StreamConfig(ProofStream, allProofs, replicas)
	c.DenyDelete, c.DenyPurge = true, true
	return c
}

// keysConfig is how the keys' stream is made: single messages can be erased.
// There are no atomic batches, whose staging files would keep a copy.
func keysConfig(replicas int) jetstream.StreamConfig {
	return StreamConfig(KeysStream, allKeys, replicas)
}

// duplicateWindow is the shortest that the server takes. No message of ours has
// a Nats-Msg-Id, yet a server that starts reads every message that was stored
// within the window.
const duplicateWindow = 100 * time.Millisecond

// StreamConfig is what every stream of Chancery has in common: files, no
// limits, no loss by retention. A stream adds what it differs in.
func StreamConfig(name, subjects string, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Subjects: []string{subjects}, Replicas: replicas,
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage,
		MaxConsumers: -1, MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
		Duplicates: duplicateWindow,
	}
}

// VerifyStream compares what must not differ between a stream's configuration
// and the wanted one; ErrConfiguration names the first setting. Free are replicas, placement,
// description, metadata, the window for duplicates and, on the events,
// compression (bytes of erased keys must be where they were written, so not
// there).
func VerifyStream(want, got jetstream.StreamConfig) error {
	v := verifier{stream: want.Name}
	v.check("subjects", strings.Join(want.Subjects, " "), strings.Join(got.Subjects, " "))
	v.check("storage", want.Storage, got.Storage)
	v.check("retention", want.Retention, got.Retention)
	v.limit("max_consumers", int64(got.MaxConsumers))
	v.limit("max_msgs", got.MaxMsgs)
	v.limit("max_bytes", got.MaxBytes)
	v.limit("max_msgs_per_subject", got.MaxMsgsPerSubject)
	v.limit("max_msg_size", int64(got.MaxMsgSize))
	v.check("max_age", want.MaxAge, got.MaxAge)
	v.check("deny_delete", want.DenyDelete, got.DenyDelete)
	v.check("deny_purge", want.DenyPurge, got.DenyPurge)
	v.check("allow_direct", want.AllowDirect, got.AllowDirect)
	v.check("allow_atomic", want.AllowAtomicPublish, got.AllowAtomicPublish)
	v.check("allow_batched", false, got.AllowBatchPublish)
	v.check("allow_rollup_hdrs", false, got.AllowRollup)
	v.check("allow_msg_ttl", false, got.AllowMsgTTL)
	v.check("allow_msg_counter", false, got.AllowMsgCounter)
	v.check("allow_msg_schedules", false, got.AllowMsgSchedules)
	v.check("subject_delete_marker_ttl", time.Duration(0), got.SubjectDeleteMarkerTTL)
	v.check("no_ack", false, got.NoAck)
	v.check("sealed", false, got.Sealed)
	v.check("persist_mode", jetstream.DefaultPersistMode, got.PersistMode)
	v.check("first_seq", max(1, want.FirstSeq), max(1, got.FirstSeq))
	v.check("mirror", false, got.Mirror != nil)
	v.check("sources", 0, len(got.Sources))
	v.check("republish", false, got.RePublish != nil)
	v.check("subject_transform", false, got.SubjectTransform != nil)
	if want.Name == KeysStream {
		v.check("compression", jetstream.NoCompression, got.Compression)
	}
	return v.err
}

// verifyComplete checks that no message is gone: the first position is 1 and
// every later one is there. Errors: ErrCorrupt.
func verifyComplete(stream string, s jetstream.StreamState) error {
	if s.LastSeq > 0 && s.FirstSeq > 1 {
		return missing(1, "stream %s begins at position %d", stream, s.FirstSeq)
	}
	return verifyDense(stream, s)
}

// verifyDense checks that no message is gone but the oldest ones. Errors:
// ErrCorrupt.
func verifyDense(stream string, s jetstream.StreamState) error {
	switch {
	case s.Lost != nil:
		return missing(0, "the server could not read %d bytes of stream %s", s.Lost.Bytes, stream)
	case s.LastSeq > 0 && s.Msgs != s.LastSeq+1-s.FirstSeq:
		return missing(0, "stream %s has %d messages from position %d through %d", stream, s.Msgs, s.FirstSeq, s.LastSeq)
	}
	return nil
}

func missing(position uint64, format string, args ...any) error {
	return &CorruptError{Position: position, Reason: fmt.Sprintf("messages are missing: "+format+"; restore the log from a backup", args...)}
}

// verifier keeps the first difference.
type verifier struct {
	stream string
	err    error
}

func (v *verifier) check(setting string, want, got any) {
	if v.err == nil && want != got {
		v.err = &ConfigurationError{Stream: v.stream, Setting: setting, Want: fmt.Sprint(want), Got: fmt.Sprint(got)}
	}
}

// limit accepts both ways of saying that there is none.
func (v *verifier) limit(setting string, got int64) {
	if got > 0 {
		v.check(setting, "-1 (none)", fmt.Sprint(got))
	}
}
