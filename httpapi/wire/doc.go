// Package wire is what goes over the line between a Chancery server and its
// clients: request and response bodies, header names, the problem object, the
// table from codes to statuses, and the strict decoder that the server reads
// requests with. Both sides import it, so neither can drift from the other.
//
// Invariants that tests of this package name:
//
//  1. Every code of [domain.Codes] has exactly one status, title and
//     retryable flag.
//  2. [Decode] accepts exactly the JSON texts (RFC 8259, restricted as
//     I-JSON, RFC 7493, restricts them) whose members are the type's, in
//     exactly their case: no unknown, duplicate or missing one, nothing
//     behind the text. What it accepts, encoding/json reads as the same.
//  3. An error never repeats a value: it names members by JSON pointer
//     (RFC 6901) and says what belongs there.
//  4. An envelope that is decoded and encoded again has exactly the strings
//     that came in.
//  5. A type that can hold a secret prints [domain.Redacted].
//
// Not here: which call takes which body, and what a request means (httpapi).
package wire
