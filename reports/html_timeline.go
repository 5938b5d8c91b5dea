package reports

import (
	"fmt"
	"time"
)

// timeline counts rows by time in at most maxBuckets buckets of one width: when
// the rows span more, the buckets become wider. What it holds depends on the
// rows alone, not on their order.
type timeline struct {
	step    int // of widths
	buckets map[int64]bucket
	first   int64
	last    int64
}

// bucket counts the rows of one.
type bucket struct{ rows, refused uint64 }

const maxBuckets = 96

// bucketWidth gives the width of a step in seconds. Each is a multiple of the
// one before, so that buckets merge whole.
func bucketWidth(step int) int64 {
	ladder := []int64{60, 300, 900, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600, 28 * 24 * 3600}
	if step < len(ladder) {
		return ladder[step]
	}
	return ladder[len(ladder)-1] << (step - len(ladder) + 1)
}

// rowTime is when a row was: its first record, else its first time.
func rowTime(r Row) time.Time {
	if !r.Since.IsZero() {
		return r.Since
	}
	for _, v := range r.Values {
		if !v.Absent() && v.Kind() == KindTime {
			return v.When()
		}
	}
	return time.Time{}
}

func (t *timeline) add(at time.Time, refused bool) {
	i := floorDiv(at.Unix(), bucketWidth(t.step))
	if len(t.buckets) == 0 {
		t.buckets, t.first, t.last = map[int64]bucket{}, i, i
	}
	for first, last := min(t.first, i), max(t.last, i); last-first >= maxBuckets; first, last = min(t.first, i), max(t.last, i) {
		t.widen()
		i = floorDiv(at.Unix(), bucketWidth(t.step))
	}
	t.first, t.last = min(t.first, i), max(t.last, i)
	b := t.buckets[i]
	if b.rows++; refused {
		b.refused++
	}
	t.buckets[i] = b
}

// widen goes to the next width.
func (t *timeline) widen() {
	times := bucketWidth(t.step+1) / bucketWidth(t.step)
	wider := map[int64]bucket{}
	for i, b := range t.buckets {
		w := wider[floorDiv(i, times)]
		wider[floorDiv(i, times)] = bucket{w.rows + b.rows, w.refused + b.refused}
	}
	t.step, t.buckets, t.first, t.last = t.step+1, wider, floorDiv(t.first, times), floorDiv(t.last, times)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && a < 0 {
		q--
	}
	return q
}

// picture is a timeline as it is drawn; lengths in units of its own.
type picture struct {
	Width, Height, Base int
	Bars                []bar
	Levels              []level
	Ticks               []tick
	Refused             bool   // any row is
	Bucket              string // how wide one is
	First, Last         string
	Most                uint64
	MostAt              string
}

type (
	bar struct {
		X, Width          int
		Y, Height         int // of all rows
		RefusedY, Refused int
		From              string
		Rows, RefusedRows uint64
	}
	level struct {
		Y     int
		Count uint64
	}
	tick struct {
		X      int
		Text   string
		Anchor string
	}
)

const (
	pictureWidth  = 960
	pictureHeight = 200
	pictureLeft   = 48
	pictureTop    = 12
	pictureBase   = 168
)

// draw gives the picture, nil where no row has a time.
func (t *timeline) draw() *picture {
	if len(t.buckets) == 0 {
		return nil
	}
	count, width := t.last-t.first+1, bucketWidth(t.step)
	start := func(i int64) time.Time { return time.Unix(i*width, 0).UTC() }
	p := &picture{
		Width: pictureWidth, Height: pictureHeight, Base: pictureBase, Bucket: widthText(width),
		First: bucketText(start(t.first), width), Last: bucketText(start(t.last), width),
	}
	for i := t.first; i <= t.last; i++ {
		if b := t.buckets[i]; b.rows > p.Most {
			p.Most, p.MostAt = b.rows, bucketText(start(i), width)
		}
	}
	span := int64(pictureWidth - pictureLeft)
	x := func(n int64) int { return pictureLeft + int(n*span/count) }
	high := func(rows uint64) int { return barHeight(rows, p.Most) }
	for i := t.first; i <= t.last; i++ {
		b := t.buckets[i]
		if b.rows == 0 {
			continue
		}
		p.Refused = p.Refused || b.refused > 0
		left := x(i - t.first)
		p.Bars = append(p.Bars, bar{
			X: left, Width: min(72, max(1, x(i-t.first+1)-left-1)), Y: pictureBase - high(b.rows), Height: high(b.rows),
			RefusedY: pictureBase - high(b.refused), Refused: high(b.refused),
			From: bucketText(start(i), width), Rows: b.rows, RefusedRows: b.refused,
		})
	}
	p.Levels = append(p.Levels, level{pictureBase - high(p.Most), p.Most})
	if half := p.Most / 2; half > 0 {
		p.Levels = append(p.Levels, level{pictureBase - high(half), half})
	}
	marks := min(6, count)
	for n := range marks {
		i := n * count / marks
		p.Ticks = append(p.Ticks, tick{x(i), bucketText(start(t.first+i), width), "start"})
	}
	return p
}

// barHeight is never 0 for rows.
func barHeight(rows, most uint64) int {
	if rows == 0 {
		return 0
	}
	const room = pictureBase - pictureTop
	return max(2, int(float64(rows)/float64(most)*room))
}

func widthText(seconds int64) string {
	for _, unit := range []struct {
		seconds int64
		name    string
	}{{24 * 3600, "day"}, {3600, "hour"}, {60, "minute"}} {
		if n := seconds / unit.seconds; n == 1 {
			return "1 " + unit.name
		} else if n > 1 {
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return ""
}

// bucketText names a bucket by its start.
func bucketText(t time.Time, width int64) string {
	if width >= 24*3600 {
		return t.Format("2006-01-02")
	}
	return t.Format("2006-01-02 15:04")
}
