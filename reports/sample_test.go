package reports

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

func draw(size int, population, seed uint64) []uint64 {
	r := newReservoir(size, seed)
	for n := range population {
		r.offer(Row{Ordinal: n + 1})
	}
	var ordinals []uint64
	for _, row := range r.taken() {
		ordinals = append(ordinals, row.Ordinal)
	}
	return ordinals
}

// TestSampleIsASubset verifies size, order, no repetition, and that the seed
// alone decides (invariant 6).
func TestSampleIsASubset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size, population := rapid.IntRange(1, 50).Draw(t, "size"), rapid.Uint64Range(0, 200).Draw(t, "population")
		seed := rapid.Uint64().Draw(t, "seed")
		got := draw(size, population, seed)
		if want := min(uint64(size), population); uint64(len(got)) != want {
			t.Fatalf("%d rows, want %d", len(got), want)
		}
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Fatalf("%v", got)
		}
		if !slices.Equal(got, draw(size, population, seed)) {
			t.Fatal("the same seed takes other rows")
		}
	})
}

// TestSampleIsUniform counts how often each row is taken over fixed seeds.
// Chi-squared with 99 degrees of freedom lies below 161 in all but one of ten
// thousand draws of seeds; these seeds are fixed.
func TestSampleIsUniform(t *testing.T) {
	const population, size, seeds = 100, 10, 20_000
	counts := make([]float64, population)
	for seed := range uint64(seeds) {
		for _, ordinal := range draw(size, population, seed) {
			counts[ordinal-1]++
		}
	}
	const want = float64(seeds) * size / population
	chi := 0.0
	for _, c := range counts {
		chi += (c - want) * (c - want) / want
	}
	if chi > 161 {
		t.Errorf("chi-squared is %.1f: not uniform", chi)
	}
}

// TestSampleNamesItsRows verifies that each row carries its ordinal, that it is
// the row with that ordinal in the whole report, and that the manifest tells
// the population.
func TestSampleNamesItsRows(t *testing.T) {
	s := scenario(t)
	whole, all := run(t, s, domain.ReportQuery{Name: "changes", Format: "jsonl"})
	part, m := run(t, s, domain.ReportQuery{Name: "changes", Format: "jsonl", Sample: 5, Seed: 42})
	if m.Rows != 5 || m.Population != all.Rows || m.Query.Seed != 42 {
		t.Errorf("%+v", m)
	}
	lines := strings.Split(whole, "\n")
	for line := range strings.Lines(part[:m.Bytes]) {
		var row struct{ Ordinal int }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ",")
		if lines[row.Ordinal-1] != "{"+rest {
			t.Errorf("row %d is not\n%s", row.Ordinal, line)
		}
	}
}
