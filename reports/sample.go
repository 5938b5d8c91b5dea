package reports

import (
	"cmp"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// MaxSample is how many rows a sample may have: all of them are held in memory.
const MaxSample = 100_000

// reservoir takes a sample of a population of unknown size in which every
// subset of that size has the same chance (Vitter's algorithm R). It computes
// with integers alone, so that every machine takes the same rows.
type reservoir struct {
	size   int
	source interface{ Uint64() uint64 }
	rows   []Row
}

func newReservoir(size int, seed uint64) *reservoir {
	return &reservoir{size: size, source: rand.NewPCG(seed, 0)} //nolint:forbidigo // seeded by the reviewer: nothing secret hangs on it.
}

// offer shows the next row; ordinals run from 1.
func (r *reservoir) offer(row Row) {
	if len(r.rows) < r.size {
		r.rows = append(r.rows, row)
		return
	}
	if place := r.draw(row.Ordinal); place < uint64(r.size) { //nolint:gosec // not negative.
		r.rows[place] = row
	}
}

// draw gives a number below n, each with the same chance (Lemire, Fast Random
// Integer Generation in an Interval, 2019).
func (r *reservoir) draw(n uint64) uint64 {
	high, low := bits.Mul64(r.source.Uint64(), n)
	for low < n {
		if low >= -n%n {
			break
		}
		high, low = bits.Mul64(r.source.Uint64(), n)
	}
	return high
}

// taken gives the sample in the order of the population.
func (r *reservoir) taken() []Row {
	slices.SortFunc(r.rows, func(a, b Row) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	return r.rows
}
