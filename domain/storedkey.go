package domain

import "errors"

// StoredKey is one wrapped key as the key store holds it.
type StoredKey struct {
	ID       string // kekId in hex, or the org key's id
	Org      string // of an org key; "" for a secret key
	Sequence uint64 // in the key store; later keys have higher ones
	Record   []byte // opaque to the store
}

// What a key store answers.
var (
	// ErrKeyExists says that the id is taken; nothing was stored.
	ErrKeyExists = errors.New("domain: a key with this id is stored already")
	// ErrKeyNotFound says that no key has the id: it was never stored, or it
	// was destroyed.
	ErrKeyNotFound = errors.New("domain: no such key is stored")
)
