package projections

import (
	"github.com/chancery-dev/chancery/domain"
)

// recentSource is a [Source] that has its newest events in memory.
type recentSource interface {
	// Recent returns events right behind a position, in order and without a gap,
	// as Follow yields them; none where it has to ask the log. It does not block.
	// The slice is the caller's.
	Recent(after uint64) []domain.Recorded
}

// setRecent lets callers of [Store.WaitFor] apply events of log, or no more.
func (s *Store) setRecent(log Source) {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.recent, _ = log.(recentSource)
	s.helped = 0
}

// help applies what the log has in memory, in the goroutine that waits for it:
// who appended an event has it, and need not wait until two other goroutines
// have passed it on. It does nothing while another goroutine applies.
//
// Run is given the same events later and passes over them. What help cannot
// apply it leaves to Run, which stops at it.
func (s *Store) help(position uint64) {
	if !s.applying.TryLock() {
		return
	}
	defer s.applying.Unlock()
	for s.recent != nil && s.progress.answers.Load() && s.progress.applied.Load() < position {
		if young := s.layers.Load().young; young.bulk != nil || young.bytes >= s.limit() {
			return // Run waits until there is room
		}
		batch := s.recent.Recent(s.mark.position)
		if len(batch) == 0 {
			return
		}
		err := s.applyLocked(batch)
		s.helped = s.mark.position // also where only a part could be applied
		if err != nil {
			return
		}
	}
}

// withoutHelped returns the events that callers of WaitFor have not applied yet.
// The caller holds applying.
func (s *Store) withoutHelped(batch []domain.Recorded) []domain.Recorded {
	for len(batch) > 0 && batch[0].Position <= s.helped {
		if batch[0].Position == s.mark.position && batch[0].ID != s.mark.eventID {
			return batch // a log that contradicts itself; apply refuses it
		}
		batch = batch[1:]
	}
	return batch
}
