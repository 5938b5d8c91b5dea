package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

// sealers is how many make encrypted fields at once, with the client that
// programs use.
const sealers = 16

// preloadSealed makes the secrets with an encrypted field and keeps what their
// data keys are asked for by.
func (w *world) preloadSealed(ctx context.Context) error {
	w.dataKeys = make([]string, w.o.sealed)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var number atomic.Int64
	var making sync.WaitGroup
	for i := range sealers {
		c, err := w.connect(w.keys[i%len(w.keys)])
		if err != nil {
			return err
		}
		making.Go(func() {
			for n := int(number.Add(1) - 1); n < w.o.sealed && ctx.Err() == nil; n = int(number.Add(1) - 1) {
				var err error
				if w.dataKeys[n], err = w.createSealed(ctx, c, n); err != nil {
					cancel(err)
				}
			}
		})
	}
	making.Wait()
	return context.Cause(ctx)
}

var errNoEnvelope = errors.New("the field was not sealed")

func (w *world) createSealed(ctx context.Context, c *client.Client, n int) (dataKey string, err error) {
	ref := client.SecretRef{Scope: w.scope(), ID: domain.SecretID(fmt.Sprintf(sealedID, n))}
	field, err := c.SealField(ctx, ref.Field(encryptedField), []byte(w.value()))
	if err != nil {
		return "", err
	}
	e, ok := field.Value.(domain.Envelope)
	if !ok {
		return "", errNoEnvelope
	}
	_, err = c.CreateSecret(ctx, ref, client.NewSecret{
		Name: "A sealed secret", Category: "sealed",
		Fields: []domain.Field{client.PlaintextField("user", "someone@example.com"), field},
	})
	return e.DataKey, err
}
