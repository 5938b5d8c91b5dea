package kms

import (
	"container/list"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// handOutWindow is how long one agent's mints for one missing secret get the
// same secret key, from the first of them.
const handOutWindow = 15 * time.Minute

// openPath is one agent and the secret that it means to create.
type openPath struct {
	agent domain.AgentID
	ref   domain.SecretRef
}

// openMint is a pool key that was handed out for a secret that does not exist
// yet. It ends when its window does or its key is claimed.
type openMint struct {
	path    openPath
	kek     domain.KekID
	at      time.Time
	inAgent *list.Element
}

// handOuts remembers the open mints of this process: at most perAgent of one
// agent, where the agent is refused, and at most total, where the oldest is
// forgotten. Forgetting is harmless: the next mint gets another key, and a
// create claims every key that its envelopes name.
type handOuts struct {
	perAgent, total int

	mu     sync.Mutex
	oldest list.List // of *openMint, in the order of handing out
	byPath map[openPath]*list.Element
	byKek  map[domain.KekID]*list.Element
	agents map[domain.AgentID]*list.List // of *openMint, in the same order
}

func newHandOuts(perAgent, total int) *handOuts {
	return &handOuts{
		perAgent: perAgent, total: total,
		byPath: map[openPath]*list.Element{}, byKek: map[domain.KekID]*list.Element{}, agents: map[domain.AgentID]*list.List{},
	}
}

// get gives the key that was handed out for path within the window.
func (h *handOuts) get(path openPath, now time.Time) (domain.KekID, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.prune(now)
	if e, ok := h.byPath[path]; ok {
		return mintOf(e).kek, true
	}
	return domain.KekID{}, false
}

// room refuses an agent that has as many open mints as it may. It saves a
// key; put is what holds the limit.
func (h *handOuts) room(agent domain.AgentID, now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.prune(now)
	return h.limit(agent, now)
}

func (h *handOuts) limit(agent domain.AgentID, now time.Time) error {
	mine := h.agents[agent]
	if mine == nil || mine.Len() < h.perAgent {
		return nil
	}
	return errTooManyMints(h.perAgent, mintOf(mine.Front()).at.Add(handOutWindow).Sub(now))
}

// put hands kek out for path. When another request of the same agent was
// faster, the result is the key that it got, and kek is handed out to nobody.
func (h *handOuts) put(path openPath, kek domain.KekID, now time.Time) (domain.KekID, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.prune(now)
	if e, ok := h.byPath[path]; ok {
		return mintOf(e).kek, nil
	}
	if err := h.limit(path.agent, now); err != nil {
		return domain.KekID{}, err
	}
	if h.oldest.Len() >= h.total {
		h.remove(h.oldest.Front())
	}
	mine := h.agents[path.agent]
	if mine == nil {
		mine = list.New()
		h.agents[path.agent] = mine
	}
	m := &openMint{path: path, kek: kek, at: now}
	m.inAgent = mine.PushBack(m)
	e := h.oldest.PushBack(m)
	h.byPath[path], h.byKek[kek] = e, e
	return kek, nil
}

// end forgets the open mint of a key that has been claimed or destroyed.
func (h *handOuts) end(kek domain.KekID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e, ok := h.byKek[kek]; ok {
		h.remove(e)
	}
}

func (h *handOuts) prune(now time.Time) {
	for e := h.oldest.Front(); e != nil && now.Sub(mintOf(e).at) > handOutWindow; e = h.oldest.Front() {
		h.remove(e)
	}
}

func (h *handOuts) remove(e *list.Element) {
	m := mintOf(e)
	h.oldest.Remove(e)
	delete(h.byPath, m.path)
	delete(h.byKek, m.kek)
	mine := h.agents[m.path.agent]
	mine.Remove(m.inAgent)
	if mine.Len() == 0 {
		delete(h.agents, m.path.agent)
	}
}

func (h *handOuts) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.oldest.Len()
}

// mintOf gives what an element of either list holds.
func mintOf(e *list.Element) *openMint {
	return e.Value.(*openMint) //nolint:errcheck,forcetypeassert // Only put adds elements.
}
