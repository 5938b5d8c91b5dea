package server

import (
	"context"
	"iter"
	"sync"
)

const (
	// aheadItems are handed over at once, aheadChunks may wait.
	aheadItems, aheadChunks = 512, 4
)

type chunk[T any] struct {
	items []T
	err   error // behind the items
}

// ahead yields what read does, and has it read in another goroutine meanwhile.
func ahead[T any](ctx context.Context, read func(context.Context) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		outer := ctx
		ctx, cancel := context.WithCancel(ctx)
		chunks := make(chan chunk[T], aheadChunks)
		var reading sync.WaitGroup
		defer reading.Wait()
		defer cancel()
		reading.Go(func() {
			defer close(chunks)
			fill(ctx, read(ctx), chunks)
		})
		for c := range chunks {
			for _, item := range c.items {
				if !yield(item, nil) {
					return
				}
			}
			if c.err != nil {
				var none T
				yield(none, c.err)
				return
			}
		}
		if err := outer.Err(); err != nil { // it may have ended the reading
			var none T
			yield(none, err)
		}
	}
}

func fill[T any](ctx context.Context, items iter.Seq2[T, error], chunks chan<- chunk[T]) {
	var next chunk[T]
	hand := func() bool {
		select {
		case chunks <- next:
			next = chunk[T]{}
			return true
		case <-ctx.Done():
			return false
		}
	}
	for item, err := range items {
		if next.err = err; err == nil {
			next.items = append(next.items, item)
		}
		if (err != nil || len(next.items) == aheadItems) && !hand() {
			return
		}
		if err != nil {
			return
		}
	}
	hand()
}
