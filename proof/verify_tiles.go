package proof

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
)

// VerifySource verifies a log by its static files alone: the checkpoint's
// signature, every entry bundle up to it and every hash tile. Errors are those
// of [Verify]; a file that is missing is a [*Fault] too.
func VerifySource(ctx context.Context, log string, key LogKey, s Source) (Result, error) {
	note, signed, err := sourceCheckpoint(ctx, log, key, s)
	if err != nil {
		return Result{}, err
	}
	stored := &Tree{Tiles: sourceTiles{ctx: ctx, source: s, size: signed.Size}, Size: signed.Size}
	return Verify(ctx, Inputs{
		Log: log, Key: key, Leaves: SourceLeaves(ctx, log, s, 0, signed.Size), Checkpoints: One(note),
		Stored: []StoredTree{{Name: "the tiles", Tree: stored}},
	})
}

// One yields a single note.
func One(note []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) { yield(note, nil) }
}

func sourceCheckpoint(ctx context.Context, log string, key LogKey, s Source) ([]byte, SignedCheckpoint, error) {
	note, err := s.Read(ctx, CheckpointPath)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s log: %w: %w", log, ErrUnsigned, err)
		}
		return nil, SignedCheckpoint{}, err
	}
	signed, err := key.Open(note)
	if err != nil {
		return nil, SignedCheckpoint{}, &Fault{Log: log, Reason: err.Error(), cause: err}
	}
	return note, signed, nil
}

// SourceKey reads the key that lies beside a log's files. It comes from the
// same hands as the files: what it proves is that they agree with each other.
// Errors: fs.ErrNotExist, ErrKey.
func SourceKey(ctx context.Context, s Source) (LogKey, error) {
	text, err := s.Read(ctx, KeyPath)
	if err != nil {
		return LogKey{}, err
	}
	vkey, ok := cutLine(text)
	if !ok {
		return LogKey{}, ErrKey
	}
	return ParseLogKey(vkey)
}

// cutLine gives the text of a file that is one line.
func cutLine(text []byte) (string, bool) {
	n := len(text)
	if n == 0 || text[n-1] != '\n' {
		return "", false
	}
	return string(text[:n-1]), true
}
