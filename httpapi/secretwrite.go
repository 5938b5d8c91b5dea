package httpapi

import (
	"errors"
	"net/http"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// createSecret creates a secret, or finds it created.
func createSecret(c *call) (answer, error) {
	ref, err := c.ref()
	if err != nil {
		return answer{}, err
	}
	command, err := c.createCommand()
	if err != nil {
		return answer{}, err
	}
	result, err := c.changeSecret(domain.ActionWrite, ref, command)
	if err != nil {
		return answer{}, err
	}
	a, err := c.written(result)
	if result.Event != "" {
		a.status = http.StatusCreated
	}
	return a, err
}

// updateSecret changes a secret's metadata.
func updateSecret(c *call) (answer, error) {
	ref, err := c.ref()
	if err != nil {
		return answer{}, err
	}
	command, err := c.updateCommand()
	if err != nil {
		return answer{}, err
	}
	if err := c.mayChange(domain.ActionWrite, ref); err != nil {
		return answer{}, err
	}
	// The answer shows values that the request did not bring. It is recorded
	// as a read before anything is stored: a change that is stored may not be
	// answered with a failure.
	now, err := c.config.State.SecretMetadata(ref)
	if err != nil {
		return answer{}, err
	}
	if now.Exists {
		c.access.Action = string(domain.ActionRead)
		if err := c.allowed(); err != nil {
			return answer{}, err
		}
	}
	result, err := c.change(ref, command)
	if err != nil {
		return answer{}, err
	}
	data, err := aggregateOf(result.Secret)
	return answer{data: data, version: result.Version, position: result.Position}, err
}

// deleteSecret deletes a secret and has its keys destroyed.
func deleteSecret(c *call) (answer, error) {
	ref, err := c.ref()
	if err != nil {
		return answer{}, err
	}
	result, err := c.changeSecret(domain.ActionRemove, ref, domain.DeleteSecret{Expect: c.expect})
	if err != nil {
		return answer{}, err
	}
	data := wire.DeletedSecret{
		SecretID: string(ref.ID), DeletedAt: wire.NewTime(result.At), Version: result.Version, KeyDestroyed: result.KeyDestroyed,
	}
	return answer{data: data, version: result.Version, position: result.Position}, nil
}

// setField adds a field or replaces its value.
func setField(c *call) (answer, error) {
	ref, key, err := c.fieldRef()
	if err != nil {
		return answer{}, err
	}
	command, err := c.setCommand(key)
	if err != nil {
		return answer{}, err
	}
	c.access.Field = key
	result, err := c.changeSecret(domain.ActionWrite, ref, command)
	if err != nil {
		return answer{}, err
	}
	f, ok := result.Secret.Field(key)
	if !ok {
		return answer{}, errors.New("httpapi: a field that was set is not in the result")
	}
	data, err := fieldOf(f)
	if err != nil {
		return answer{}, err
	}
	return answer{data: data, version: result.Version, position: result.Position}, c.shown(result)
}

// removeField removes a field.
func removeField(c *call) (answer, error) {
	ref, key, err := c.fieldRef()
	if err != nil {
		return answer{}, err
	}
	c.access.Field = key
	result, err := c.changeSecret(domain.ActionRemove, ref, domain.RemoveField{Key: key, Expect: c.expect})
	if err != nil {
		return answer{}, err
	}
	data := wire.RemovedField{SecretID: string(ref.ID), FieldKey: string(key), Version: result.Version}
	return answer{data: data, version: result.Version, position: result.Position}, nil
}

// changeSecret authorizes a change and has it carried out.
func (c *call) changeSecret(a domain.Action, ref domain.SecretRef, command domain.SecretCommand) (domain.SecretResult, error) {
	if err := c.mayChange(a, ref); err != nil {
		return domain.SecretResult{}, err
	}
	return c.change(ref, command)
}

// mayChange authorizes a change on this node.
func (c *call) mayChange(a domain.Action, ref domain.SecretRef) error {
	if err := c.may(a, ref.Scope); err != nil {
		return err
	}
	// On a node that has lost the log rights may be long revoked, and an
	// answer can show values.
	return c.fresh()
}

// change has a change carried out.
func (c *call) change(ref domain.SecretRef, command domain.SecretCommand) (domain.SecretResult, error) {
	result, err := c.config.Writer.ChangeSecret(c.ctx, domain.SecretRequest{
		Principal: c.principal, Ref: ref, Command: command, Origin: c.origin,
	})
	return result, c.refused(err)
}

// written answers a change with the secret as it is now.
func (c *call) written(result domain.SecretResult) (answer, error) {
	data, err := aggregateOf(result.Secret)
	if err != nil {
		return answer{}, err
	}
	return answer{data: data, version: result.Version, position: result.Position}, c.shown(result)
}

// shown records a write that appended nothing but shows what was there. An
// append needs no access record: the event is one.
func (c *call) shown(result domain.SecretResult) error {
	if result.Event != "" && !result.Replayed {
		return nil
	}
	c.access.Action = string(domain.ActionRead)
	return c.allowed()
}
