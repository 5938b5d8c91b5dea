package accesslog

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math"

	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/proof"
)

// checker goes once through the messages.
type checker struct {
	c        Config
	tx       *bbolt.Tx
	mark     mark
	found    *CheckError
	logFirst uint64
	runs     []header // to come
	tail     *tail    // made again since the last run
}

// readRuns lists the runs and looks for buckets without a header.
func (k *checker) readRuns() error {
	buckets := k.tx.Bucket([]byte(tableRuns))
	headers := k.tx.Bucket([]byte(tableHeaders))
	after := k.mark.first - 1
	err := headers.ForEach(func(key, row []byte) error {
		h, err := decodeHeader(key, row)
		if err != nil {
			return err
		}
		if buckets.Bucket(key) == nil {
			k.found.add("run from position %d: it has no rows", h.first)
			return nil
		}
		if h.last < k.mark.first { // half released: it goes with the next step
			after = h.last
			return nil
		}
		if len(k.runs) == 0 {
			after = h.first - 1
		}
		k.runs = append(k.runs, h)
		return nil
	})
	if err != nil {
		return err
	}
	k.tail = newTail(after)
	return buckets.ForEach(func(key, _ []byte) error {
		if headers.Get(key) == nil {
			k.found.add("run %x is unknown", key)
		}
		return nil
	})
}

// messages compares them with the log and the tree, and the runs with them.
func (k *checker) messages(ctx context.Context, log Source) error {
	next, stop := iter.Pull2(log.Read(ctx, k.mark.first-1))
	defer stop()
	var there domain.AccessMessage
	c := k.tx.Bucket([]byte(tableMessages)).Cursor()
	key, raw := c.First()
	for p := k.mark.first; p <= k.mark.position; p++ {
		for there.Position < p {
			m, err, ok := next()
			if err != nil {
				return err
			}
			if there = m; !ok {
				there.Position = math.MaxUint64
			}
		}
		for key != nil && bytes.Compare(key, positionKey(p)) < 0 {
			k.found.add("message %x is too much", key)
			key, raw = c.Next()
		}
		if !bytes.Equal(key, positionKey(p)) {
			k.found.add("message at position %d is missing", p)
			continue
		}
		if there.Position > p && p >= k.logFirst { // perhaps let go since
			status, err := log.Status(ctx)
			if err != nil {
				return err
			}
			if k.logFirst = status.First; p >= k.logFirst {
				k.found.add("message at position %d: the log does not have it", p)
				return nil
			}
		}
		if there.Position == p && !bytes.Equal(raw, there.Raw) {
			k.found.add("message at position %d is altered", p)
		}
		if err := k.message(p, raw); err != nil {
			return err
		}
		key, raw = c.Next()
	}
	for ; key != nil; key, _ = c.Next() {
		k.found.add("message %x is too much", key)
	}
	for _, h := range k.runs {
		if h.last >= k.mark.first || h.first > k.mark.position {
			k.found.add("run from position %d: it is of messages that are not there", h.first)
		}
	}
	return nil
}

// message compares one message with its leaf, and the run that it ends.
func (k *checker) message(p uint64, raw []byte) error {
	leaf := proof.LeafHash(raw)
	if p > k.mark.edge {
		row, err := tilesOf(k.tx).Tile(0, (p-1)/tileWidth)
		if err != nil {
			return err
		}
		at := (p - 1) % tileWidth * tlog.HashSize
		if uint64(len(row)) < at+tlog.HashSize || !bytes.Equal(row[at:at+tlog.HashSize], leaf[:]) {
			k.found.add("tree: the leaf of position %d is not that of its message", p)
		}
	}
	if p == k.mark.position && leaf != k.mark.leaf {
		k.found.add("checkpoint: it is not of the message at position %d", p)
	}
	records, err := k.c.Decode(raw)
	if err != nil {
		k.found.add("message at position %d: %v", p, err)
		return nil
	}
	for len(k.runs) > 0 && k.runs[0].last < p {
		k.found.add("run from position %d: it is of messages that are not there", k.runs[0].first)
		k.runs = k.runs[1:]
	}
	k.tail.add(p, records)
	due := k.tail.records >= k.c.RunRecords
	if len(k.runs) == 0 || k.runs[0].last != p {
		if due {
			k.found.add("run from position %d: it does not end with position %d", k.tail.after+1, p)
			k.tail = newTail(p)
		}
		return nil
	}
	h := k.runs[0]
	want := header{first: k.tail.after + 1, last: p, records: k.tail.records, min: k.tail.min, max: k.tail.max}
	if whole := h.first >= k.mark.first; whole && (h != want || !due) {
		k.found.add("run from position %d: its header is altered", h.first)
	}
	rows := storedRows(k.tx.Bucket([]byte(tableRuns)).Bucket(positionKey(h.first)), k.mark.first, k.found)
	err = compareRows(fmt.Sprintf("run from position %d", h.first), rows, k.tail.rows(k.mark.first), k.found)
	k.runs, k.tail = k.runs[1:], newTail(p)
	return err
}
