// Package eventstore is the log: every change that Chancery ever made, in one
// total order, on NATS JetStream.
//
// An event is one message. Its record, a CloudEvents 1.0 event in JSON with
// metadata only, is the Chancery-Record header; its sealed values are the
// message's data.
//
// Invariants that tests of this package name:
//
//  1. What is stored can be read back: nothing is sent before this very
//     binary has decoded it again.
//  2. One form: every event has exactly one encoding, and bytes that are not
//     that encoding are corrupt. So encode(decode(x)) is x, for ever.
//  3. Success means stored durably; ErrConflict and ErrUnavailable mean not
//     stored. Where neither is certain the append is settled first, and only
//     when that fails the answer is ErrUncertain.
//  4. Of all writers that expect the same position one wins.
//  5. Follow gives every event once, in order, whatever happens to the
//     connection or the consumer. A log that was replaced under it is named,
//     never followed.
//  6. A plaintext value is never encoded.
//  7. After EraseSecretKey no byte of the key's record is left in the embedded
//     store's files.
//
// Every implementation of [Log] passes the same conformance suite.
//
// Not here: what events mean (domain), how values are sealed (kms), how the
// log is folded (projections). The access log will be one more stream beside
// the two that streamconfig.go describes.
//
// Sources: CloudEvents 1.0 and its JSON format; RFC 8259 (JSON); RFC 3339
// (times); NATS architecture decisions ADR-4 (headers), ADR-8 and ADR-31
// (reading messages), ADR-50 (atomic batches).
package eventstore
