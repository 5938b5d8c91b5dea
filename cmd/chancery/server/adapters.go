package server

import (
	"context"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/projections"
)

// sealer shows the keyring to the executor.
type sealer struct{ *kms.Keyring }

func (s sealer) Seal(ctx context.Context, ref domain.SecretRef, agent domain.AgentID, keys []domain.KekID,
	eventID ulid.ULID, event domain.Event,
) (domain.Event, error) {
	return s.Keyring.Seal(ctx, kms.SealRequest{Ref: ref, Agent: agent, Keys: keys, EventID: eventID, Event: event})
}

// logStatus shows the log and this node's view of it to the keyring.
type logStatus struct {
	log   eventstore.Log
	state *projections.Store
}

// Status asks the log first, so a head that is applied was applied before the
// answer.
func (l logStatus) Status(ctx context.Context) (kms.LogStatus, error) {
	status, err := l.log.Status(ctx)
	if err != nil {
		return kms.LogStatus{}, err
	}
	return kms.LogStatus{Created: status.Created, Head: status.Head, Stored: status.Stored, Applied: l.state.Position()}, nil
}

// keys shows the keyring to the API.
type keys struct{ ring *kms.Keyring }

// Mint implements httpapi.Keys.
func (k keys) Mint(ctx context.Context, ref domain.SecretRef, field domain.FieldKey, agent domain.AgentID, living []domain.KekID) (
	key [32]byte, ciphertext string, kek domain.KekID, err error,
) {
	m, err := k.ring.Mint(ctx, kms.MintRequest{Ref: ref, Field: field, Agent: agent, Keys: living})
	if err != nil {
		return key, "", kek, err
	}
	copy(key[:], m.PlaintextKey)
	clear(m.PlaintextKey)
	return key, m.Ciphertext, m.KekID, nil
}

// Release implements httpapi.Keys.
func (k keys) Release(ctx context.Context, ref domain.SecretRef, field domain.FieldKey, agent domain.AgentID, living []domain.KekID,
	ciphertext, current string,
) (key [32]byte, err error) {
	raw, err := k.ring.Release(ctx, kms.ReleaseRequest{
		Ref: ref, Field: field, Agent: agent, Keys: living, Ciphertext: ciphertext, Current: current,
	})
	if err != nil {
		return key, err
	}
	copy(key[:], raw)
	clear(raw)
	return key, nil
}

// Open implements httpapi.Keys.
func (k keys) Open(ctx context.Context, ref domain.SecretRef, fields []domain.Field) ([]domain.Field, error) {
	return k.ring.Open(ctx, ref, fields)
}
