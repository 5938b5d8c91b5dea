// Package feed lets services outside read the events: a stream of their own,
// one message an event, and a NATS user for each service that reaches its own
// consumer of that stream and nothing else.
//
// The stream is derived from the log. Its payloads are the records' exact
// bytes, so a consumer can hash one into the log's Merkle leaf.
//
// Invariants that tests of this package name:
//
//  1. A message is appended only after its event is durable in the log.
//  2. The feed's sequence is the event's position, and each position is there
//     once, whoever appends: every append expects the position before it.
//  3. A feed that may differ from the log (after an unclean stop of the
//     machine, with a gap, with another record at either end) is made anew,
//     and each consumer goes on at its last known acknowledged position or
//     before it, and never beyond the log. A crash at any step of that is
//     healed by the next start.
//  4. A feed that is ahead of the log is evidence of a loss. It is never
//     removed, and the follower refuses to go on.
//  5. A consumer is given one event at a time, in the order of the log.
//  6. The user of a [Consumer] reads its own consumer and acknowledges it. It
//     reaches no other stream, message or consumer by any call, and moves
//     nothing by any reply subject. Over the network nobody else gets in.
//
// Not here: the log (eventstore), who adds consumers (cmd/chancery/server).
//
// Sources: CloudEvents 1.0, its JSON format and its NATS binding (structured
// mode); NATS architecture decisions ADR-4 (headers) and ADR-13 (pull
// consumers).
package feed
