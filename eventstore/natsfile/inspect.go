package natsfile

import (
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
}

// Error implements error.
func (f *Finding) Error() string {
	what := "it is damaged, which no crash explains: restore the log from a backup"
	switch {
	case f.Torn && f.AtEnd:
		what = "a crash cut it off while it was written, and nobody was told that it is stored: the next start cuts it off"
	case f.Torn:
		what = "a crash of the machine kept it and what follows it from the disk, and nobody was told that they are stored: chancery repair cuts them off"
	}
	return fmt.Sprintf("stream %s, block %d, byte %d: position %d cannot be read (%s): %s", f.Stream, f.Block, f.Offset, f.Position, f.Reason, what)
}

// Inspection is what [Inspect] found.
type Inspection struct {
	// Ended is how the last run of the server ended.
	Ended End
	// Last are the newest sound positions, by stream; 0 for none.
	Last map[string]uint64
	// Findings are at most one a stream.
	Findings []*Finding
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
	in := Inspection{Ended: endOf(last, running), Last: map[string]uint64{}}
	for _, stream := range slices.Sorted(maps.Keys(streams)) {
		believed, faulted := last.faulted[stream]
		i := inspector{
			dir: dir, stream: stream, ended: in.Ended, durable: max(last.durable[stream], believed), faulted: faulted,
			chain: chain{rules: streams[stream]},
		}
		finding, err := i.run(whole)
		if err != nil {
			return Inspection{}, err
		}
		in.Last[stream] = i.chain.last
		if finding != nil {
			in.Findings = append(in.Findings, finding)
		}
	}
	return in, nil
}
