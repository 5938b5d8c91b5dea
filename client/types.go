package client

import (
	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// What the API answers: the server's own shapes, so that neither side can
// drift from the other. Those that can hold a value print it redacted.
type (
	// Identity is who the API key speaks for.
	Identity = wire.Whoami
	// NamedScope is a scope with its name.
	NamedScope = wire.Scope
	// ScopeRole is a scope that the caller belongs to, with its role there.
	ScopeRole = wire.ScopeRole

	// Aggregate is a secret without its envelopes.
	Aggregate = wire.Aggregate
	// Secret is a secret with the envelopes of its encrypted fields.
	Secret = wire.Secret
	// Field is one field with its value or its envelope.
	Field = wire.Field
	// Envelope is EncryptedEnvelopeV1 in its JSON form.
	Envelope = wire.Envelope
	// RemovedField is the answer to a removal.
	RemovedField = wire.RemovedField
	// DeletedSecret is the answer to a deletion. KeyDestroyed false says that
	// the secret is gone but its keys are still to be destroyed.
	DeletedSecret = wire.DeletedSecret

	// ResolvedSecret is a secret found by its id alone: where, and what it
	// hides.
	ResolvedSecret = wire.ResolvedSecret
	// EffectiveSecret is one row of what resolves for the caller.
	EffectiveSecret = wire.EffectiveSecret
	// HistoryEntry is one recorded change of a secret: metadata only.
	HistoryEntry = wire.HistoryEntry
	// HistoryRow is a change of a secret or an access to it.
	HistoryRow = wire.HistoryRow
	// AccessRecord is one record of the access log.
	AccessRecord = wire.AccessRecord
	// ReportName is a compliance report that the server makes.
	ReportName = wire.ReportName
	// LogKey is a public key that a log's checkpoints are signed with.
	LogKey = wire.LogKey

	// DirectoryItem is an org, team, project or agent.
	DirectoryItem = wire.DirectoryItem
	// Membership is one role of an agent on a scope.
	Membership = wire.Membership
	// RevokedMembership is the answer to a revocation.
	RevokedMembership = wire.RevokedMembership
	// IssuedKey is a new API key: the only time that its token is told.
	IssuedKey = wire.IssuedKey
	// APIKey is an API key without its token.
	APIKey = wire.APIKey
)

// RefOf names the secret of an aggregate; of a resolved one, at the scope
// that it resolved from.
func RefOf(a Aggregate) SecretRef {
	return SecretRef{
		Scope: domain.Scope{Kind: domain.ScopeKind(a.Scope), ID: a.ScopeID},
		ID:    domain.SecretID(a.SecretID),
	}
}
