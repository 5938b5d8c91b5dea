package client

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// ProblemError is a refusal by the server (RFC 9457). errors.Is and errors.As
// find in it a [*domain.Error] of the same code, so
// errors.Is(err, domain.Errorf(domain.CodeSecretExists, "")) holds through
// HTTP as it does within the server.
type ProblemError struct {
	Status int
	// Code is unavailable or internal when something between client and
	// server answered without a problem document.
	Code      domain.Code
	Detail    string // one line, printable
	RequestID string
	Fields    []domain.FieldError
	// RetryAfter is the least wait before a retry can help, 0 without advice.
	RetryAfter time.Duration
	// EventID stands beside outcome_unknown.
	EventID string
	// foreign marks an answer without a problem document: not from Chancery,
	// so it tells nothing about what Chancery did.
	foreign bool
}

// Error gives code, detail and request id.
func (p *ProblemError) Error() string {
	s := string(p.Code) + ": " + p.Detail
	for _, f := range p.Fields {
		s += ", " + f.Field + " " + string(f.Code)
	}
	if p.RequestID != "" {
		s += " (" + p.RequestID + ")"
	}
	return s
}

// Unwrap gives the same refusal as a [*domain.Error].
func (p *ProblemError) Unwrap() error {
	return &domain.Error{Code: p.Code, Detail: p.Detail, Fields: p.Fields, EventID: p.EventID, RetryAfter: p.RetryAfter}
}

// OutcomeUnknownError says that a write may or may not have been stored: it
// was sent, and no answer settled it. Repeating the same call with
// [IdempotencyKey] settles it. It is outcome_unknown to errors.Is, and unwraps
// to the failure of the last attempt as well.
type OutcomeUnknownError struct {
	IdempotencyKey string
	Err            error
}

// Error names the key that settles the write.
func (e *OutcomeUnknownError) Error() string {
	return "outcome_unknown: the write may have been stored; repeat it with the Idempotency-Key " +
		e.IdempotencyKey + ": " + e.Err.Error()
}

// Unwrap gives outcome_unknown and the last failure.
func (e *OutcomeUnknownError) Unwrap() []error {
	return []error{domain.Errorf(domain.CodeOutcomeUnknown, "the write may have been stored"), e.Err}
}

// problemOf inverts an answer that is not a success.
func problemOf(r *http.Response, body []byte) *ProblemError {
	p := &ProblemError{
		Status: r.StatusCode, RequestID: printable(r.Header.Get(wire.HeaderRequestID)), RetryAfter: retryAfter(r.Header),
	}
	var doc wire.Problem
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != wire.ContentProblem || json.Unmarshal(body, &doc) != nil || doc.Code == "" {
		// A proxy's page may hold anything: none of it is repeated.
		p.Code, p.foreign = codeOfStatus(r.StatusCode), true
		p.Detail = "answered " + strconv.Itoa(r.StatusCode) + " without a problem document"
		return p
	}
	p.Code, p.Detail, p.EventID = domain.Code(printable(string(doc.Code))), printable(doc.Detail), printable(doc.EventID)
	if p.Detail == "" {
		p.Detail = printable(doc.Title)
	}
	for _, e := range doc.Errors {
		p.Fields = append(p.Fields, domain.FieldError{Field: printable(e.Field), Code: domain.Code(printable(string(e.Code)))})
	}
	return p
}

// codeOfStatus serves answers without a code.
func codeOfStatus(status int) domain.Code {
	switch status {
	case http.StatusUnauthorized:
		return domain.CodeUnauthenticated
	case http.StatusForbidden:
		return domain.CodeForbidden
	case http.StatusNotFound:
		return domain.CodeRouteNotFound
	case http.StatusRequestEntityTooLarge:
		return domain.CodeBodyTooLarge
	case http.StatusTooManyRequests:
		return domain.CodeRateLimited
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return domain.CodeUnavailable
	}
	return domain.CodeInternal
}

// retryAfter reads both forms of RFC 9110, 10.2.3. A date is taken relative
// to the answer's own Date, so no clocks need to agree.
func retryAfter(h http.Header) time.Duration {
	text := h.Get(wire.HeaderRetryAfter)
	if s, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	from, err := http.ParseTime(h.Get("Date"))
	if err != nil || at.Before(from) {
		return 0
	}
	return at.Sub(from)
}

// printable keeps a terminal or a log line from being rewritten by what a
// server sent.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
}

// asProblem finds the server's refusal in err.
func asProblem(err error) (*ProblemError, bool) {
	return errors.AsType[*ProblemError](err)
}
