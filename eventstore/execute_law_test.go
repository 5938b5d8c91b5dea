package eventstore_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// TestModel: random commands by random agents on two nodes over few secrets,
// while acknowledgements are lost, the log fails, rivals come first and
// processes end before they erase keys. After every step the state is the
// model's and the answer the one that the contract gives; requests that are
// repeated under their key are answered as once before; in the end folding the
// log afresh gives the state, and no deleted secret's key is left.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.reporter = rt
		g := &game{T: rt, w: w, nodes: []*node{w.node(), w.node()}, secrets: map[domain.SecretRef]model{}}
		defer w.check()
		for range rapid.IntRange(5, 25).Draw(rt, "steps") {
			g.step()
		}
		g.end()
	})
}

// game is one run of the model beside the nodes.
type game struct {
	*rapid.T
	w       *world
	nodes   []*node
	secrets map[domain.SecretRef]model
	serial  int
	past    []done
	minted  map[domain.SecretRef][]domain.Field // every envelope ever offered
}

// done is a request whose event was stored.
type done struct {
	caller      caller
	ref         domain.SecretRef
	command     domain.SecretCommand
	result      domain.SecretResult
	incarnation uint64
}

func pick[T any](g *game, label string, items ...T) T {
	return rapid.SampledFrom(items).Draw(g.T, label)
}

func (g *game) caller(n *node) caller {
	n.caughtUp()
	g.serial++
	return n.as(pick(g, "agent", alice, bob)).with(fmt.Sprint("key-", g.serial))
}

func (g *game) step() {
	g.w.wait(time.Duration(pick(g, "wait", 0, 1, 7000)) * time.Millisecond)
	ref := secretRef(pick[domain.SecretID](g, "secret", "a", "a-", "b"))
	c := g.caller(pick(g, "node", g.nodes...))
	switch what := pick(g, "what", "change", "change", "change", "change", "repeat", "reconcile"); {
	case what == "reconcile":
		if err := c.reconciler.Reconcile(c.ctx); err != nil {
			g.Fatal(err)
		}
	case what == "repeat" && len(g.past) > 0:
		g.repeat(pick(g, "request", g.past...), pick(g, "node", g.nodes...))
	default:
		g.change(c, ref, g.command(c, ref))
	}
	for ref, m := range g.secrets {
		n := g.nodes[g.serial%2]
		n.caughtUp()
		same(g, string(ref.ID), m.shown(), show(n.opened(ref)))
	}
}

func (g *game) command(c caller, ref domain.SecretRef) domain.SecretCommand {
	var expect domain.Expectation
	switch pick(g, "expect", "none", "none", "none", "any", "now", "wrong") {
	case "any":
		expect.Any = true
	case "now":
		expect.Version = g.secrets[ref].version
	case "wrong":
		expect.Version = g.secrets[ref].version + 1
	}
	key := pick[domain.FieldKey](g, "key", "f", "f.1", "g")
	switch pick(g, "command", "create", "create", "set", "set", "set", "remove", "update", "delete") {
	case "create":
		create := domain.CreateSecret{Name: pick(g, "name", "n", "m"), Category: "api", Expect: expect}
		if pick(g, "field", true, false) {
			create.Fields = append(create.Fields, domain.Field{Key: key, Value: g.value(c, ref, key)})
		}
		return create
	case "set":
		return domain.SetField{Field: domain.Field{Key: key, Value: g.value(c, ref, key)}, Expect: expect}
	case "remove":
		return domain.RemoveField{Key: key, Expect: expect}
	case "update":
		update := domain.UpdateMetadata{Name: ptr(pick(g, "name", "n", "m")), Expect: expect}
		switch pick(g, "tags", "as they are", "none", "one") {
		case "none":
			update.Tags, update.Category = ptr([]string(nil)), ptr("api")
		case "one":
			update.Tags, update.Category = ptr([]string{"one"}), ptr("other")
		}
		return update
	}
	return domain.DeleteSecret{Expect: expect}
}

// value is a plaintext, a new envelope or one that was offered before.
func (g *game) value(c caller, ref domain.SecretRef, key domain.FieldKey) domain.Value {
	switch pick(g, "value", "plain", "plain", "new", "new", "old") {
	case "plain":
		return domain.NewPlaintext(pick(g, "text", "", "x"))
	case "old":
		for _, f := range g.minted[ref] {
			if _, used := g.secrets[ref].used[to[domain.Envelope](f.Value).DataKey]; used && f.Key == key {
				return f.Value
			}
		}
	}
	f := c.encrypted(ref, key, "value")
	if g.minted == nil {
		g.minted = map[domain.SecretRef][]domain.Field{}
	}
	g.minted[ref] = append(g.minted[ref], f)
	return f.Value
}

// change carries out a command under a fault and compares what it came to.
func (g *game) change(c caller, ref domain.SecretRef, command domain.SecretCommand) {
	fault := pick(g, "fault", "none", "none", "stored, lost", "not stored, lost", "unavailable", "stored, uncertain", "not stored, uncertain", "rival", "crash")
	g.inject(c, ref, fault)
	before := g.secrets[ref]
	res, err := c.try(ref, command)
	g.w.faults(nil)
	c.seams.at(appending, nil)
	c.seams.at(destroying, nil)
	if rival := g.secrets[ref]; rival.version != before.version { // it came first
		before = rival
	}
	after, event, refusal := before.do(command)
	if event != "" {
		switch fault {
		case "unavailable":
			event, refusal = "", domain.CodeUnavailable
		case "stored, uncertain":
			refusal = domain.CodeOutcomeUnknown
		case "not stored, uncertain":
			event, refusal = "", domain.CodeOutcomeUnknown
		}
	}
	if domain.CodeOf(err) != refusal {
		g.Fatalf("%T under %q: %v, want %q", command, fault, err, refusal)
	}
	events := g.w.stream(stream(ref))
	if event == "" {
		if uint64(len(events)) != before.version {
			g.Fatalf("%T under %q: an event was stored", command, fault)
		}
		if err == nil && (res.Event != "" || res.Version != before.version || res.Position != c.state.Position()) {
			g.Fatalf("%T changed nothing, and says %+v", command, res)
		}
		return
	}
	g.secrets[ref] = after
	r := events[len(events)-1]
	want := domain.SecretResult{Event: event, Position: r.Position, Version: after.version, At: r.At}
	want.KeyDestroyed = event == domain.TypeSecretDeleted && fault != "crash"
	incarnation := after.incarnation
	if !after.exists {
		incarnation = before.incarnation
	}
	g.past = append(g.past, done{caller: c, ref: ref, command: command, result: want, incarnation: incarnation})
	if err != nil {
		var unknown *domain.Error
		if !errors.As(err, &unknown) || unknown.EventID != r.ID.String() {
			g.Fatalf("%v does not name the event", err)
		}
		return
	}
	if event == domain.TypeSecretCreated || event == domain.TypeSecretRenamed || event == domain.TypeSecretReclassified || event == domain.TypeSecretScheduled {
		same(g, "the answer's secret", after.shown(), show(res.Secret))
	}
	same(g, "the answer's version", after.version, res.Secret.Version)
	res.Secret = domain.Secret{}
	same(g, "the answer", want, res)
}

// inject makes one fault ready for the next append of a secret's event.
func (g *game) inject(c caller, ref domain.SecretRef, fault string) {
	outcomes := map[string]func(int) (bool, error){
		"stored, lost": attempt(true, errLost), "not stored, lost": attempt(false, errLost), "unavailable": attempt(false, eventstore.ErrUnavailable),
		"stored, uncertain": attempt(true, eventstore.ErrUncertain), "not stored, uncertain": attempt(false, eventstore.ErrUncertain),
	}
	if outcome := outcomes[fault]; outcome != nil {
		g.w.faults(func(op eventstore.Op) (bool, error) {
			if op.Kind != eventstore.OpAppend {
				return true, nil
			}
			return outcome(op.Attempt)
		})
	}
	switch fault {
	case "crash":
		c.seams.at(destroying, func() error { return errCrash })
	case "rival":
		rival := g.caller(g.nodes[g.serial%2])
		command := domain.SecretCommand(create(plain("rival", "x")))
		if g.secrets[ref].exists {
			command = pick[domain.SecretCommand](g, "rival's", rename(rival.key), domain.DeleteSecret{}, set(plain(domain.FieldKey(rival.key), "x")))
		}
		c.seams.once(appending, func() {
			after, event, refusal := g.secrets[ref].do(command)
			if res := rival.do(ref, command); res.Event != event || refusal != "" {
				g.Fatalf("the rival's %T: %+v", command, res)
			}
			g.secrets[ref] = after
		})
	}
}

// repeat sends a request once more, as it was or with other content.
func (g *game) repeat(d done, n *node) {
	n.caughtUp()
	c, command := n.as(d.caller.agent).with(d.caller.key), d.command
	want := domain.Code("")
	if g.secrets[d.ref].gone(command, d.incarnation) {
		want = domain.CodeIdempotencyExpired
	}
	if pick(g, "another", false, false, true) {
		switch command := command.(type) {
		case domain.CreateSecret:
			command.Name += "?"
			c.refused(d.ref, command, orElse(want, domain.CodeIdempotencyKeyReused))
			return
		case domain.SetField:
			command.Field.Value = domain.NewPlaintext("another value")
			c.refused(d.ref, command, orElse(want, domain.CodeIdempotencyKeyReused))
			return
		case domain.RemoveField, domain.UpdateMetadata, domain.DeleteSecret:
		}
	}
	if want != "" {
		c.refused(d.ref, command, want)
		return
	}
	g.w.unchanged(func() {
		res := c.do(d.ref, command)
		deleted := d.result.Event == domain.TypeSecretDeleted
		if !deleted {
			same(g, "the secret as it stands now", g.secrets[d.ref].shown(), show(res.Secret))
		}
		res.Secret = domain.Secret{}
		expected := d.result
		expected.Replayed, expected.KeyDestroyed = true, deleted
		same(g, "the answer again", expected, res)
	})
}

func orElse(code, other domain.Code) domain.Code {
	if code != "" {
		return code
	}
	return other
}

// end compares the state with a fresh fold, and finishes the deletions.
func (g *game) end() {
	events := g.w.events()
	folded := map[domain.Stream]*domain.Secret{}
	for _, r := range events {
		s, ok := r.Stream.(domain.SecretStream)
		if !ok {
			continue
		}
		if folded[s] == nil {
			folded[s] = &domain.Secret{Ref: s.Ref}
		}
		folded[s].Apply(r)
	}
	for _, n := range g.nodes {
		n.caughtUp()
		for s, want := range folded {
			got, err := n.state.Secret(to[domain.SecretStream](s).Ref)
			if err != nil {
				g.Fatal(err)
			}
			same(g, "the fold of "+s.Subject(), *want, got)
		}
		if err := n.reconciler.Reconcile(n.as(alice).ctx); err != nil {
			g.Fatal(err)
		}
	}
	for _, r := range g.w.events() {
		if e, ok := r.Event.(domain.SecretDeleted); ok && g.w.stored(e.KekIDs[0]) {
			g.Errorf("position %d: the deleted secret's key is left", r.Position)
		}
	}
}
