package server

import (
	"context"
	"errors"
	"iter"
	"testing"
)

// TestAhead: everything comes, in order, with the error behind it; a reading
// that is left or cut short ends, and never looks complete.
func TestAhead(t *testing.T) {
	broken := errors.New("broken")
	numbers := func(n int, end error) func(context.Context) iter.Seq2[int, error] {
		return func(ctx context.Context) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range n {
					if ctx.Err() != nil {
						yield(0, ctx.Err())
						return
					}
					if !yield(i, nil) {
						return
					}
				}
				if end != nil {
					yield(0, end)
				}
			}
		}
	}
	for _, n := range []int{0, 1, aheadItems, aheadItems*aheadChunks*2 + 3} {
		for _, end := range []error{nil, broken} {
			seen := 0
			var last error
			for i, err := range ahead(t.Context(), numbers(n, end)) {
				if last = err; err == nil && i == seen {
					seen++
				}
			}
			if seen != n || !errors.Is(last, end) {
				t.Errorf("%d of %d, %v", seen, n, last)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for i, err := range ahead(ctx, numbers(1_000_000, nil)) {
		if last = err; i == 10 {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("cut short: %v", last)
	}
	for i, err := range ahead(t.Context(), numbers(1_000_000, nil)) {
		if i == 10 || err != nil {
			break
		}
	}
}
