package accesslog

// segment is a run, or the tail.
type segment interface {
	// entries gives the chunk of a list that has a place or, walking from
	// there, what comes next; none where nothing does. It is appended to into.
	entries(key listKey, from place, ascending bool, into []entry) ([]entry, error)
	// lastReads gives the last reads of a secret within the segment.
	lastReads(key listKey) ([]fieldRead, error)
}

// finding is what a walk says of the places from one on, in its direction.
type finding uint8

const (
	foundEntry   finding = iota // there is an entry at the place
	foundNothing                // there is none before the place
	foundEnd                    // there is none at all
)

// bounds is what a walk may yield.
type bounds struct {
	low, high place // inclusive
	from, to  int64 // milliseconds, to exclusive
	ascending bool
}

// ahead says whether a walk meets a before b.
func (b *bounds) ahead(a, c place) bool {
	if b.ascending {
		return before(a, c)
	}
	return before(c, a)
}

// next gives the place that a walk meets after one, and whether it is within.
func (b *bounds) next(p place) (place, bool) {
	if b.ascending {
		return following(p), before(p, b.high)
	}
	if !before(b.low, p) {
		return p, false
	}
	return preceding(p), true
}

// holds says whether an entry's time is within.
func (b *bounds) holds(e entry) bool { return e.time >= b.from && e.time < b.to }

// walk yields places in order. Callers ask from places in order too.
type walk interface {
	seek(at place) (place, finding, error)
}

// listWalk walks one list of one segment.
type listWalk struct {
	*bounds
	segment segment
	key     listKey
	chunk   []entry // what is left, in the walk's direction
	room    []entry
}

// seek implements walk. It looks at one more chunk at most.
func (w *listWalk) seek(at place) (place, finding, error) {
	for len(w.chunk) > 0 {
		e := w.chunk[0]
		if !w.ascending {
			e = w.chunk[len(w.chunk)-1]
		}
		if !w.ahead(e.place, at) {
			if w.ahead(w.end(), e.place) {
				return at, foundEnd, nil
			}
			if w.holds(e) {
				return e.place, foundEntry, nil
			}
		}
		if w.ascending {
			w.chunk = w.chunk[1:]
		} else {
			w.chunk = w.chunk[:len(w.chunk)-1]
		}
		if len(w.chunk) == 0 && !w.ahead(e.place, at) {
			next, within := w.next(e.place)
			if !within {
				return at, foundEnd, nil
			}
			return next, foundNothing, nil
		}
	}
	found, err := w.segment.entries(w.key, at, w.ascending, w.room[:0])
	if err != nil {
		return at, foundEnd, err
	}
	if len(found) == 0 {
		return at, foundEnd, nil
	}
	w.room, w.chunk = found, found
	return at, foundNothing, nil
}

// end is the last place that the walk may yield.
func (b *bounds) end() place {
	if b.ascending {
		return b.high
	}
	return b.low
}

// anyOf walks what any of several walks yields.
type anyOf struct {
	*bounds
	parts []walk
}

// seek implements walk.
func (w *anyOf) seek(at place) (place, finding, error) {
	best, kind := at, foundEnd
	for _, part := range w.parts {
		p, found, err := part.seek(at)
		switch {
		case err != nil:
			return at, foundEnd, err
		case found == foundEnd:
		case kind == foundEnd, w.ahead(p, best):
			best, kind = p, found
		case p == best && found == foundEntry:
			kind = foundEntry
		}
	}
	return best, kind, nil
}

// allOf walks what all of several walks yield.
type allOf struct{ parts []walk }

// seek implements walk.
func (w *allOf) seek(at place) (place, finding, error) {
	for i, part := range w.parts {
		p, found, err := part.seek(at)
		switch {
		case err != nil || found != foundEntry:
			return p, found, err
		case i == 0:
			at = p
		case p != at:
			return p, foundNothing, nil // those before have not been asked from there
		}
	}
	return at, foundEntry, nil
}
