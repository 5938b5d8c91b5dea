package kms

// turnsChunk is how many entries are made at once.
const turnsChunk = 1024

// turns is a line of entries: the one that waits longest is next. It is a list
// whose links are numbers, in chunks that stay where they are, so that a
// hundred thousand keys are a few hundred objects for the collector, and none
// is copied when there are more. Entries are the caller's to clear.
type turns[E any] struct {
	chunks []*[turnsChunk]turn[E]
	free   int32 // a place that is not used, none for none; linked by after
}

type turn[E any] struct {
	entry         E
	before, after int32 // whose turn is sooner, later
}

// Places. The first one is not for an entry: the line is a ring around it.
const (
	ring int32 = 0
	none int32 = -1
)

func newTurns[E any]() turns[E] {
	t := turns[E]{free: none}
	t.more()
	return t
}

func (t *turns[E]) turn(place int32) *turn[E] { return &t.chunks[place/turnsChunk][place%turnsChunk] }

func (t *turns[E]) at(place int32) *E { return &t.turn(place).entry }

// next gives the place whose turn it is. There must be one.
func (t *turns[E]) next() int32 { return t.turn(ring).after }

// add makes an entry whose turn is last.
func (t *turns[E]) add() int32 {
	if t.free == none {
		t.more()
	}
	place := t.free
	t.free = t.turn(place).after
	t.line(place)
	return place
}

// later makes an entry's turn the last.
func (t *turns[E]) later(place int32) {
	t.leave(place)
	t.line(place)
}

func (t *turns[E]) remove(place int32) {
	t.leave(place)
	t.turn(place).after, t.free = t.free, place
}

func (t *turns[E]) line(place int32) {
	last := t.turn(ring).before
	this := t.turn(place)
	this.before, this.after = last, ring
	t.turn(last).after, t.turn(ring).before = place, place
}

func (t *turns[E]) leave(place int32) {
	this := t.turn(place)
	t.turn(this.before).after, t.turn(this.after).before = this.after, this.before
}

// more makes a chunk of free places. The very first of all is the ring, whose
// links are its own place.
func (t *turns[E]) more() {
	begin := int32(len(t.chunks) * turnsChunk) //nolint:gosec // a cache has far fewer.
	t.chunks = append(t.chunks, new([turnsChunk]turn[E]))
	for place := begin + turnsChunk - 1; place >= max(begin, 1); place-- {
		t.turn(place).after, t.free = t.free, place
	}
}
