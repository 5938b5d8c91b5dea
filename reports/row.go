package reports

import (
	"strconv"
	"strings"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// Kind is the kind of a column's values.
type Kind int

// The kinds.
const (
	KindText Kind = iota
	KindTime
	KindNumber
	KindList // of texts
)

// Column is one column of a report.
type Column struct {
	Name  string // the member's name in JSON, the header elsewhere
	Title string // for people
	Kind  Kind
}

// Value is one cell. Its zero value is an absent one of any kind.
type Value struct {
	set    bool
	kind   Kind
	text   string
	time   time.Time
	number uint64
	list   []string
}

// Text gives a text; "" is absent.
func Text[T ~string](s T) Value { return Value{set: s != "", kind: KindText, text: string(s)} }

// Time gives a time; the zero time is absent.
func Time(t time.Time) Value { return Value{set: !t.IsZero(), kind: KindTime, time: t.UTC()} }

// Number gives a number; 0 is one.
func Number(n uint64) Value { return Value{set: true, kind: KindNumber, number: n} }

// NumberOrNone gives a number; 0 is absent.
func NumberOrNone(n uint64) Value { return Value{set: n != 0, kind: KindNumber, number: n} }

// List gives texts; none are absent.
func List(items []string) Value { return Value{set: len(items) > 0, kind: KindList, list: items} }

// Absent says that the cell is empty.
func (v Value) Absent() bool { return !v.set }

// Kind gives the value's kind; it means nothing of an absent one.
func (v Value) Kind() Kind { return v.kind }

// Items gives a list's texts. They must not be changed.
func (v Value) Items() []string { return v.list }

// Uint gives a number.
func (v Value) Uint() uint64 { return v.number }

// When gives a time.
func (v Value) When() time.Time { return v.time }

// timeLayout is RFC 3339 in UTC with milliseconds, as everywhere.
const timeLayout = "2006-01-02T15:04:05.000Z"

// String gives the cell as people read it; lists are joined by "; ".
func (v Value) String() string {
	if !v.set {
		return ""
	}
	switch v.kind {
	case KindText:
		return v.text
	case KindTime:
		return v.time.Format(timeLayout)
	case KindNumber:
		return strconv.FormatUint(v.number, 10)
	case KindList:
		return strings.Join(v.list, "; ")
	}
	return ""
}

// Event is an event as formats may see it: its metadata and its record.
type Event struct {
	domain.HistoryEntry
	// Raw is the record's exact bytes, a structured CloudEvent.
	Raw []byte
}

// Row is one row of a report.
type Row struct {
	// Ordinal is the row's place in the population, from 1.
	Ordinal uint64
	Values  []Value // one a column
	// Event or Access is the record that the row is about; of a row that sums
	// up several, the last of them; both nil in a row about a state. A format
	// may keep neither behind the call that it was given them in.
	Event  *Event
	Access *domain.AccessEntry
	// Count is how many records the row sums up and Since the time of the
	// first; 0 and zero of a row that sums up none.
	Count uint64
	Since time.Time
}
