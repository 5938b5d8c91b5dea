package wire

import (
	"net/http"

	"github.com/chancery-dev/chancery/domain"
)

// outcome is what a code means over HTTP.
type outcome struct {
	status    int
	title     string
	retryable bool
}

// outcomeOf is the table of the wire contract. ok is false for a code that
// is not in [domain.Codes].
func outcomeOf(code domain.Code) (o outcome, ok bool) {
	switch code {
	case domain.CodeInvalidRequest:
		return outcome{http.StatusBadRequest, "The request is invalid", false}, true
	case domain.CodeInvalidJSON:
		return outcome{http.StatusBadRequest, "The body is not valid JSON", false}, true
	case domain.CodeInvalidID:
		return outcome{http.StatusBadRequest, "An id is malformed", false}, true
	case domain.CodeInvalidQuery:
		return outcome{http.StatusBadRequest, "A query parameter is invalid", false}, true
	case domain.CodeInvalidCursor:
		return outcome{http.StatusBadRequest, "The cursor is invalid", false}, true
	case domain.CodeInvalidEnvelope:
		return outcome{http.StatusBadRequest, "The envelope is malformed", false}, true
	case domain.CodeTooLong:
		return outcome{http.StatusBadRequest, "A member is too long", false}, true
	case domain.CodeEmptyPatch:
		return outcome{http.StatusBadRequest, "The patch changes nothing", false}, true
	case domain.CodePreconditionInvalid:
		return outcome{http.StatusBadRequest, "The precondition is invalid", false}, true
	case domain.CodeUnauthenticated:
		return outcome{http.StatusUnauthorized, "The API key is missing or not accepted", false}, true
	case domain.CodeForbidden:
		return outcome{http.StatusForbidden, "The caller may not do this", false}, true
	case domain.CodeRouteNotFound:
		return outcome{http.StatusNotFound, "There is no such route", false}, true
	case domain.CodeSecretNotFound:
		return outcome{http.StatusNotFound, "There is no such secret", false}, true
	case domain.CodeFieldNotFound:
		return outcome{http.StatusNotFound, "There is no such field", false}, true
	case domain.CodeNotFound:
		return outcome{http.StatusNotFound, "There is no such thing", false}, true
	case domain.CodeMethodNotAllowed:
		return outcome{http.StatusMethodNotAllowed, "The route has no such method", false}, true
	case domain.CodeBodyTooLarge:
		return outcome{http.StatusRequestEntityTooLarge, "The body is too large", false}, true
	case domain.CodeUnsupportedMediaType:
		return outcome{http.StatusUnsupportedMediaType, "The body is not declared as JSON", false}, true
	case domain.CodeSecretExists:
		return outcome{http.StatusConflict, "Another secret has this id", false}, true
	case domain.CodeSensitivityDowngrade:
		return outcome{http.StatusConflict, "An encrypted field cannot become plaintext", false}, true
	case domain.CodeDataKeyReused:
		return outcome{http.StatusConflict, "The data key has been used before", false}, true
	case domain.CodeTooManyFields:
		return outcome{http.StatusConflict, "The secret has too many fields", false}, true
	case domain.CodeAmbiguousScope:
		return outcome{http.StatusConflict, "The secret resolves from several scopes", false}, true
	case domain.CodeKeyAlreadyIssued:
		return outcome{http.StatusConflict, "The API key has been issued before", false}, true
	case domain.CodeConflict:
		return outcome{http.StatusConflict, "The change lost against others", true}, true
	case domain.CodeIdempotencyExpired:
		return outcome{http.StatusGone, "What the repeated request made is gone", false}, true
	case domain.CodeVersionMismatch:
		return outcome{http.StatusPreconditionFailed, "The secret is at another version", false}, true
	case domain.CodeDataKeyMismatch:
		return outcome{http.StatusUnprocessableEntity, "The data key is not for this field", false}, true
	case domain.CodeIdempotencyKeyReused:
		return outcome{http.StatusUnprocessableEntity, "The idempotency key belongs to another request", false}, true
	case domain.CodeRateLimited:
		return outcome{http.StatusTooManyRequests, "Too many requests", true}, true
	case domain.CodeUnavailable:
		return outcome{http.StatusServiceUnavailable, "The service is unavailable", true}, true
	case domain.CodePositionNotReached:
		return outcome{http.StatusServiceUnavailable, "The node has not reached the position", true}, true
	case domain.CodeOutcomeUnknown:
		return outcome{http.StatusServiceUnavailable, "The outcome is not known", true}, true
	case domain.CodeInternal:
		return outcome{http.StatusInternalServerError, "Internal error", false}, true
	}
	return outcome{http.StatusInternalServerError, "Internal error", false}, false
}

// Status gives the HTTP status of a code; 500 for a code that is not in
// [domain.Codes].
func Status(code domain.Code) int {
	o, _ := outcomeOf(code)
	return o.status
}

// Title gives the short text that every problem of the code has.
func Title(code domain.Code) string {
	o, _ := outcomeOf(code)
	return o.title
}

// Retryable says whether the same request, sent again unchanged (a write with
// the same Idempotency-Key), may succeed without anybody changing anything.
func Retryable(code domain.Code) bool {
	o, _ := outcomeOf(code)
	return o.retryable
}
