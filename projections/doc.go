// Package projections folds the event log into one bbolt file: the state of
// every secret with its sealed values, histories, directories, API keys,
// indexes, and what the key hierarchy must remember.
//
// The file is a cache of the log. It is never synced while it is written, and
// it is thrown away and folded anew whenever it may not be what the log says.
//
// Invariants that tests of this package name:
//
//  1. Data and checkpoint are written in one transaction: whatever ends the
//     process, the file is the fold of exactly the events up to its
//     checkpoint.
//  2. The fold is a pure function of the log. Neither the clock nor the way
//     events were batched changes a byte: what ages out is removed by event
//     time alone, a bounded number of rows an event. Lookups apply the wall
//     clock on top.
//  3. Nothing is skipped. An event that cannot be read, a gap between
//     positions, or a version that does not follow its stream's last one stops
//     the projection, and [Store.Ready] says so. A proven foreign message is
//     no event: it moves the head of its stream, on which the next append is
//     decided, and nothing else.
//  4. A checkpoint is (position, event id, creation time of the stream). One
//     that the log does not confirm means that the tail was lost or the log
//     replaced: the file is discarded and folded anew.
//  5. The file of another boot of the machine counts only with the mark of a
//     clean shutdown, of another schema never.
//  6. A store that has not caught up with its log since it was opened, or
//     since a rebuild began, answers no question: an old or half-built state
//     would grant rights that were taken back.
//  7. The directories in memory are what their rows say.
//  8. As-of states are the fold of the first events of the secret, without
//     values.
//  9. Lists come in byte order of the id and are stable while others write:
//     a row that lives throughout is seen exactly once.
//  10. What is found missing, altered or added in any bucket or in memory is
//     named by [Check], by bucket and key, never by value.
//  11. The tree is that of the applied events: one leaf a position, a foreign
//     message's too, in the transaction of the fold. It is made of the
//     records' bytes alone.
//
// Nothing here is unwrapped or opened: values lie in the file sealed as they
// lie in the log.
//
// Not here: how the log stores events (eventstore has the [Source]), what
// events mean and who may do what (domain), opening values (kms), how a tree is
// made of tiles, signed and checked (proof).
//
// Sources: go.etcd.io/bbolt (file format, NoSync); proc(5) for the boot id.
package projections
