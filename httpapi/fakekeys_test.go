package httpapi_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"sync"

	"github.com/chancery-dev/chancery/domain"
)

// keyring wraps a key by writing down whose it is.
type keyring struct {
	mu     sync.Mutex
	calls  int
	fail   error
	onCall func()
}

var dek = [32]byte(bytes.Repeat([]byte{0xd7}, 32))

func wrapping(ref domain.SecretRef, field domain.FieldKey) string {
	return base64.StdEncoding.EncodeToString([]byte(ref.String() + "#" + string(field)))
}

func (k *keyring) touch() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	if k.onCall != nil {
		k.onCall()
	}
	return k.fail
}

func (k *keyring) Mint(_ context.Context, ref domain.SecretRef, field domain.FieldKey, _ domain.AgentID, keys []domain.KekID) ([32]byte, string, domain.KekID, error) {
	if err := k.touch(); err != nil {
		return [32]byte{}, "", domain.KekID{}, err
	}
	return dek, wrapping(ref, field), append(keys, domain.KekID{9})[0], nil
}

func (k *keyring) Release(_ context.Context, ref domain.SecretRef, field domain.FieldKey, _ domain.AgentID, _ []domain.KekID, ciphertext, current string) ([32]byte, error) {
	if err := k.touch(); err != nil {
		return [32]byte{}, err
	}
	if ciphertext != wrapping(ref, field) || ciphertext != current {
		return [32]byte{}, domain.Errorf(domain.CodeDataKeyMismatch, "the data key is not for this field")
	}
	return dek, nil
}

func (k *keyring) Open(_ context.Context, _ domain.SecretRef, fields []domain.Field) ([]domain.Field, error) {
	opened := slices.Clone(fields)
	for i, f := range fields {
		if s, ok := f.Value.(domain.Sealed); ok {
			opened[i].Value = domain.NewPlaintext(string(reversed(string(s.Box))))
		}
	}
	return opened, k.touch()
}

// recorder keeps access records in memory.
type recorder struct {
	mu      sync.Mutex
	records []domain.Access
	all     []domain.Access
	examine int // bounds the pages of a journal, if set
	fail    bool
}

func (r *recorder) Record(_ context.Context, a domain.Access) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail {
		return errors.New("no space left on device")
	}
	r.records, r.all = append(r.records, a), append(r.all, a)
	return nil
}

// take gives what was recorded since it was last asked.
func (r *recorder) take() []domain.Access {
	r.mu.Lock()
	defer r.mu.Unlock()
	records := r.records
	r.records = nil
	return records
}

// snapshot gives what was recorded since take, and leaves it there.
func (r *recorder) snapshot() []domain.Access {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records[:len(r.records):len(r.records)]
}
