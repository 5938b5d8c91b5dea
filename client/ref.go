package client

import (
	"net/url"

	"github.com/chancery-dev/chancery/domain"
)

// SecretRef names a secret of the caller's organization.
type SecretRef struct {
	Scope domain.Scope
	ID    domain.SecretID
}

// String gives kind/scopeId/secretId.
func (r SecretRef) String() string { return r.Scope.String() + "/" + string(r.ID) }

// Field names one of the secret's fields.
func (r SecretRef) Field(key domain.FieldKey) FieldRef { return FieldRef{Secret: r, Key: key} }

// FieldRef names a field of a secret.
type FieldRef struct {
	Secret SecretRef
	Key    domain.FieldKey
}

// String gives kind/scopeId/secretId/fieldKey.
func (r FieldRef) String() string { return r.Secret.String() + "/" + string(r.Key) }

const secretsPath = "/agent/secrets/"

// scopePath checks the shape before it becomes a path: the parsers admit
// nothing that a URL would need to escape.
func scopePath(s domain.Scope) (string, error) {
	if _, err := domain.ParseScope(string(s.Kind), s.ID); err != nil {
		return "", err
	}
	return secretsPath + s.String(), nil
}

func (r SecretRef) path() (string, error) {
	scope, err := scopePath(r.Scope)
	if err != nil {
		return "", err
	}
	if _, err := domain.ParseSecretID(string(r.ID)); err != nil {
		return "", err
	}
	return scope + "/" + string(r.ID), nil
}

func (r FieldRef) path() (string, error) {
	secret, err := r.Secret.path()
	if err != nil {
		return "", err
	}
	if _, err := domain.ParseFieldKey(string(r.Key)); err != nil {
		return "", err
	}
	return secret + "/fields/" + string(r.Key), nil
}

// set adds a query parameter unless it is empty.
func set(q url.Values, name, value string) url.Values {
	if value != "" {
		q.Set(name, value)
	}
	return q
}
