package httpapi

import "github.com/chancery-dev/chancery/domain"

// RouteName is one row of the route table, for tests.
type RouteName struct {
	Method, Path, Name string
	Query              []string
	Body, Open         bool
}

// RouteNames gives the route table.
func RouteNames() []RouteName {
	var names []RouteName
	for _, r := range routes() {
		names = append(names, RouteName{
			Method: r.method, Path: r.path, Name: r.name, Query: r.query, Body: r.body != bodyNone, Open: r.open,
		})
	}
	return names
}

// Limiter is limiter, for tests.
type Limiter = limiter

// NewLimiter is newLimiter, for tests.
var NewLimiter = newLimiter

// Take is limiter.take.
var Take = (*limiter).take

// Buckets gives how many keys a limiter knows.
func Buckets(l *Limiter) int { return len(l.buckets) }

// AddressPrefix is addressPrefix, for tests.
var AddressPrefix = addressPrefix

// ULIDText is ulidText, for tests.
var ULIDText = ulidText

// DocsPage is docs.html.
func DocsPage() []byte { return docsPage }

// TilePath reads a tile's path behind "tile/" and writes it again.
func TilePath(level string, segments []string) (string, bool) {
	t, ok := parseTile(level, segments)
	return t.path(), ok
}

// TraceID is traceID, for tests.
var TraceID = traceID

// AccessActions is accessActions, for tests.
var AccessActions = accessActions

// MergeAll reads two logs through pages of a merge, each of up to limit rows,
// where a page of the access log looks at no more than most records.
func MergeAll(events []domain.HistoryEntry, access []domain.AccessEntry, ascending bool, limit, most int) (versions []uint64, read []domain.AccessPlace) {
	for from, more := (places{}), true; more; {
		m := merge{ascending: ascending, from: from}
		for i := range events {
			if !ascending {
				i = len(events) - 1 - i
			}
			v := events[i].Version
			if from.noEvents || from.version > 0 && (v > from.version) != ascending || v == from.version {
				continue
			}
			if m.moreEvents = len(m.events) == limit; m.moreEvents {
				break
			}
			m.events = append(m.events, events[i])
		}
		for i := range access {
			if !ascending {
				i = len(access) - 1 - i
			}
			p := access[i].Place
			behind := p.Position > from.access.Position || p.Position == from.access.Position && p.Index > from.access.Index
			if from.noAccess || from.access != (domain.AccessPlace{}) && (p == from.access || behind != ascending) {
				continue
			}
			if m.moreAccess = len(m.access) == min(limit, most); m.moreAccess {
				break
			}
			m.access, m.nextAccess = append(m.access, access[i]), p
		}
		for range limit {
			event, access := m.take()
			switch {
			case event != nil:
				versions = append(versions, event.Version)
			case access != nil:
				read = append(read, access.Place)
			}
		}
		next, again := m.next()
		var ok bool
		if from, ok = parsePlaces(next.String()); !ok || from != next {
			panic("a place does not read as it was written: " + next.String())
		}
		more = again
	}
	return versions, read
}
