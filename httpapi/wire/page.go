package wire

// Response is every success: the answer itself in Data and, for a page that
// another follows, where that one starts.
type Response[T any] struct {
	Data T     `json:"data"`
	Page *Page `json:"page,omitempty"`
}

// Page stands beside the data of every list but the last page's.
type Page struct {
	// NextCursor is opaque. It belongs to the path, filters and order of the
	// list that it came from.
	NextCursor string `json:"nextCursor"`
}
