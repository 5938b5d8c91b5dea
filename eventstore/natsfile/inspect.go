package natsfile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Finding is where the blocks of a stream cannot be read further.
type Finding struct {
	Stream string
	// Block and Offset, in bytes, are where the last sound record ends.
	Block  uint32
	Offset int64
	// Position is the first one that is not there: every position before it is
	// sound.
	Position uint64
	// Torn reports that a crash can have left this. Only positions are gone for
	// which no fsync had ended, so nobody was told that they are stored.
	Torn bool
	// AtEnd reports that only bytes that are no record are left, at the end of
	// the newest block. [Open] cuts them off where Torn is set too.
	AtEnd bool
	// Reason says what is wrong, without showing content.
	Reason string
	// Damage says why no crash explains it, "" where Torn is set.
	Damage string
	// Known is the newest position of the stream that is known to have been
	// durable.
	Known Known
	// Behind is how many bytes lie behind the last sound record, in this block
	// and in younger ones. Through is the highest position of the sound records
	// among them, 0 for none.
	Behind  int64
	Through uint64
}

// Error implements error.
func (f *Finding) Error() string {
	what := "damage: " + f.Damage
	switch {
	case f.Torn && f.AtEnd:
		what = "a crash cut it off while it was written, and nobody was told that it is stored"
	case f.Torn:
		what = "a crash of the machine kept it from the disk, and nobody was told that it, or what follows it, is stored"
	}
	return fmt.Sprintf("stream %s, block %d, byte %d: position %d cannot be read (%s): %s", f.Stream, f.Block, f.Offset, f.Position, f.Reason, what)
}

// Findings are an error of one finding or more.
type Findings []*Finding

// Error implements error.
func (fs Findings) Error() string { return errors.Join(fs.Unwrap()...).Error() }

// Unwrap returns the findings.
func (fs Findings) Unwrap() []error {
	all := make([]error, len(fs))
	for n, f := range fs {
		all[n] = f
	}
	return all
}

// Inspection is what [Inspect] found.
type Inspection struct {
	// Ended is how the last run of the server ended.
	Ended End
	// Last are the newest sound positions, by stream; 0 for none.
	Last map[string]uint64
	// Known are the newest positions, by stream, that were durable; 0 where
	// nothing is known.
	Known map[string]Known
	// Findings are at most one a stream.
	Findings Findings
}

// Inspect reads every block of the streams and checks every record. It changes
// nothing, and must be called while no server uses the directory, and before
// one does: the server cuts a block off at the first thing that it can't read,
// and on some bytes it never ends.
func Inspect(dir string, streams map[string]Rules) (Inspection, error) {
	return inspect(dir, streams, true)
}

// inspect reads only each stream's newest two blocks where not whole.
func inspect(dir string, streams map[string]Rules, whole bool) (Inspection, error) {
	last, running, err := readMark(dir)
	if err != nil {
		return Inspection{}, err
	}
	in := Inspection{Ended: endOf(last, running), Last: map[string]uint64{}, Known: map[string]Known{}}
	for _, stream := range slices.Sorted(maps.Keys(streams)) {
		rules := streams[stream]
		i := inspector{dir: dir, stream: stream, ended: in.Ended, whole: whole, chain: chain{rules: rules}}
		i.known = Known{last.durable[stream], "the file " + runningFile}
		if believed, faulted := last.faulted[stream]; faulted {
			i.known.Position, i.faulted = max(i.known.Position, believed), true
		}
		if whole && in.Ended != EndedInOrder && rules.Known != nil {
			known, err := rules.Known()
			if err != nil {
				return Inspection{}, err
			}
			if known.Position > i.known.Position {
				i.known = known
			}
		}
		finding, err := i.run()
		if err != nil {
			return Inspection{}, err
		}
		in.Last[stream], in.Known[stream] = i.chain.last, i.known
		if finding != nil {
			finding.Known = i.known
			in.Findings = append(in.Findings, finding)
		}
	}
	return in, nil
}
