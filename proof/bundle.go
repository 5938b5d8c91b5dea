package proof

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
)

// maxEntry is the longest entry in bytes that an entry bundle can hold.
const maxEntry = 1<<16 - 1

// ErrBundle says that bytes are no entry bundle of the number of entries that
// they should have.
var ErrBundle = errors.New("proof: not an entry bundle")

// Leaf is one leaf of a log in its place.
type Leaf struct {
	Position uint64 // from 1: its index and one
	// Data is the leaf's exact bytes, good until the next leaf is asked for.
	Data []byte
}

// AppendEntry adds an entry to an entry bundle: its length in two bytes, most
// significant first, and its bytes. ErrBundle: it is too long for one.
func AppendEntry(bundle, entry []byte) ([]byte, error) {
	if len(entry) > maxEntry {
		return bundle, fmt.Errorf("%w: an entry of %d bytes", ErrBundle, len(entry))
	}
	bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(entry))) //nolint:gosec // just checked.
	return append(bundle, entry...), nil
}

// Entries gives the entries of a bundle, which must have exactly so many. What
// it yields are parts of bundle. ErrBundle ends it.
func Entries(bundle []byte, width int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		rest := bundle
		for range width {
			entry, behind, ok := cutEntry(rest)
			if !ok {
				yield(nil, fmt.Errorf("%w: it ends within an entry", ErrBundle))
				return
			}
			if !yield(entry, nil) {
				return
			}
			rest = behind
		}
		if len(rest) > 0 {
			yield(nil, fmt.Errorf("%w: %d bytes too many", ErrBundle, len(rest)))
		}
	}
}

func cutEntry(bundle []byte) (entry, rest []byte, ok bool) {
	if len(bundle) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(bundle))
	if len(bundle) < n {
		return nil, nil, false
	}
	return bundle[2:n], bundle[n:], true
}

// BundleOf makes the entry bundle of an index and a width (1 to 256) from the
// leaves behind a position, as a stream gives them. ErrBundle: a leaf is
// missing or too long.
func BundleOf(index uint64, width int, leaves func(after uint64) iter.Seq2[Leaf, error]) ([]byte, error) {
	var bundle []byte
	next := index*tileWidth + 1
	end := next + uint64(width) //nolint:gosec // 1 to 256.
	for leaf, err := range leaves(next - 1) {
		if err != nil {
			return nil, err
		}
		if leaf.Position != next {
			break
		}
		if bundle, err = AppendEntry(bundle, leaf.Data); err != nil {
			return nil, fmt.Errorf("position %d: %w", next, err)
		}
		if next++; next == end {
			return bundle, nil
		}
	}
	return nil, fmt.Errorf("%w: position %d is missing", ErrBundle, next)
}

// SourceLeaves gives the leaves behind a position of a tree of a size, from
// the entry bundles of a source. A [*Fault] names the first position that is
// not there.
func SourceLeaves(ctx context.Context, log string, s Source, after, size uint64) iter.Seq2[Leaf, error] {
	return func(yield func(Leaf, error) bool) {
		for index := after / tileWidth; index*tileWidth < size; index++ {
			width := widthAt(0, index, size)
			position := index * tileWidth
			for entry, err := range sourceEntries(ctx, s, index, width) {
				position++
				switch {
				case errors.Is(err, ErrBundle), errors.Is(err, fs.ErrNotExist):
					// A broken bundle says nothing of where in it.
					err = &Fault{Log: log, Position: index*tileWidth + 1, Through: index*tileWidth + width, Reason: err.Error()}
					fallthrough
				case err != nil:
					yield(Leaf{}, err)
					return
				case position > after && !yield(Leaf{Position: position, Data: entry}, nil):
					return
				}
			}
		}
	}
}

// sourceEntries gives width entries of a bundle. A full one in place of a
// partial one may have more.
func sourceEntries(ctx context.Context, s Source, index, width uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		path := tilePath(entriesLevel, index, width)
		bundle, err := s.Read(ctx, path)
		has := width
		if width < tileWidth && errors.Is(err, fs.ErrNotExist) {
			var full error
			if bundle, full = s.Read(ctx, tilePath(entriesLevel, index, tileWidth)); !errors.Is(full, fs.ErrNotExist) {
				err, has = full, tileWidth
			}
		}
		if err != nil {
			yield(nil, fmt.Errorf("%s: %w", path, err))
			return
		}
		// All of it is checked before anything of it is used.
		for _, err := range Entries(bundle, int(has)) {
			if err != nil {
				yield(nil, fmt.Errorf("%s: %w", path, err))
				return
			}
		}
		for range width {
			var entry []byte
			if entry, bundle, _ = cutEntry(bundle); !yield(entry, nil) {
				return
			}
		}
	}
}
