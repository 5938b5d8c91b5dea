package httpapi

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chancery-dev/chancery/domain"
)

const (
	defaultHeartbeat = 15 * time.Second
	defaultStall     = 10 * time.Second
	streamsPerAgent  = 16
	streamsInAll     = 1000
)

// EventStreams says how GET /agent/secrets/events is served.
type EventStreams struct {
	// Feed is what streams show; nil makes the route unavailable.
	Feed *Feed
	// Heartbeat is how often the id moves on where nothing is shown; 0 means
	// 15 s. A key that has expired is found out then at the latest.
	Heartbeat time.Duration
	// Stall is how long a reader may take nothing; 0 means 10 s.
	Stall time.Duration
	// PerAgent and InAll bound the open streams; 0 means 16 and 1,000.
	PerAgent, InAll int
}

func (e EventStreams) withDefaults() EventStreams {
	if e.Heartbeat == 0 {
		e.Heartbeat = defaultHeartbeat
	}
	if e.Stall == 0 {
		e.Stall = defaultStall
	}
	if e.PerAgent == 0 {
		e.PerAgent = streamsPerAgent
	}
	if e.InAll == 0 {
		e.InAll = streamsInAll
	}
	return e
}

// openStreams counts the event streams and ends them.
type openStreams struct {
	config EventStreams
	ended  chan struct{} // closed by end
	end    func()

	mu      sync.Mutex
	agents  map[domain.AgentID]int
	total   int
	open    prometheus.Gauge
	sent    prometheus.Counter
	cutOffs prometheus.Counter
}

func newOpenStreams(config EventStreams, registry *prometheus.Registry) (*openStreams, error) {
	o := &openStreams{
		config: config.withDefaults(), ended: make(chan struct{}), agents: map[domain.AgentID]int{},
		open:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "chancery_event_streams_open", Help: "Open event streams."}),
		sent:    prometheus.NewCounter(prometheus.CounterOpts{Name: "chancery_event_streams_events_total", Help: "Events sent on event streams."}),
		cutOffs: prometheus.NewCounter(prometheus.CounterOpts{Name: "chancery_event_streams_cut_off_total", Help: "Event streams cut off because their reader took nothing."}),
	}
	o.end = sync.OnceFunc(func() { close(o.ended) })
	for _, c := range []prometheus.Collector{o.open, o.sent, o.cutOffs} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// take counts a stream in, or says why there is no room; give takes it out.
func (o *openStreams) take(agent domain.AgentID) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.agents[agent] >= o.config.PerAgent:
		return rateLimited("the agent has too many open event streams", o.config.Heartbeat)
	case o.total >= o.config.InAll:
		return unavailable("this node has too many open event streams")
	}
	o.agents[agent]++
	o.total++
	o.open.Inc()
	return nil
}

func (o *openStreams) give(agent domain.AgentID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.agents[agent]--; o.agents[agent] == 0 {
		delete(o.agents, agent)
	}
	o.total--
	o.open.Dec()
}

// followEvents answers with a stream of the events that the caller may see.
func followEvents(c *call) (answer, error) {
	filter, err := c.eventFilter()
	if err != nil {
		return answer{}, err
	}
	after, resumes, err := c.lastEventID()
	if err != nil {
		return answer{}, err
	}
	c.access.Detail = cut(c.asked())
	if err := c.authorize(domain.AccessSubscribe, mayFollow); err != nil {
		return answer{}, err
	}
	feed := c.streams.config.Feed
	if feed == nil {
		return answer{}, unavailable("this node has no event feed")
	}
	v := feed.after(after)
	switch {
	case !v.running:
		return answer{}, unavailable("this node does not follow the log at the moment")
	case !resumes:
		after = v.last
	case after > v.last: // the node may only be behind
		status, err := feed.log.Status(c.ctx)
		if err != nil {
			return answer{}, unavailable("the log cannot be reached")
		}
		if after > status.Head {
			return answer{}, domain.Errorf(domain.CodeInvalidRequest, "Last-Event-ID is beyond the log")
		}
	}
	if err := c.streams.take(c.principal.Agent); err != nil {
		return answer{}, err
	}
	if err := c.allowed(); err != nil {
		c.streams.give(c.principal.Agent)
		return answer{}, err
	}
	s := &eventStream{call: c, feed: feed, filter: filter, after: after, agent: c.principal.Agent}
	return answer{show: s}, nil
}

// eventStream is one open stream.
type eventStream struct {
	*call
	feed   *Feed
	filter eventFilter
	agent  domain.AgentID
	after  uint64 // everything up to here was shown or passed over
	w      *streamWriter
	ticker *time.Ticker
}

// ServeHTTP writes the stream until its reader, its rights or the server end.
func (s *eventStream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer s.streams.give(s.agent)
	s.w = newStreamWriterWithin(w, s.streams.config.Stall)
	defer s.w.close()
	s.ticker = time.NewTicker(s.streams.config.Heartbeat)
	defer s.ticker.Stop()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy that gathers would hold events back
	w.WriteHeader(http.StatusOK)
	reason, err := s.run()
	if err == nil && reason != "" {
		if _, err = io.WriteString(s.w, ": "+reason+"\n\n"); err == nil {
			err = s.w.flush()
		}
	}
	stalled := s.w.gaveUp()
	if stalled {
		s.streams.cutOffs.Inc()
	}
	if stalled || err != nil && s.ctx.Err() == nil {
		s.config.Logger.WarnContext(r.Context(), "an event stream was cut off",
			slog.String("requestId", s.origin.RequestID), slog.Uint64("position", s.after), slog.Any("error", err))
		panic(http.ErrAbortHandler)
	}
}

// run gives the words that the stream ends with.
func (s *eventStream) run() (reason string, err error) {
	if err := s.beat(); err != nil {
		return "", err
	}
	for {
		v := s.feed.after(s.after)
		switch {
		case !v.running:
			return "unavailable", nil
		case v.behind:
			reason, err = s.catchUp(v.last)
		case len(v.events) > 0:
			reason, err = s.showAll(v.events)
		default:
			reason, err = s.wait(v.changed)
		}
		if reason != "" || err != nil {
			return reason, err
		}
	}
}

// wait waits for news. Rights are looked at with every heartbeat too: a key
// expires without an event.
func (s *eventStream) wait(changed <-chan struct{}) (string, error) {
	select {
	case <-changed:
		return "", nil
	case <-s.streams.ended:
		return "shutting down", nil
	case <-s.ctx.Done():
		return "", s.ctx.Err()
	case <-s.ticker.C:
	}
	if _, ok := s.identify(); !ok {
		return "unauthenticated", nil
	}
	return "", s.beat()
}

// catchUp reads what the feed does not hold any more from the log.
func (s *eventStream) catchUp(last uint64) (string, error) {
	for r, err := range s.feed.log.Read(s.ctx, s.after) {
		if err != nil {
			return "", err
		}
		if r.Position > last { // not applied here yet
			break
		}
		if reason, err := s.show(r); reason != "" || err != nil {
			return reason, err
		}
	}
	return "", s.w.flush()
}

func (s *eventStream) showAll(events []domain.Recorded) (string, error) {
	for _, r := range events {
		if reason, err := s.show(r); reason != "" || err != nil {
			return reason, err
		}
	}
	return "", s.w.flush()
}

// show writes one event if the caller may see it now. What is about other
// organizations' matters costs it nothing but the heartbeats in between.
func (s *eventStream) show(r domain.Recorded) (reason string, err error) {
	select {
	case <-s.streams.ended:
		return "shutting down", nil
	case <-s.ticker.C:
		if err := s.beat(); err != nil {
			return "", err
		}
		if _, ok := s.identify(); !ok {
			return "unauthenticated", nil
		}
	default:
	}
	if r.Event == nil || r.Stream == nil || r.Stream.Organization() != s.principal.Org {
		s.after = r.Position
		return "", nil
	}
	_, directory := r.Stream.(domain.DirectoryStream)
	wanted := s.filter.wants(r)
	if wanted || directory { // which may be what ends this stream
		p, ok := s.identify()
		if !ok {
			return "unauthenticated", nil
		}
		if wanted && maySee(p, r).Allowed {
			// Records are encoded without line breaks.
			if _, err := fmt.Fprintf(s.w, "id: %d\nevent: %s\ndata: %s\n\n", r.Position, r.Event.Type(), r.Raw); err != nil {
				return "", err
			}
			s.streams.sent.Inc()
		}
	}
	s.after = r.Position
	return "", nil
}

// beat moves the reader's id on.
func (s *eventStream) beat() error {
	if _, err := fmt.Fprintf(s.w, "id: %d\n\n", s.after); err != nil {
		return err
	}
	return s.w.flush()
}
