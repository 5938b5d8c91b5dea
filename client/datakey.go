package client

import (
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
	"github.com/chancery-dev/chancery/kms/seal"
)

// DataKey is a fresh one-time data key. It never prints.
type DataKey struct {
	Plaintext  []byte // 32 bytes; see Clear
	Ciphertext string // goes into the envelope as it is
	KeyID      string
}

// Clear overwrites the key.
func (k DataKey) Clear() { clear(k.Plaintext) }

// String gives [domain.Redacted].
func (DataKey) String() string { return domain.Redacted }

// GoString gives [domain.Redacted].
func (DataKey) GoString() string { return domain.Redacted }

// LogValue gives [domain.Redacted].
func (DataKey) LogValue() slog.Value { return slog.StringValue(domain.Redacted) }

// keyBytes decodes a key in place of a string: strings can't be cleared.
type keyBytes []byte

// UnmarshalJSON reads 32 bytes of standard base64. Its error repeats nothing.
func (k *keyBytes) UnmarshalJSON(text []byte) error {
	if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return errAnswer
	}
	key := make([]byte, base64.StdEncoding.DecodedLen(len(text)-2))
	n, err := base64.StdEncoding.Strict().Decode(key, text[1:len(text)-1])
	if err != nil || n != seal.KeyLen {
		clear(key)
		return errAnswer
	}
	*k = key[:n:n]
	return nil
}

// GenerateDataKey mints a data key for one write of one field within 15
// minutes. The secret need not exist yet. The caller clears the key.
func (c *Client) GenerateDataKey(ctx context.Context, ref FieldRef, opts ...Option) (DataKey, error) {
	if _, err := ref.path(); err != nil {
		return DataKey{}, err
	}
	s := ref.Secret
	body := wire.GenerateDataKey{
		Scope: string(s.Scope.Kind), ScopeID: s.Scope.ID, SecretID: string(s.ID), FieldKey: string(ref.Key),
	}
	got, err := send[struct {
		PlaintextKey      keyBytes `json:"plaintextKey"`
		DataKeyCiphertext string   `json:"dataKeyCiphertext"`
		KeyID             string   `json:"keyId"`
	}](ctx, c, call{kind: exchange, method: http.MethodPost, path: secretsPath + "generate-data-key", body: body}, opts)
	if err != nil {
		return DataKey{}, err
	}
	if len(got.PlaintextKey) != seal.KeyLen || got.DataKeyCiphertext == "" {
		return DataKey{}, errAnswer
	}
	return DataKey{Plaintext: got.PlaintextKey, Ciphertext: got.DataKeyCiphertext, KeyID: got.KeyID}, nil
}

// DecryptDataKey releases the data key (32 bytes) of the field's current
// envelope, or of a fresh mint of the same agent; anything else is
// data_key_mismatch. The caller clears it.
func (c *Client) DecryptDataKey(ctx context.Context, ref FieldRef, dataKeyCiphertext string, opts ...Option) ([]byte, error) {
	if _, err := ref.path(); err != nil {
		return nil, err
	}
	s := ref.Secret
	body := wire.DecryptDataKey{
		Scope: string(s.Scope.Kind), ScopeID: s.Scope.ID, SecretID: string(s.ID), FieldKey: string(ref.Key),
		DataKeyCiphertext: dataKeyCiphertext,
	}
	got, err := send[struct {
		PlaintextKey keyBytes `json:"plaintextKey"`
	}](ctx, c, call{kind: exchange, method: http.MethodPost, path: secretsPath + "decrypt-data-key", body: body}, opts)
	if err != nil {
		return nil, err
	}
	if len(got.PlaintextKey) != seal.KeyLen {
		return nil, errAnswer
	}
	return got.PlaintextKey, nil
}
