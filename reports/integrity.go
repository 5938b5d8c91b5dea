package reports

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
)

func integrityReport() report {
	return report{
		name: "integrity", title: "Integrity: what the logs say of themselves",
		events: true, access: true,
		columns: []Column{
			{"log", "Log", KindText},
			{"check", "Check", KindText},
			{"subject", "Of", KindText},
			{"count", "Count", KindNumber},
			{"position", "Position", KindNumber},
			{"time", "Time", KindTime},
		},
		rows: func(ctx context.Context, v *view) iter.Seq2[Row, error] {
			return func(yield func(Row, error) bool) { v.integrity(ctx, yield) }
		},
	}
}

// examination is what was found in one log.
type examination struct {
	log                   string
	first, last, messages uint64
	from, to              time.Time
	gaps                  []uint64 // the positions before them
	counts                map[string]uint64
	foreign, backwards    uint64
	versions              []uint64 // positions whose version does not follow
}

// maxNamed is how many faults of a kind are named; all are counted.
const maxNamed = 100

func (x *examination) see(position uint64, expected uint64) {
	if x.messages == 0 {
		x.first = position
	}
	if position != expected {
		x.gaps = append(x.gaps, expected-1)
	}
	x.last, x.messages = position, x.messages+1
}

func (x *examination) span(from, to time.Time) {
	if x.from.IsZero() || from.Before(x.from) {
		x.from = from
	}
	x.to = later(x.to, to)
}

func (v *view) integrity(ctx context.Context, yield func(Row, error) bool) {
	for _, examine := range []func(context.Context) (*examination, error){v.examineEvents, v.examineAccess} {
		x, err := examine(ctx)
		if err != nil {
			failed(yield, err)
			return
		}
		part := &v.ranges.Events
		if x.log == LogAccess {
			part = v.ranges.Access
		}
		for _, values := range x.findings(part.Checkpoint != "") {
			if !yield(Row{Values: values}, nil) {
				return
			}
		}
	}
}

// examineEvents looks at every position and every version; what it counts is
// about the organization of the query.
func (v *view) examineEvents(ctx context.Context) (*examination, error) {
	x := &examination{log: LogEvents, counts: map[string]uint64{}}
	versions := map[string]uint64{}
	for r, err := range v.messages(ctx) {
		if err != nil {
			return nil, err
		}
		x.see(r.Position, x.last+1)
		if r.Event == nil {
			x.foreign++
			continue
		}
		subject := r.Stream.Subject()
		if r.Version != versions[subject]+1 {
			x.versions = append(x.versions, r.Position)
		}
		versions[subject] = r.Version
		if r.Time.Before(r.At) {
			x.backwards++
		}
		if v.about(r.Stream.Organization()) {
			x.counts[string(r.Event.Type())]++
			x.span(r.At, r.At)
		}
	}
	return x, nil
}

func (v *view) examineAccess(ctx context.Context) (*examination, error) {
	x := &examination{log: LogAccess, counts: map[string]uint64{}}
	for m, err := range v.accessMessages(ctx) {
		if err != nil {
			return nil, err
		}
		expected := x.last + 1
		if x.messages == 0 {
			expected = v.ranges.Access.From
		}
		x.see(m.Position, expected)
		for _, a := range m.Records {
			if v.about(a.Target) {
				x.counts[a.Action+" "+string(a.Outcome)] += accessCount(a)
				x.span(a.Time, accessEnd(a))
			}
		}
	}
	return x, nil
}

func (x *examination) findings(signed bool) (rows [][]Value) {
	add := func(check, subject string, count, position uint64, t time.Time) {
		rows = append(rows, []Value{Text(x.log), Text(check), Text(subject), Number(count), NumberOrNone(position), Time(t)})
	}
	add("messages", "", x.messages, 0, time.Time{})
	add("first position", "", x.messages, x.first, time.Time{})
	add("last position", "", x.messages, x.last, time.Time{})
	add("first record", "", 0, 0, x.from)
	add("last record", "", 0, 0, x.to)
	checkpoint := "none"
	if signed {
		checkpoint = "in the manifest"
	}
	add("checkpoint", checkpoint, 0, x.last, time.Time{})
	add("gaps", "positions", uint64(len(x.gaps)), 0, time.Time{})
	if x.log == LogEvents {
		add("gaps", "versions", uint64(len(x.versions)), 0, time.Time{})
		add("foreign messages", "", x.foreign, 0, time.Time{})
		add("clock behind the log", "", x.backwards, 0, time.Time{})
	}
	for i, p := range x.gaps[:min(maxNamed, len(x.gaps))] {
		add("gap", fmt.Sprintf("positions, no. %d", i+1), 1, p, time.Time{})
	}
	for i, p := range x.versions[:min(maxNamed, len(x.versions))] {
		add("gap", fmt.Sprintf("versions, no. %d", i+1), 1, p, time.Time{})
	}
	for _, name := range slices.Sorted(maps.Keys(x.counts)) {
		add("records", name, x.counts[name], 0, time.Time{})
	}
	return rows
}
