package wire

import (
	"errors"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// TypePrefix starts the type of every problem; the code follows. It is
// relative to the server, whose documentation page describes each code.
const TypePrefix = "/docs#"

// Problem is an error answer (RFC 9457).
type Problem struct {
	Type   string      `json:"type"`
	Title  string      `json:"title"`
	Status int         `json:"status"`
	Detail string      `json:"detail"`
	Code   domain.Code `json:"code"`
	// Instance is the request id.
	Instance string         `json:"instance"`
	Errors   []ProblemField `json:"errors,omitempty"`
	// EventID stands beside outcome_unknown: the event that may have been
	// stored.
	EventID string `json:"eventId,omitempty"`
}

// ProblemField names one member of the body that is at fault, by JSON
// pointer (RFC 6901).
type ProblemField struct {
	Field string      `json:"field"`
	Code  domain.Code `json:"code"`
}

// NewProblem gives what a caller is shown of an error. Of anything that is
// not a [domain.Error], or whose code is not in [domain.Codes], that is the
// request id alone.
func NewProblem(err error, requestID string) Problem {
	e, ok := errors.AsType[*domain.Error](err)
	if ok {
		_, ok = outcomeOf(e.Code)
	}
	if !ok || e.Code == domain.CodeInternal {
		e = domain.Errorf(domain.CodeInternal, "something went wrong; the request id identifies the log entry")
	}
	p := Problem{
		Type: TypePrefix + string(e.Code), Title: Title(e.Code), Status: Status(e.Code),
		Detail: e.Detail, Code: e.Code, Instance: requestID, EventID: e.EventID,
	}
	for _, f := range e.Fields {
		p.Errors = append(p.Errors, ProblemField(f))
	}
	return p
}

// Err is the inverse of [NewProblem], for clients. retryAfter is what the
// header of that name said, 0 for nothing.
func (p Problem) Err(retryAfter time.Duration) *domain.Error {
	e := &domain.Error{Code: p.Code, Detail: p.Detail, EventID: p.EventID, RetryAfter: retryAfter}
	for _, f := range p.Errors {
		e.Fields = append(e.Fields, domain.FieldError(f))
	}
	return e
}
