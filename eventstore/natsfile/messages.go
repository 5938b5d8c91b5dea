package natsfile

import "iter"

// Message is a message in the files of a stream.
type Message struct {
	Sequence uint64
	Subject  string
	// Headers, as the server stores them, and Data are valid until the next
	// message.
	Headers, Data []byte
}

func (r record) message() Message {
	return Message{Sequence: r.sequence, Subject: string(r.subject), Headers: r.headers, Data: r.data}
}

// Messages yields every message of a stream whose record is sound, in the order
// of the files. What cannot be read is passed over, and so is what was erased.
// An error, as the last pair, says that a file could not be read. It changes
// nothing, and must be called while no server uses the directory.
func Messages(dir, stream string) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		all, err := blocks(dir, stream)
		if err != nil {
			yield(Message{}, err)
			return
		}
		var content []byte
		for _, b := range all {
			records, err := newScanner(stream, b.number)
			if err == nil {
				content, err = readInto(content, b.path)
			}
			if err != nil {
				yield(Message{}, err)
				return
			}
			for r := range records.sound(content) {
				if !r.tombstone && !r.erased && !yield(r.message(), nil) {
					return
				}
			}
		}
	}
}
