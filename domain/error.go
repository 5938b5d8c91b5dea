package domain

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Code is the machine-readable reason of a refusal, as it stands in the
// "code" member of a problem. Codes are stable: clients branch on them.
type Code string

// Every code there is. [Codes] lists them.
const (
	CodeInvalidRequest       Code = "invalid_request"
	CodeInvalidJSON          Code = "invalid_json"
	CodeInvalidID            Code = "invalid_id"
	CodeInvalidQuery         Code = "invalid_query"
	CodeInvalidCursor        Code = "invalid_cursor"
	CodeInvalidEnvelope      Code = "invalid_envelope"
	CodeTooLong              Code = "too_long"
	CodeEmptyPatch           Code = "empty_patch"
	CodePreconditionInvalid  Code = "precondition_invalid"
	CodeUnauthenticated      Code = "unauthenticated"
	CodeForbidden            Code = "forbidden"
	CodeRouteNotFound        Code = "route_not_found"
	CodeSecretNotFound       Code = "secret_not_found"
	CodeFieldNotFound        Code = "field_not_found"
	CodeNotFound             Code = "not_found"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeBodyTooLarge         Code = "body_too_large"
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	CodeSecretExists         Code = "secret_exists"
	CodeSensitivityDowngrade Code = "sensitivity_downgrade"
	CodeDataKeyReused        Code = "data_key_reused"
	CodeTooManyFields        Code = "too_many_fields"
	CodeAmbiguousScope       Code = "ambiguous_scope"
	CodeKeyAlreadyIssued     Code = "key_already_issued"
	CodeConflict             Code = "conflict"
	CodeIdempotencyExpired   Code = "idempotency_expired"
	CodeVersionMismatch      Code = "version_mismatch"
	CodeDataKeyMismatch      Code = "data_key_mismatch"
	CodeIdempotencyKeyReused Code = "idempotency_key_reused"
	CodeRateLimited          Code = "rate_limited"
	CodeUnavailable          Code = "unavailable"
	CodePositionNotReached   Code = "position_not_reached"
	CodeOutcomeUnknown       Code = "outcome_unknown"
	CodeInternal             Code = "internal"
)

var codes = []Code{
	CodeInvalidRequest, CodeInvalidJSON, CodeInvalidID, CodeInvalidQuery, CodeInvalidCursor,
	CodeInvalidEnvelope, CodeTooLong, CodeEmptyPatch, CodePreconditionInvalid, CodeUnauthenticated,
	CodeForbidden, CodeRouteNotFound, CodeSecretNotFound, CodeFieldNotFound, CodeNotFound,
	CodeMethodNotAllowed, CodeBodyTooLarge, CodeUnsupportedMediaType, CodeSecretExists,
	CodeSensitivityDowngrade, CodeDataKeyReused, CodeTooManyFields, CodeAmbiguousScope,
	CodeKeyAlreadyIssued, CodeConflict, CodeIdempotencyExpired, CodeVersionMismatch,
	CodeDataKeyMismatch, CodeIdempotencyKeyReused, CodeRateLimited, CodeUnavailable,
	CodePositionNotReached, CodeOutcomeUnknown, CodeInternal,
}

// Codes lists every code, in the order of the wire contract's table.
func Codes() []Code { return slices.Clone(codes) }

// Error is a refusal that a caller may be shown. Its detail never holds a
// value, an envelope, a key or a token.
type Error struct {
	Code   Code
	Detail string
	// Fields says which members of the request are at fault, if any.
	Fields []FieldError
	// EventID stands beside outcome_unknown: the event that may have been
	// stored.
	EventID string
	// RetryAfter is the least wait before a retry can help; 0 means no advice.
	RetryAfter time.Duration
}

// FieldError names one member of the request by its JSON pointer (RFC 6901).
type FieldError struct {
	Field string
	Code  Code
}

// Errorf makes an [Error]. Arguments must not hold what a client sent as a
// value.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// At adds the JSON pointer of the member that is at fault.
func (e *Error) At(pointer string) *Error {
	e.Fields = append(e.Fields, FieldError{Field: pointer, Code: e.Code})
	return e
}

// Error implements error.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Detail }

// Is makes errors.Is(err, Errorf(code, "")) hold for every error of the same
// code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error) // one link of the chain; errors.Is walks it
	return ok && t.Code == e.Code
}

// CodeOf gives the code of the first [Error] in err's chain, internal for any
// other error and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}
