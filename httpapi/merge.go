package httpapi

import (
	"strconv"
	"strings"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// merge joins a page of a secret's events with a page of its access records,
// by time. Each log keeps its own order, so no row is lost or repeated where
// their clocks differ.
type merge struct {
	ascending  bool
	from       places
	events     []domain.HistoryEntry // behind from, as many as the page may have
	access     []domain.AccessEntry
	moreEvents bool
	moreAccess bool
	nextAccess domain.AccessPlace // where access goes on, when there is more

	tookEvents, tookAccess int
}

// take gives the next row: one of both, or none when the page ends. It also
// ends where the rows of one log are used up while that log has more: the next
// of them may come before the other log's next.
func (m *merge) take() (*domain.HistoryEntry, *domain.AccessEntry) {
	hasEvent, hasAccess := m.tookEvents < len(m.events), m.tookAccess < len(m.access)
	if !hasEvent && m.moreEvents || !hasAccess && m.moreAccess || !hasEvent && !hasAccess {
		return nil, nil
	}
	if hasEvent && hasAccess {
		// Of the same moment, the access follows the event.
		event, access := m.events[m.tookEvents].At, m.access[m.tookAccess].Time
		hasEvent = !event.After(access) == m.ascending
	}
	if hasEvent {
		m.tookEvents++
		return &m.events[m.tookEvents-1], nil
	}
	m.tookAccess++
	return nil, &m.access[m.tookAccess-1]
}

// next gives where the page behind this one begins, and whether there is one.
func (m *merge) next() (places, bool) {
	next := m.from
	eventsLeft := m.tookEvents < len(m.events) || m.moreEvents
	accessLeft := m.tookAccess < len(m.access) || m.moreAccess
	switch {
	case m.tookEvents > 0:
		next.version = m.events[m.tookEvents-1].Version
	case len(m.events) > 0 && !m.ascending && next.version == 0:
		next.version = m.events[0].Version + 1 // what is recorded from now on is no part of this list
	}
	switch {
	case m.tookAccess == len(m.access) && m.moreAccess:
		next.access = m.nextAccess
	case m.tookAccess > 0:
		next.access = m.access[m.tookAccess-1].Place
	case len(m.access) > 0 && !m.ascending && next.access == domain.AccessPlace{}:
		next.access = behind(m.access[0].Place)
	}
	if !m.ascending { // upwards a log that has ended can go on
		if next.noEvents = !eventsLeft; next.noEvents {
			next.version = 0
		}
		if next.noAccess = !accessLeft; next.noAccess {
			next.access = domain.AccessPlace{}
		}
	}
	return next, eventsLeft || accessLeft
}

// behind gives the place that follows at once.
func behind(p domain.AccessPlace) domain.AccessPlace {
	if p.Index++; p.Index == 0 {
		p.Position++
	}
	return p
}

// places is where a merged history goes on in both logs. Its zero value is the
// beginning of either.
type places struct {
	version            uint64
	access             domain.AccessPlace
	noEvents, noAccess bool // has been read to its end
}

// String writes it for a cursor.
func (p places) String() string {
	events, access := "-", "-"
	if !p.noEvents {
		events = strconv.FormatUint(p.version, 10)
	}
	if !p.noAccess {
		access = placeText(p.access)
	}
	return events + "," + access
}

// parsePlaces reads what String writes.
func parsePlaces(s string) (p places, ok bool) {
	events, access, both := strings.Cut(s, ",")
	if p.noEvents = events == "-"; !p.noEvents {
		if p.version, ok = wire.ParseUint(events); !ok {
			return places{}, false
		}
	}
	if p.noAccess = access == "-"; !p.noAccess {
		if p.access, ok = parsePlace(access); !ok {
			return places{}, false
		}
	}
	return p, both
}
