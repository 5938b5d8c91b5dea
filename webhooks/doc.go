// Package webhooks sends the records of the event log to HTTP endpoints, signed
// as Standard Webhooks demands, in the order of the log and at least once.
//
// Invariants that tests of this package name:
//
//  1. Nothing is lost: an endpoint's cursor moves past a record only after the
//     endpoint took it or its filter left it out, and the cursor is durable
//     before the next record is sent.
//  2. Order is kept: one record at a time; the next waits while one is retried.
//     After a crash at most the one in flight comes twice, with the same id.
//  3. The body is the record's exact bytes: metadata, never a value.
//  4. Each attempt is signed with every secret of the endpoint, so that secrets
//     can be exchanged without a gap.
//  5. Where a connection goes is checked on the address that is dialed, after
//     every resolution; redirects and proxies are not followed.
//  6. No secret, path, query, body or answer is in a log line or an error.
//  7. A slow or dead endpoint holds no other.
//  8. Only durable records are sent: the log shows no others.
//
// Not here: the log (eventstore), the access records of what was configured and
// the metrics (cmd/chancery/server).
//
// Sources: Standard Webhooks 1.0 (standard-webhooks.org); CloudEvents 1.0, HTTP
// binding, structured mode; RFC 2104 (HMAC); RFC 6890 and the IANA
// special-purpose address registries; RFC 9110, section 10.2.3 (Retry-After).
package webhooks
