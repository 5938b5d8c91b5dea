package eventstore

import (
	"iter"
	"strings"

	"github.com/chancery-dev/chancery/eventstore/natsfile"
)

// StoredCheckpoints yields every checkpoint of a log that can be read in the
// files of an embedded server under dir, which does not run, in no order.
// Errors: the files', as the last pair, and ErrRefused.
func StoredCheckpoints(dir, log string) iter.Seq2[[]byte, error] {
	subject, err := checkpointSubject(log)
	if err != nil {
		return func(yield func([]byte, error) bool) { yield(nil, err) }
	}
	return storedUnder(dir, ProofStream, subject)
}

// StoredProofs returns a position of the proofs' stream that was durable, 0 for
// none: an entry is appended once the entry before it of its kind is durable.
// Errors: the files'.
func StoredProofs(dir string) (durable uint64, err error) {
	newest := map[string]uint64{}
	for m, err := range natsfile.Messages(dir, ProofStream) {
		if err != nil {
			return 0, err
		}
		durable = max(durable, newest[m.Subject])
		newest[m.Subject] = m.Sequence
	}
	return durable, nil
}

// storedUnder yields the content of the messages whose subject begins so.
func storedUnder(dir, stream, prefix string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for m, err := range natsfile.Messages(dir, stream) {
			if (err != nil || strings.HasPrefix(m.Subject, prefix)) && !yield(m.Data, err) {
				return
			}
		}
	}
}
