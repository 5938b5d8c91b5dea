package server

import (
	"context"
	"fmt"
	"sync"
	"time"

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

	mu      sync.Mutex
	created time.Time // of the log that first is of
	first   ulid.ULID
}

// Status asks the log first, so a head that is applied was applied before the
// answer.
func (l *logStatus) Status(ctx context.Context) (s kms.LogStatus, err error) {
	status, err := l.log.Status(ctx)
	if err != nil {
		return s, err
	}
	s.Stored = status.Stored
	if s.Head = status.Head; s.Head > 0 {
		if s.FirstEvent, err = l.firstEvent(ctx, status.Created); err != nil {
			return s, err
		}
	}
	s.Applied, s.AppliedEvent = l.state.Applied()
	return s, nil
}

// firstEvent reads the first event once for each log.
func (l *logStatus) firstEvent(ctx context.Context, created time.Time) (ulid.ULID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first.IsZero() || !l.created.Equal(created) {
		first, err := l.EventAt(ctx, 1)
		if err != nil {
			return ulid.ULID{}, err
		}
		l.created, l.first = created, first
	}
	return l.first, nil
}

// EventAt implements [kms.EventLog].
func (l *logStatus) EventAt(ctx context.Context, position uint64) (ulid.ULID, error) {
	for r, err := range l.log.Read(ctx, position-1) {
		if err == nil && r.Position != position {
			break
		}
		return r.ID, err
	}
	if err := ctx.Err(); err != nil {
		return ulid.ULID{}, err
	}
	return ulid.ULID{}, fmt.Errorf("the log has no position %d", position)
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
