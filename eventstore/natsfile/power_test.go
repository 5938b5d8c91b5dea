package natsfile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// powerTest appends while the power fails at many moments, and looks each time
// at what is left.
type powerTest struct {
	*node
	disk   *disk
	rng    *rand.Rand
	maxAge time.Duration
	chance int // one moment in so many is looked at
	// durable is the highest position of which somebody was told.
	durable atomic.Uint64
	mu      sync.Mutex
	crashes atomic.Int64
	torn    int // findings that had to be cut off
}

func newPowerTest(t *testing.T, maxAge time.Duration, chance int) *powerTest {
	t.Helper()
	p := &powerTest{rng: rng(t), maxAge: maxAge, chance: chance}
	dir := t.TempDir()
	p.disk = newDisk(t, dir)
	p.node = start(t, dir, maxAge, Options{Sync: p.disk.sync})
	p.disk.syncing = p.moment
	return p
}

func rng(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// moment is where the power may fail. While one power loss is looked at, others
// hold nobody up.
func (p *powerTest) moment() {
	if !p.mu.TryLock() {
		return
	}
	defer p.mu.Unlock()
	if p.rng.IntN(p.chance) != 0 {
		return
	}
	durable := p.durable.Load() // before: more may become durable meanwhile
	root, err := os.MkdirTemp("", "natsfile")
	if err != nil {
		p.t.Error(err)
		return
	}
	defer os.RemoveAll(root)
	p.disk.crash(p.rng, root)
	p.crashes.Add(1)
	if err := p.look(root, durable); err != nil {
		p.t.Errorf("after a power loss with position %d durable: %v", durable, err)
	}
}

// end waits for the moment that is looked at. There is none after it.
func (p *powerTest) end() { p.mu.Lock() }

// look starts what a power loss left, and appends to it.
func (p *powerTest) look(root string, durable uint64) error {
	anotherBoot(p.t, root)
	store, err := Open(root, Options{Streams: rules(p.maxAge > 0)})
	if f, ok := errors.AsType[*Finding](err); ok {
		if !f.Torn || f.Position <= durable {
			return err
		}
		p.torn++
		if err := Cut(root, f, filepath.Join(root, "cut")); err != nil {
			return err
		}
		store, err = Open(root, Options{Streams: rules(p.maxAge > 0)})
	}
	if err != nil {
		return err
	}
	if store.Ended() != EndedWithMachine {
		return fmt.Errorf("the last run ended as %d", store.Ended())
	}
	n := &node{t: p.t, dir: root, store: store}
	n.startServer()
	defer func() { _ = n.close() }()
	state := n.state()
	switch {
	case state.LastSeq < durable:
		return fmt.Errorf("the log ends at %d", state.LastSeq)
	case p.maxAge == 0 && state.FirstSeq > 1, state.Msgs > 0 && state.Msgs != state.LastSeq+1-state.FirstSeq:
		return fmt.Errorf("messages are missing: %+v", state)
	}
	if n.stream, err = store.Stream(p.t.Context(), stream, state.LastSeq, p.maxAge); err != nil {
		return err
	}
	sequence, err := n.tryPublish(10)
	if err != nil {
		return err
	}
	if sequence != state.LastSeq+1 {
		return fmt.Errorf("position %d was given out after %d", sequence, state.LastSeq)
	}
	return n.stream.Wait(p.t.Context(), sequence)
}

// anotherBoot makes a directory look as if it was left by another run of the
// machine.
func anotherBoot(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, runningFile)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), "\n")
	if err := os.WriteFile(path, []byte("another boot\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPowerLoss holds invariants 1, 4 and 5: whatever subset of the unsynced
// writes a power loss keeps, at whatever moment, every position that somebody
// was told of is there afterwards, and the log goes on behind it.
func TestPowerLoss(t *testing.T) {
	for _, tc := range []struct {
		name            string
		callers, each   int // each appends at least so often, and until there were the crashes
		group, size     int // messages that are published before one wait, and their length
		chance, crashes int
	}{
		{"one small message at a time", 1, 60, 1, 100, 3, 30},
		{"many callers", 8, 30, 1, 3000, 4, 10},
		{"new blocks", 2, 6, 3, 2 << 20, 4, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPowerTest(t, 0, tc.chance)
			var callers sync.WaitGroup
			for range tc.callers {
				callers.Go(func() {
					for n := 0; n < tc.each || p.crashes.Load() < int64(tc.crashes); n++ {
						var sequence uint64
						var err error
						for range tc.group {
							if sequence, err = p.tryPublish(tc.size); err != nil {
								t.Error(err)
								return
							}
							p.moment()
						}
						if err = p.stream.Wait(t.Context(), sequence); err != nil {
							t.Error(err)
							return
						}
						p.tell(sequence)
						p.moment()
					}
				})
			}
			callers.Wait()
			p.end()
			t.Logf("%d power losses, %d torn ends cut off", p.crashes.Load(), p.torn)
			if all, err := blocks(p.dir, stream); err != nil || tc.size > 1<<20 && len(all) < 5 {
				t.Errorf("%d blocks, %v", len(all), err)
			}
		})
	}
}

func (p *powerTest) tell(position uint64) {
	for {
		told := p.durable.Load()
		if told >= position || p.durable.CompareAndSwap(told, position) {
			return
		}
	}
}

// TestPowerLossWithExpiry holds invariant 4 where old blocks go: what has not
// expired is there, without a hole, and no position is given out twice.
func TestPowerLossWithExpiry(t *testing.T) {
	p := newPowerTest(t, time.Second, 5)
	for i := range 40 {
		size := 100
		if i%3 == 0 {
			size = 3 << 20 // two of a block
		}
		sequence := p.publish(size)
		p.moment()
		if err := p.stream.Wait(t.Context(), sequence); err != nil {
			t.Fatal(err)
		}
		p.tell(sequence)
		p.moment()
		if i%20 == 19 { // until nothing is left: a tombstone begins a new block
			for p.state().Msgs > 0 {
				p.moment()
			}
		}
	}
	p.end()
	t.Logf("%d power losses, %d torn ends cut off", p.crashes.Load(), p.torn)
	if p.crashes.Load() < 10 || p.state().FirstSeq == 1 {
		t.Errorf("%d power losses, %+v", p.crashes.Load(), p.state())
	}
}
