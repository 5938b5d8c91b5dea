package projections

import (
	"github.com/chancery-dev/chancery/domain"
)

// foreign passes a proven foreign message. It is no event: no version, no
// history, no time, nothing ages by it. Only the head of its stream moves, for
// the log counts it: an append that did not expect it would conflict for ever.
func (f *fold) foreign(r domain.Recorded) error {
	if r.Version != 0 || !r.ID.IsZero() {
		return integrityf("the message has no event but is not a foreign one")
	}
	switch s := r.Stream.(type) {
	case domain.SecretStream:
		row, err := f.state(s.Ref)
		if err != nil {
			return err
		}
		row.Apply(r)
		return f.put(stateTable(&row.Secret), secretKey(s.Ref), row.encode())
	case domain.DirectoryStream:
		return f.moveHead(tableDirectories, s.Org, r.Position)
	case domain.KeysStream:
		return f.moveHead(tableKeyStreams, s.Org, r.Position)
	}
	return nil // its subject is not one of a stream
}

// moveHead notes the last message of a directory or keys stream.
func (f *fold) moveHead(t table, org domain.OrgID, position uint64) error {
	row, err := decodeStream(f.at(t).Get([]byte(org)))
	if err != nil {
		return err
	}
	row.head = position
	return f.put(t, []byte(org), row.encode())
}
