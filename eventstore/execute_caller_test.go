package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/seal"
)

// The cast of the executor's tests.
const (
	home     domain.OrgID    = "org_01JD3Z8Q7G00000000000000A1"
	alice    domain.AgentID  = "agt_01JD3Z8Q7G00000000000000B1"
	bob      domain.AgentID  = "agt_01JD3Z8Q7G00000000000000B2"
	aliceKey domain.APIKeyID = "key_01JD3Z8Q7G00000000000000C1"
)

func secretRef(id domain.SecretID) domain.SecretRef {
	return domain.SecretRef{Org: home, Scope: domain.Scope{Kind: domain.ScopeProject, ID: "proj_01JD3Z8Q7G00000000000000E1"}, ID: id}
}

func stream(ref domain.SecretRef) domain.Stream { return domain.SecretStream{Ref: ref} }

// caller is an agent at a node.
type caller struct {
	*node
	agent domain.AgentID
	key   string // Idempotency-Key
	ctx   context.Context
}

func (n *node) as(agent domain.AgentID) caller {
	return caller{node: n, agent: agent, ctx: n.w.ctx}
}

func (c caller) with(key string) caller            { c.key = key; return c }
func (c caller) within(ctx context.Context) caller { c.ctx = ctx; return c }
func (c caller) origin() domain.Origin {
	return domain.Origin{RequestID: "req-1", ClientIP: "192.0.2.1", IdempotencyKey: c.key}
}

func (c caller) principal() domain.Principal {
	return domain.Principal{Org: home, Agent: c.agent, Key: aliceKey}
}

func (c caller) try(ref domain.SecretRef, command domain.SecretCommand) (domain.SecretResult, error) {
	return c.ChangeSecret(c.ctx, domain.SecretRequest{Principal: c.principal(), Ref: ref, Command: command, Origin: c.origin()})
}

func (c caller) do(ref domain.SecretRef, command domain.SecretCommand) domain.SecretResult {
	c.w.Helper()
	res, err := c.try(ref, command)
	if err != nil {
		c.w.Fatalf("%T: %v", command, err)
	}
	return res
}

// refused demands that the command is refused with a code and appends nothing.
func (c caller) refused(ref domain.SecretRef, command domain.SecretCommand, code domain.Code) {
	c.w.Helper()
	c.w.unchanged(func() {
		c.w.Helper()
		res, err := c.try(ref, command)
		wantCode(c.w, err, code)
		if diff := cmp.Diff(domain.SecretResult{}, res); diff != "" {
			c.w.Errorf("a refusal with a result:\n%s", diff)
		}
	})
}

func (c caller) tryDirectory(org domain.OrgID, command domain.DirectoryCommand) (domain.DirectoryResult, error) {
	return c.ChangeDirectory(c.ctx, domain.DirectoryRequest{Principal: c.principal(), Org: org, Command: command, Origin: c.origin()})
}

func (c caller) direct(org domain.OrgID, command domain.DirectoryCommand) domain.DirectoryResult {
	c.w.Helper()
	res, err := c.tryDirectory(org, command)
	if err != nil {
		c.w.Fatalf("%T: %v", command, err)
	}
	return res
}

func (c caller) refusedDirectory(org domain.OrgID, command domain.DirectoryCommand, code domain.Code) {
	c.w.Helper()
	c.w.unchanged(func() {
		c.w.Helper()
		res, err := c.tryDirectory(org, command)
		wantCode(c.w, err, code)
		if diff := cmp.Diff(domain.DirectoryResult{}, res); diff != "" {
			c.w.Errorf("a refusal with a result:\n%s", diff)
		}
	})
}

// envelope mints a data key as this agent and seals a value on the agent's
// side.
func (c caller) envelope(ref domain.SecretRef, field domain.FieldKey, value string) domain.Envelope {
	c.w.Helper()
	secret, err := c.state.Secret(ref)
	if err != nil {
		c.w.Fatal(err)
	}
	minted, err := c.ring.Mint(c.ctx, kms.MintRequest{Ref: ref, Field: field, Agent: c.agent, Keys: secret.KekIDs})
	if err != nil {
		c.w.Fatal(err)
	}
	e, err := seal.Seal(minted.PlaintextKey, minted.Ciphertext, []byte(value))
	if err != nil {
		c.w.Fatal(err)
	}
	return e
}

func (c caller) encrypted(ref domain.SecretRef, field domain.FieldKey, value string) domain.Field {
	c.w.Helper()
	return domain.Field{Key: field, Value: c.envelope(ref, field, value)}
}

// reveal opens the client's envelope of a field, through a released data key.
func (c caller) reveal(ref domain.SecretRef, field domain.FieldKey, e domain.Envelope) (string, error) {
	secret, err := c.state.Secret(ref)
	if err != nil {
		return "", err
	}
	request := kms.ReleaseRequest{Ref: ref, Field: field, Agent: c.agent, Keys: secret.KekIDs, Ciphertext: e.DataKey}
	if f, ok := secret.Field(field); ok {
		if current, ok := f.Value.(domain.Envelope); ok {
			request.Current = current.DataKey
		}
	}
	key, err := c.ring.Release(c.ctx, request)
	if err != nil {
		return "", err
	}
	value, err := seal.Open(key, e)
	return string(value), err
}

// opened gives a secret as the projection has it, its plaintexts opened.
func (n *node) opened(ref domain.SecretRef) domain.Secret {
	n.w.Helper()
	secret, err := n.state.Secret(ref)
	if err != nil {
		n.w.Fatal(err)
	}
	var fields []domain.Field
	for _, f := range secret.Fields {
		fields = append(fields, domain.Field{Key: f.Key, Value: f.Value})
	}
	opened, err := n.ring.Open(n.w.ctx, ref, fields)
	if err != nil {
		n.w.Fatal(err)
	}
	return secret.WithValues(opened)
}

func plain(key domain.FieldKey, value string) domain.Field {
	return domain.Field{Key: key, Value: domain.NewPlaintext(value)}
}

func set(field domain.Field) domain.SetField { return domain.SetField{Field: field} }

func create(fields ...domain.Field) domain.CreateSecret {
	return domain.CreateSecret{Name: "Name", Category: "api", Tags: []string{"a", "b"}, Fields: fields}
}

func rename(name string) domain.UpdateMetadata { return domain.UpdateMetadata{Name: &name} }

// to gives what v holds, which the test knows.
func to[T any](v any) T {
	held, ok := v.(T)
	if !ok {
		panic(fmt.Sprintf("test: a %T", v))
	}
	return held
}

func ptr[T any](v T) *T { return &v }

func wantCode(t reporter, err error, code domain.Code) {
	t.Helper()
	if domain.CodeOf(err) != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

// retryable demands advice when to come back, as every 503 gives it.
func retryable(t reporter, err error) {
	t.Helper()
	var refusal *domain.Error
	if !errors.As(err, &refusal) || refusal.RetryAfter <= 0 {
		t.Errorf("%v does not say when to come back", err)
	}
}

func same(t reporter, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
}

// types gives the types of events, in order.
func types(events []domain.Recorded) []domain.EventType {
	kinds := make([]domain.EventType, len(events))
	for i, r := range events {
		kinds[i] = r.Event.Type()
	}
	return kinds
}

// values gives every stored value of a stream, by field key.
func values(events []domain.Recorded) (fields []domain.Field) {
	for _, r := range events {
		fields = slices.Concat(fields, domain.BodyOf(r.Event).Fields)
	}
	return fields
}
