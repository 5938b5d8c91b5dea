// Package client is the Go SDK: every call of Chancery's agent and admin API,
// with values sealed and opened on the caller's machine.
//
// A [Client] is safe for concurrent use and holds no state but its
// configuration. Ids are checked before they are sent, so a malformed one
// never becomes part of a path.
//
// Invariants that tests of this package name:
//
//  1. A write carries one Idempotency-Key and the same bytes over all its
//     attempts, so that a repeat can not apply it twice.
//  2. A mint or a release is repeated only when it was certainly not
//     answered with a key: the connection was never made, or the answer was
//     503.
//  3. Every refusal is a [*ProblemError] and unwraps to a [*domain.Error] of
//     the same code; a code that this client does not know is kept as it is.
//  4. A write whose fate is unknown is an [*OutcomeUnknownError] with the
//     Idempotency-Key that settles it, never a plain failure.
//  5. Iterators end at the last page or at the first error, never before.
//  6. The API key appears in no error and in no printed form of a Client or
//     Config. Values, data keys and envelopes appear in no error.
//  7. Redirects are not followed: the API key goes to the configured host
//     alone.
//
// Not here: the event feed, the envelope's cryptography (kms/seal), the wire
// shapes (httpapi/wire).
//
// Sources: RFC 9110 (preconditions, Retry-After), RFC 9457 (problems).
package client
