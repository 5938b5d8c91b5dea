package httpapi

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// generateDataKey mints a data key for a field, whether its secret exists or
// not.
func generateDataKey(c *call) (answer, error) {
	body, err := wire.Decode[wire.GenerateDataKey](c.body)
	if err != nil {
		return answer{}, err
	}
	ref, key, err := c.bodyField(body)
	if err != nil {
		return answer{}, err
	}
	if err := c.may(domain.ActionMint, ref.Scope); err != nil {
		return answer{}, err
	}
	if err := c.fresh(); err != nil {
		return answer{}, err
	}
	s, err := c.config.State.SecretMetadata(ref)
	if err != nil {
		return answer{}, err
	}
	dek, ciphertext, kek, err := c.config.Keys.Mint(c.ctx, ref, key, c.principal.Agent, s.KekIDs)
	defer clear(dek[:])
	if err != nil {
		return answer{}, err
	}
	if err := c.allowed(); err != nil {
		return answer{}, err
	}
	return keyAnswer(&dek, "dataKeyCiphertext", ciphertext, "keyId", kek.String())
}

// decryptDataKey releases a data key. That there is no secret or no field is
// not told apart from a key that is not theirs.
func decryptDataKey(c *call) (answer, error) {
	body, err := wire.Decode[wire.DecryptDataKey](c.body)
	if err != nil {
		return answer{}, err
	}
	ref, key, err := c.bodyField(wire.GenerateDataKey{
		Scope: body.Scope, ScopeID: body.ScopeID, SecretID: body.SecretID, FieldKey: body.FieldKey,
	})
	if err != nil {
		return answer{}, err
	}
	if err := c.may(domain.ActionRelease, ref.Scope); err != nil {
		return answer{}, err
	}
	if err := c.fresh(); err != nil {
		return answer{}, err
	}
	s, err := c.config.State.Secret(ref)
	if err != nil {
		return answer{}, err
	}
	current := ""
	if f, ok := s.Field(key); ok {
		if e, ok := f.Value.(domain.Envelope); ok {
			current = e.DataKey
		}
	}
	dek, err := c.config.Keys.Release(c.ctx, ref, key, c.principal.Agent, s.KekIDs, body.DataKeyCiphertext, current)
	defer clear(dek[:])
	if err != nil {
		return answer{}, errors.Join(c.record(domain.OutcomeFailed, domain.CodeOf(err)), err)
	}
	if err := c.allowed(); err != nil {
		return answer{}, err
	}
	return keyAnswer(&dek)
}

// bodyField reads the field that a body names; these calls have no ids in
// their path.
func (c *call) bodyField(b wire.GenerateDataKey) (domain.SecretRef, domain.FieldKey, error) {
	if _, err := domain.ParseScopeKind(b.Scope); err != nil {
		return domain.SecretRef{}, "", at(err, "/scope")
	}
	scope, err := domain.ParseScope(b.Scope, b.ScopeID)
	if err != nil {
		return domain.SecretRef{}, "", at(err, "/scopeId")
	}
	id, err := domain.ParseSecretID(b.SecretID)
	if err != nil {
		return domain.SecretRef{}, "", at(err, "/secretId")
	}
	key, err := domain.ParseFieldKey(b.FieldKey)
	if err != nil {
		return domain.SecretRef{}, "", at(err, "/fieldKey")
	}
	c.access.Field = key
	return c.refOf(scope, id), key, nil
}

// keyAnswer builds the whole body in one buffer, so that the key's bytes
// stand nowhere that is not cleared: encoding/json would leave copies. The
// members are names and texts by turns.
func keyAnswer(dek *[32]byte, members ...string) (answer, error) {
	size := len(`{"data":{"plaintextKey":""}}`) + base64.StdEncoding.EncodedLen(len(dek))
	for _, m := range members {
		size += len(m) + len(`"":`)
		if strings.ContainsFunc(m, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
			return answer{}, errors.New("httpapi: a key's wrapping is not plain text")
		}
	}
	b := make([]byte, 0, size)
	b = append(b, `{"data":{"plaintextKey":"`...)
	b = base64.StdEncoding.AppendEncode(b, dek[:])
	b = append(b, '"')
	for i := 0; i+1 < len(members); i += 2 {
		b = append(b, `,"`+members[i]+`":"`+members[i+1]+`"`...)
	}
	b = append(b, `}}`...)
	return answer{secret: b}, nil
}
