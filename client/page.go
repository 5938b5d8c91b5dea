package client

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
)

// pages gives every row of a list, page by page, following nextCursor to the
// end. The first error ends it.
func pages[T any](ctx context.Context, c *Client, path string, query url.Values, opts []Option) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		cursor := ""
		for {
			q := maps.Clone(query)
			if q == nil {
				q = url.Values{}
			}
			rows, next, err := sendPage[[]T](ctx, c, call{kind: read, method: http.MethodGet, path: path, query: set(q, "cursor", cursor)}, opts)
			if err != nil {
				yield(none, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			if next == cursor {
				yield(none, fmt.Errorf("%w: a page names itself as the next", errAnswer))
				return
			}
			cursor = next
		}
	}
}

// failed is a list that ends at once.
func failed[T any](err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		yield(none, err)
	}
}

// collect reads a list to its end. On an error it gives no rows: half a list
// looks like a whole one.
func collect[T any](rows iter.Seq2[T, error]) ([]T, error) {
	all := []T{}
	for row, err := range rows {
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, nil
}
