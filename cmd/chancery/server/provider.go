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
	"github.com/chancery-dev/chancery/kms"
)

// openProvider opens the local root key, or makes it, which happens only on
// an empty log and an empty key store. Anything else that does not fit
// together is a refusal: a new root key beside old keys would look like a
// working server whose every value is lost.
//
// created tells that the file was made by this call.
func openProvider(ctx context.Context, path string, logEmpty bool, b *broker, rand io.Reader) (p *kms.Local, created bool, err error) {
	keysEmpty, err := kms.StoreEmpty(ctx, b.keys)
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
	if err := refuseLostKeys(ctx, b, keysEmpty); err != nil {
		return nil, false, err
	}
	if p, err = kms.OpenLocal(path); err != nil {
		return nil, false, err
	}
	if _, err := kms.CheckProvider(ctx, p, b.keys); err != nil {
		if errors.Is(err, kms.ErrAuth) || errors.Is(err, kms.ErrDestroyed) {
			return nil, false, fmt.Errorf("the root key file %s is not the one that wrapped the keys in the key store: "+
				"put the right one there; nothing was changed", path)
		}
		return nil, false, err
	}
	return p, false, nil
}

// refuseLostKeys refuses a log with secrets beside a key store without any
// key, and one with living secrets beside a key store without any secret key:
// none of its values opens, and new keys would only hide that.
func refuseLostKeys(ctx context.Context, b *broker, empty bool) error {
	for _, err := range b.keys.SecretKeys(ctx, 0) {
		return err // there is one
	}
	if b.slots != nil && (len(b.slots.Torn()) > 0 || b.slots.Problem() != nil) {
		return nil // damaged, not lost: readiness and fsck say where
	}
	living := map[domain.SecretRef]struct{}{}
	for r, err := range b.log.Read(ctx, 0) {
		if err != nil {
			return err
		}
		secret, ok := r.Stream.(domain.SecretStream)
		if !ok {
			continue
		}
		switch r.Event.(type) { //nolint:gochecksumtype // the others neither begin nor end a secret.
		case domain.SecretCreated:
			living[secret.Ref] = struct{}{}
		case domain.SecretDeleted:
			if !empty { // an organization's key outlives its secrets
				delete(living, secret.Ref)
			}
		}
	}
	if len(living) > 0 {
		return fmt.Errorf("the key store is empty but the log has secrets: the keys were lost or are not restored yet. "+
			"Restore %s from a backup; nothing was changed", b.keyNames())
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
