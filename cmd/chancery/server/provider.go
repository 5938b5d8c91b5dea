package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/kms"
)

// openProvider opens the local root key, or makes it, which happens only on
// an empty log and an empty key store. Anything else that does not fit
// together is a refusal: a new root key beside old keys would look like a
// working server whose every value is lost.
//
// created tells that the file was made by this call.
func openProvider(ctx context.Context, path string, logEmpty bool, log eventstore.Log, keys kms.KeyStore, rand io.Reader) (p *kms.Local, created bool, err error) {
	keysEmpty, err := kms.StoreEmpty(ctx, keys)
	if err != nil {
		return nil, false, err
	}
	if logEmpty && !keysEmpty {
		return nil, false, errors.New("the log is empty but the key store holds keys: the log was lost or is not restored yet. " +
			"Restore CHANCERY_EVENTS from a backup; nothing was changed")
	}
	_, err = os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && logEmpty:
		p, err = kms.CreateLocal(path, rand)
		return p, err == nil, err
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, fmt.Errorf("the root key file %s is missing beside a log that has events: "+
			"restore it from your copy; without it no value can be opened, and a new one would not help", path)
	case err != nil:
		return nil, false, err
	}
	if keysEmpty {
		if err := refuseLostKeys(ctx, log); err != nil {
			return nil, false, err
		}
	}
	if p, err = kms.OpenLocal(path); err != nil {
		return nil, false, err
	}
	if _, err := kms.CheckProvider(ctx, p, keys); err != nil {
		if errors.Is(err, kms.ErrAuth) || errors.Is(err, kms.ErrDestroyed) {
			return nil, false, fmt.Errorf("the root key file %s is not the one that wrapped the keys in the key store: "+
				"put the right one there; nothing was changed", path)
		}
		return nil, false, err
	}
	return p, false, nil
}

// refuseLostKeys refuses a log with secrets beside an empty key store: none of
// its values opens, and new keys would only hide that.
func refuseLostKeys(ctx context.Context, log eventstore.Log) error {
	for r, err := range log.Read(ctx, 0) {
		if err != nil {
			return err
		}
		if _, ok := r.Event.(domain.SecretCreated); ok {
			return errors.New("the key store is empty but the log has secrets: the keys were lost or are not restored yet. " +
				"Restore CHANCERY_KEYS from a backup; nothing was changed")
		}
	}
	return nil
}

// probe says whether the provider wraps and unwraps.
func probe(ctx context.Context, p kms.Provider, rand io.Reader) error {
	key, aad := make([]byte, 32), []byte("chancery/probe")
	if _, err := io.ReadFull(rand, key); err != nil {
		return err
	}
	wrapped, err := p.Wrap(ctx, key, aad)
	if err != nil {
		return err
	}
	got, err := p.Unwrap(ctx, wrapped, aad)
	if err == nil && !bytes.Equal(got, key) {
		err = errors.New("the key provider gives back another key")
	}
	return err
}
