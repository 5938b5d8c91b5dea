// Package eventstore is the log: every change that Chancery ever made, in one
// total order, on NATS JetStream.
//
// An event is one message. Its record, a CloudEvents 1.0 event in JSON with
// metadata only, is the Chancery-Record header; its sealed values are the
// message's data.
//
// Who read what is in the access log, a stream of its own ([AccessLog],
// [AccessRecorder]): a message is the records that were made durable together,
// one JSON object a line. What proves both streams is in a third one
// ([ProofStore]).
//
// Invariants that tests of this package name:
//
//  1. What is stored can be read back: nothing is sent before this very
//     binary has decoded it again. (Access records, of which there are too
//     many for that, have a form for everything: 9.)
//  2. One form: every event and access record has exactly one encoding, and
//     bytes that are not that encoding are corrupt. So encode(decode(x)) is x,
//     for ever.
//  3. Success means stored durably: on an embedded server read back from its
//     file and synced there (natsfile), on an external one acknowledged by a server that syncs
//     always. Nothing else can be seen: what is read and followed, and the head
//     that a status names, is durable, on every implementation. ErrConflict and
//     ErrUnavailable mean not stored. Where neither is certain the append is
//     settled first, and only when that fails the answer is ErrUncertain. (The
//     access log does not settle: who is not sure that a read is recorded does
//     not answer it.)
//  4. Of all writers that expect the same position one wins.
//  5. Follow gives every event once, in order, none before it is durable,
//     whatever happens to the connection or the consumer. A log that was
//     replaced under it is named, never followed.
//  6. A plaintext value is never encoded.
//  7. After EraseSecretKey no byte of the key's record is left in the files of
//     an external server that does not encrypt them. (An embedded node keeps
//     its keys in files of its own: kms/slotfile.)
//  8. Record gives nil only when the record is durable, or when it is one of a
//     flood of refusals and was counted; what was allowed is never only
//     counted. What refusals can put into the log, and what they take up in
//     memory, is bounded whatever a client sends.
//  9. Whatever an access holds, it has a record.
//
// Every implementation of [Log], of [AccessReadWriter] and of a [ProofStore]'s
// broker passes the same conformance suite.
//
// Not here: what events mean (domain), how values are sealed (kms), how the
// log is folded (projections), what checkpoints and frontiers say (proof), what
// services outside read (eventstore/feed).
//
// Sources: CloudEvents 1.0 and its JSON format; RFC 8259 (JSON); RFC 3339
// (times); NATS architecture decisions ADR-4 (headers), ADR-8 and ADR-31
// (reading messages), ADR-50 (atomic batches).
package eventstore
