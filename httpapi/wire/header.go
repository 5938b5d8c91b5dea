package wire

import (
	"math"
	"strconv"
	"strings"

	"github.com/chancery-dev/chancery/domain"
)

// Headers that the contract names, in their canonical form.
const (
	HeaderAuthorization  = "Authorization"
	HeaderRequestID      = "X-Request-Id"
	HeaderIdempotencyKey = "Idempotency-Key"
	HeaderPosition       = "Chancery-Position"
	HeaderMinPosition    = "Chancery-Min-Position"
	HeaderReason         = "Chancery-Reason"
	HeaderRunID          = "Chancery-Run-Id"
	HeaderIfMatch        = "If-Match"
	HeaderIfNoneMatch    = "If-None-Match"
	HeaderLastEventID    = "Last-Event-ID"
	HeaderETag           = "Etag"
	HeaderRetryAfter     = "Retry-After"
	HeaderUserAgent      = "User-Agent"
	HeaderTraceParent    = "Traceparent"
)

// Content types of bodies.
const (
	ContentJSON    = "application/json"
	ContentProblem = "application/problem+json"
	ContentText    = "text/plain; charset=utf-8"
	ContentOctets  = "application/octet-stream"
)

// Limits of requests.
const (
	// MaxBody is the longest request body, in bytes.
	MaxBody = 1 << 20
	// MaxLimit is the largest page that a list gives, in rows.
	MaxLimit = 1000
	// MaxCursor is the longest cursor, in bytes.
	MaxCursor = 512
	// MaxToken is the longest request id and idempotency key, in bytes.
	MaxToken = 128
)

// ETag gives the entity tag of a secret's version: "v7" with its quotes
// (RFC 9110, section 8.8.3). It is always strong.
func ETag(version uint64) string { return `"v` + strconv.FormatUint(version, 10) + `"` }

// ParseETag reads what [ETag] writes and nothing else: no weak tag, no list,
// no leading zero, no version 0.
func ParseETag(s string) (version uint64, ok bool) {
	digits, ok := strings.CutPrefix(s, `"v`)
	if !ok {
		return 0, false
	}
	if digits, ok = strings.CutSuffix(digits, `"`); !ok {
		return 0, false
	}
	version, ok = ParseUint(digits)
	return version, ok && version > 0
}

// ParseMatch reads an If-Match header: "*" or one strong tag (RFC 9110,
// section 8.8.3); else precondition_invalid. A tag that this server never
// gave is one that matches no version.
func ParseMatch(s string) (domain.Expectation, error) {
	if s == "*" {
		return domain.Expectation{Any: true}, nil
	}
	if version, ok := ParseETag(s); ok {
		return domain.Expectation{Version: version}, nil
	}
	if !isStrongTag(s) {
		return domain.Expectation{}, domain.Errorf(domain.CodePreconditionInvalid, `If-Match is * or one strong tag like "v7"`)
	}
	return domain.Expectation{Version: math.MaxUint64}, nil
}

func isStrongTag(s string) bool {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return false
	}
	for i := 1; i < len(s)-1; i++ {
		if s[i] <= ' ' || s[i] == '"' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// ParseUint reads a canonical decimal number: digits alone, no leading zero.
func ParseUint(s string) (n uint64, ok bool) {
	if s == "" || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// ValidToken says whether s may be a request id or an idempotency key: 1 to
// 128 of A-Z a-z 0-9 . _ : -.
func ValidToken(s string) bool {
	if s == "" || len(s) > MaxToken {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == ':', c == '-':
		default:
			return false
		}
	}
	return true
}
