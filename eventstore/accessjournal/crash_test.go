package accessjournal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/eventstore"
)

// testSegment makes segments change often.
const testSegment = 12 * sector

// told is a record and what its caller was told.
type told struct {
	text string
	sure bool // it is stored
}

// world is a journal whose process and machine crash.
type world struct {
	*testing.T
	rand     *rand.Rand
	disk     *disk
	log      *memoryLog
	journal  *Journal
	expected []told
	records  int
}

// TestCrash walks random histories of appends, forwarded messages, lost
// acknowledgements, failed syncs, kills, power losses at every step of the disk
// and orderly stops. After each start, the access log has every record that was
// acknowledged once and in order, and of the others each at most once (invariants
// 1, 2 and 4).
func TestCrash(t *testing.T) {
	t.Parallel()
	for seed := range uint64(400) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			w := &world{T: t, rand: r, disk: newDisk(r), log: &memoryLog{}}
			w.log.fault = func() (bool, error) {
				if r.IntN(6) == 0 {
					return r.IntN(2) == 0, eventstore.ErrUncertain
				}
				return true, nil
			}
			w.start()
			for range 120 {
				w.step()
			}
			w.restart()
		})
	}
}

func (w *world) step() {
	switch n := w.rand.IntN(40); {
	case n < 22:
		w.append()
	case n < 34:
		if len(w.journal.waiting) == 0 {
			return
		}
		if err := w.journal.forward(context.Background()); err != nil && !errors.Is(err, eventstore.ErrUncertain) {
			w.Fatal(err)
		}
	case n < 36: // the power goes soon
		w.disk.goes = w.rand.IntN(8)
	case n < 37:
		w.disk.broken = true
	case n < 38: // a kill
		w.restart()
	case n < 39:
		w.stop()
	default: // full: nothing is forwarded for long
		for range 30 {
			w.append()
		}
	}
}

func (w *world) append() {
	w.records++
	text := fmt.Sprint(w.records)
	for n := w.rand.IntN(3 * sector); len(text) < n; {
		text += fmt.Sprintf(" %x", w.rand.Uint64()) // no two sectors are alike
	}
	text += "\n"
	_, err := w.journal.Append(context.Background(), []byte(text), nil)
	switch {
	case err == nil, errors.Is(err, eventstore.ErrUncertain):
		w.expected = append(w.expected, told{text, err == nil})
	case !errors.Is(err, eventstore.ErrUnavailable):
		w.Fatal(err)
	}
	if w.disk.gone {
		w.restart()
	}
}

// stop is an orderly stop, as far as it comes, and a writer besides, as an offline
// command is.
func (w *world) stop() {
	for len(w.journal.waiting) > 0 {
		_ = w.journal.forward(context.Background()) // it tries again
	}
	err := w.journal.Close()
	if err == nil && w.journal.failed == nil {
		text := []byte("besides\n")
		status, _ := w.log.Status(w.Context())
		for w.log.AppendAfter(w.Context(), status.Head, text, nil) != nil {
		}
		w.expected = append(w.expected, told{string(text), true})
	}
	w.restart()
}

// restart begins anew and looks into the access log.
func (w *world) restart() {
	w.disk.restart()
	if w.rand.IntN(4) == 0 {
		w.disk.goes = w.rand.IntN(6) // in the middle of the start, or soon after
	}
	w.start()
	rest := w.log.text()
	kept := w.expected[:0]
	for _, e := range w.expected {
		after, there := strings.CutPrefix(rest, e.text)
		if !there && e.sure {
			w.Fatalf("%.20q is not where it must be: %.40q", e.text, rest)
		}
		if there {
			rest = after
			kept = append(kept, told{e.text, true})
		}
	}
	w.expected = kept
	if rest != "" {
		w.Fatalf("the log has %.40q behind everything that was appended", rest)
	}
}

func (w *world) start() {
	for {
		j, err := open(context.Background(), w.disk, testSegment, w.log, Options{})
		if err == nil {
			j.full = 0
			w.journal = j
			return
		}
		if !w.disk.gone && !errors.Is(err, eventstore.ErrUncertain) {
			w.Fatal(err)
		}
		w.disk.restart()
	}
}

// TestDamage: bytes that change in an entry that waits are found by the next
// start, unless the entry is the newest one; and the log's messages must be the
// journal's (invariant 3).
func TestDamage(t *testing.T) {
	t.Parallel()
	made := func(t *testing.T, forward int) (*disk, *memoryLog) {
		d, l := newDisk(rand.New(rand.NewPCG(1, 1))), &memoryLog{}
		j, err := open(t.Context(), d, testSegment, l, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if _, err := j.Append(t.Context(), fmt.Appendf(nil, "%d\n", i), nil); err != nil {
				t.Fatal(err)
			}
			if i < forward {
				if err := j.forward(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		return d, l
	}
	for name, tt := range map[string]struct {
		forward int
		change  func(d *disk, l *memoryLog)
		refused string
		want    string // in the log after the start
	}{
		"nothing":                 {2, func(*disk, *memoryLog) {}, "", "0\n1\n2\n3\n4\n"},
		"an entry that waits":     {2, func(d *disk, _ *memoryLog) { d.cache[3*sector+headerSize] ^= 1 }, "entry 4 is damaged", ""},
		"an entry long forwarded": {5, func(d *disk, _ *memoryLog) { d.cache[headerSize] ^= 1 }, "", "0\n1\n2\n3\n4\n"},
		"the newest entry":        {2, func(d *disk, _ *memoryLog) { d.cache[4*sector+4] ^= 1 }, "", "0\n1\n2\n3\n"},
		"a length":                {2, func(d *disk, _ *memoryLog) { d.cache[3*sector+8] = 255 }, "entry 4 is damaged", ""},
		"a shorter file":          {2, func(d *disk, _ *memoryLog) { d.cache = d.cache[:sector] }, "512 bytes", ""},
		"another message":         {5, func(_ *disk, l *memoryLog) { l.messages[4].Raw = []byte("x\n") }, "not those of the journal", ""},
		"a message in front":      {5, func(_ *disk, l *memoryLog) { l.messages[4].Raw = []byte("x\n4\n") }, "not those of the journal", ""},
		"one more message": {5, func(_ *disk, l *memoryLog) {
			l.messages = append(l.messages, l.messages[4])
		}, "not those of the journal", ""},
		"a log that lost its end": {5, func(_ *disk, l *memoryLog) { l.messages = l.messages[:3] }, "position 3, before position 4", ""},
		"expired, some of it": {2, func(_ *disk, l *memoryLog) {
			l.messages = append(l.messages, l.messages[1], l.messages[0])
			l.messages[2].Raw, l.messages[2].Position = []byte("2\n"), 3
			l.messages[3].Raw, l.messages[3].Position = []byte("3\n"), 4
			l.expired = 3
		}, "", "0\n1\n2\n3\n4\n"},
		"expired, all of it": {2, func(_ *disk, l *memoryLog) { l.expired = 2 }, "", "0\n1\n2\n3\n4\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, l := made(t, tt.forward)
			tt.change(d, l)
			before := bytes.Clone(d.cache)
			j, err := open(t.Context(), d, testSegment, l, Options{})
			if tt.refused != "" {
				if !errors.Is(err, errRefused) || !strings.Contains(err.Error(), tt.refused) || !bytes.Equal(before, d.cache) {
					t.Fatalf("not refused, or changed: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := l.text(); got != tt.want {
				t.Errorf("the log has %q", got)
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
