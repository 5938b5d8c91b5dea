package eventstore

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// What a log answers, to be compared with errors.Is. None of the errors of
// this package holds content of an event.
var (
	// ErrConflict says that nothing was stored: another event came first.
	ErrConflict = errors.New("eventstore: another event came first")
	// ErrUnavailable says that nothing was stored or read: the log cannot be
	// reached or refuses work for now.
	ErrUnavailable = errors.New("eventstore: the log is unavailable")
	// ErrUncertain says that the event may or may not have been stored.
	ErrUncertain = errors.New("eventstore: the outcome is unknown")
	// ErrRefused says that nothing was stored and never will be: the event
	// has no encoding. It is a fault of the caller.
	ErrRefused = errors.New("eventstore: the event cannot be stored")
	// ErrCorrupt says that the log holds something that is no event, or lacks
	// one. See [CorruptError].
	ErrCorrupt = errors.New("eventstore: the log is corrupt")
	// ErrReplaced says that the log is not the one that was read before: its
	// stream was made anew, or its tail was lost and given out again.
	ErrReplaced = errors.New("eventstore: the log was replaced")
	// ErrConfiguration says that a server or stream is not configured as it
	// must be. See [ConfigurationError].
	ErrConfiguration = errors.New("eventstore: wrong configuration")
)

// CorruptError says where the log is corrupt. It is an [ErrCorrupt].
type CorruptError struct {
	// Position of the message, 0 where it has none or is not known.
	Position uint64
	// Digest identifies the raw message (see [Options.Foreign]); zero where
	// it is not known.
	Digest [32]byte
	// Reason says what is wrong, without showing content.
	Reason string
}

// Error implements error.
func (e *CorruptError) Error() string {
	if e.Position == 0 {
		return fmt.Sprintf("%v: %s", ErrCorrupt, e.Reason)
	}
	if e.Digest == [32]byte{} {
		return fmt.Sprintf("%v: position %d: %s", ErrCorrupt, e.Position, e.Reason)
	}
	return fmt.Sprintf("%v: position %d (SHA-256 %s): %s", ErrCorrupt, e.Position, hex.EncodeToString(e.Digest[:]), e.Reason)
}

// Unwrap gives [ErrCorrupt].
func (*CorruptError) Unwrap() error { return ErrCorrupt }

// ConfigurationError names the setting that is not as it must be. It is an
// [ErrConfiguration].
type ConfigurationError struct {
	Stream  string // "" where it is the server's setting
	Setting string // as the NATS API and command line call it
	Want    string
	Got     string
}

// Error implements error.
func (e *ConfigurationError) Error() string {
	where := "the NATS server"
	if e.Stream != "" {
		where = "stream " + e.Stream
	}
	return fmt.Sprintf("%v: %s: %s must be %s but is %s", ErrConfiguration, where, e.Setting, e.Want, e.Got)
}

// Unwrap gives [ErrConfiguration].
func (*ConfigurationError) Unwrap() error { return ErrConfiguration }

func refusedf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
}
