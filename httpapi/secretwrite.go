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
	result, err := c.changeSecret(domain.ActionWrite, ref, command)
	if err != nil {
		return answer{}, err
	}
	return c.written(result)
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
	if err := c.may(a, ref.Scope); err != nil {
		return domain.SecretResult{}, err
	}
	// On a node that has lost the log rights may be long revoked, and an
	// answer can show values.
	if err := c.fresh(); err != nil {
		return domain.SecretResult{}, err
	}
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
