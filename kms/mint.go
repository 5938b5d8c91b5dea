package kms

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/chancery-dev/chancery/domain"
)

// MintRequest asks for a data key. The caller has been authorized.
type MintRequest struct {
	Ref   domain.SecretRef
	Field domain.FieldKey
	Agent domain.AgentID
	// Keys are the living secret's, empty when it does not exist.
	Keys []domain.KekID
}

// Minted is a new data key.
type Minted struct {
	PlaintextKey []byte // 32 bytes, the caller's to clear
	Ciphertext   string // dataKeyCiphertext
	KekID        domain.KekID
	DekID        domain.DekID
}

// Format prints the ids alone, whatever the verb.
func (m Minted) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "data key "+m.DekID.String()+" under "+m.KekID.String())
}

// MarshalJSON always fails: a generic encoder leaves copies of the key.
func (Minted) MarshalJSON() ([]byte, error) {
	return nil, errors.New("kms: a minted key is not encoded generically")
}

// Mint makes a data key for one field, under the secret's first key. For a
// secret that does not exist the key is the one that this agent was handed
// out for this path in the last 15 minutes, else a new one; one agent may have
// such keys out for OpenMintsPerAgent secrets, and then gets rate_limited.
// Errors also: unavailable.
func (k *Keyring) Mint(ctx context.Context, r MintRequest) (Minted, error) {
	minter := r.Agent.ULID()
	if minter.IsZero() {
		return Minted{}, errors.New("kms: a mint without a valid agent id")
	}
	key, err := k.mintKey(ctx, r)
	if err != nil {
		return Minted{}, living(err)
	}
	defer key.wipe()
	d, dek, err := mintDataKey(&k.source, key, r.Ref, r.Field, minter)
	if err != nil {
		return Minted{}, err
	}
	defer clear(dek[:])
	m := Minted{PlaintextKey: make([]byte, keyLen), Ciphertext: d.encode(), KekID: key.kek, DekID: d.DekID()}
	copy(m.PlaintextKey, dek[:])
	return m, nil
}

func (k *Keyring) mintKey(ctx context.Context, r MintRequest) (secretKey, error) {
	if len(r.Keys) > 0 {
		return k.secrets.get(ctx, r.Ref.Org, r.Keys[0])
	}
	path := openPath{agent: r.Agent, ref: r.Ref}
	key, ok, err := k.handedOut(ctx, path)
	if ok || err != nil {
		return key, err
	}
	if err := k.handOuts.room(r.Agent, k.source.now()); err != nil {
		return secretKey{}, err
	}
	key, err = k.unclaimed(ctx, r.Ref.Org)
	if err != nil {
		return secretKey{}, err
	}
	kek, err := k.handOuts.put(path, key.kek, k.source.now())
	if err == nil && kek == key.kek {
		return key, nil
	}
	// Another request of this agent was faster, or took the last room: this
	// key has been given to nobody.
	k.secrets.cache.evict(key.kek)
	k.pool.giveBack(key, k.source.now())
	key.wipe()
	if err != nil {
		return secretKey{}, err
	}
	return k.secrets.get(ctx, r.Ref.Org, kek)
}

// handedOut gives the key of an open mint, if it is still to be had.
func (k *Keyring) handedOut(ctx context.Context, path openPath) (secretKey, bool, error) {
	kek, ok := k.handOuts.get(path, k.source.now())
	if !ok {
		return secretKey{}, false, nil
	}
	claimed, err := k.cfg.Claims.KekClaimed(kek)
	if err != nil {
		return secretKey{}, false, fmt.Errorf("kms: claims: %w", err)
	}
	if claimed { // The follower will say so in a moment.
		k.handOuts.end(kek)
		return secretKey{}, false, nil
	}
	key, err := k.secrets.get(ctx, path.ref.Org, kek)
	if errors.Is(err, ErrKeyNotFound) {
		k.handOuts.end(kek)
		return secretKey{}, false, nil
	}
	return key, err == nil, err
}
