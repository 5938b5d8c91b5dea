package httpapi

import (
	"errors"
	"strconv"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// Bodies become commands here: shape alone is looked at, each fault is named
// by its pointer.

// at names the member that a refusal is about.
func at(err error, pointer string) error {
	if e, ok := errors.AsType[*domain.Error](err); ok {
		return e.At(pointer)
	}
	return err
}

// createCommand reads the body of a creation.
func (c *call) createCommand() (domain.SecretCommand, error) {
	body, err := wire.Decode[wire.CreateSecret](c.body)
	if err != nil {
		return nil, err
	}
	command := domain.CreateSecret{Expect: c.expect}
	if command.Name, err = domain.ParseName(body.SecretName); err != nil {
		return nil, at(err, "/secretName")
	}
	if command.Category, err = domain.ParseCategory(body.Category); err != nil {
		return nil, at(err, "/category")
	}
	if command.Tags, err = domain.ParseTags(body.Tags); err != nil {
		return nil, at(err, "/tags")
	}
	seen := map[domain.FieldKey]bool{}
	for i, f := range body.Fields {
		pointer := "/fields/" + strconv.Itoa(i)
		key, err := domain.ParseFieldKey(f.Key)
		if err != nil {
			return nil, at(err, pointer+"/key")
		}
		if seen[key] {
			return nil, domain.Errorf(domain.CodeInvalidRequest, "two fields have the same key").At(pointer + "/key")
		}
		seen[key] = true
		value, err := fieldValue(f.Sensitivity, f.Value, f.Envelope, pointer)
		if err != nil {
			return nil, err
		}
		command.Fields = append(command.Fields, domain.Field{Key: key, Value: value})
	}
	return command, nil
}

// updateCommand reads the body of a change of metadata.
func (c *call) updateCommand() (domain.SecretCommand, error) {
	body, err := wire.Decode[wire.UpdateSecret](c.body)
	if err != nil {
		return nil, err
	}
	if body == (wire.UpdateSecret{}) {
		return nil, domain.Errorf(domain.CodeEmptyPatch, "a patch has at least one member")
	}
	if body.SecretName != nil {
		if _, err := domain.ParseName(*body.SecretName); err != nil {
			return nil, at(err, "/secretName")
		}
	}
	if body.Category != nil {
		if _, err := domain.ParseCategory(*body.Category); err != nil {
			return nil, at(err, "/category")
		}
	}
	if body.Tags != nil {
		if *body.Tags, err = domain.ParseTags(*body.Tags); err != nil {
			return nil, at(err, "/tags")
		}
	}
	command := domain.UpdateMetadata{Name: body.SecretName, Category: body.Category, Tags: body.Tags, Expect: c.expect}
	if body.RotateEvery != nil {
		command.RotateEvery = new(domain.RotateEvery)
		if text := body.RotateEvery.Value; text != nil {
			if *command.RotateEvery, err = domain.ParseRotateEvery(*text); err != nil {
				return nil, at(err, "/rotateEvery")
			}
		}
	}
	if body.ExpiresAt != nil {
		command.ExpiresAt = new(time.Time)
		if given := body.ExpiresAt.Value; given != nil {
			if *command.ExpiresAt, err = domain.ParseExpiry(given.Time); err != nil {
				return nil, at(err, "/expiresAt")
			}
		}
	}
	return command, nil
}

// setCommand reads the body of a field's change.
func (c *call) setCommand(key domain.FieldKey) (domain.SecretCommand, error) {
	body, err := wire.Decode[wire.SetField](c.body)
	if err != nil {
		return nil, err
	}
	value, err := fieldValue(body.Sensitivity, body.Value, body.Envelope, "")
	if err != nil {
		return nil, err
	}
	return domain.SetField{Field: domain.Field{Key: key, Value: value}, Expect: c.expect}, nil
}

// fieldValue sees that exactly the member stands there that the sensitivity
// calls for.
func fieldValue(sensitivity string, value *wire.Value, envelope *wire.Envelope, pointer string) (domain.Value, error) {
	kind, err := domain.ParseSensitivity(sensitivity)
	if err != nil {
		return nil, at(err, pointer+"/sensitivity")
	}
	switch kind {
	case domain.SensitivityPlaintext:
		switch {
		case envelope != nil:
			return nil, domain.Errorf(domain.CodeInvalidRequest, "a plaintext field has no envelope").At(pointer + "/envelope")
		case value == nil:
			return nil, domain.Errorf(domain.CodeInvalidRequest, "a plaintext field has a value").At(pointer + "/value")
		case len(*value) > domain.MaxValueLen:
			return nil, domain.Errorf(domain.CodeTooLong, "a value has at most %d bytes", domain.MaxValueLen).At(pointer + "/value")
		}
		return domain.NewPlaintext(string(*value)), nil
	case domain.SensitivityEncrypted:
		switch {
		case value != nil:
			return nil, domain.Errorf(domain.CodeInvalidRequest, "an encrypted field has no value").At(pointer + "/value")
		case envelope == nil:
			return nil, domain.Errorf(domain.CodeInvalidRequest, "an encrypted field has an envelope").At(pointer + "/envelope")
		}
	}
	e, err := envelope.Domain(pointer + "/envelope")
	if err != nil {
		return nil, err
	}
	return e, nil
}
