// Package accesslog folds the access log into one bbolt file: its messages, its
// Merkle tree, and indexes that find an organization's records by secret,
// scope, actor, action, outcome and time, newest or oldest first.
//
// Indexes are posting lists. Those of the newest records are in memory only.
// Whenever enough records have come they are written, sorted, as one immutable
// run, and memory begins anew. Runs are disjoint and in the order of the log, so a
// question walks them one after the other and merges nothing.
//
// Invariants that tests of this package name:
//
//  1. Messages, tree, runs and checkpoint are written in one transaction:
//     whatever ends the process, the file is the fold of exactly the messages
//     up to its checkpoint. What was in memory is remade from the messages.
//  2. The fold is a pure function of the log: neither the clock nor the way
//     messages were batched changes a row. Runs are cut by the number of
//     records alone, between two messages.
//  3. Pages are exact: in the order of the log each record that the question
//     asks for, once, and no other, whatever is appended, cut or reopened in
//     between.
//  4. Nothing is skipped. A gap between positions, unless retention made it,
//     stops the projection, and [Store.Ready] says so.
//  5. A checkpoint is (position, leaf hash, creation time of the stream). One
//     that the log does not confirm means another log: the file is discarded.
//  6. The file of another boot of the machine counts only with the mark of a
//     clean shutdown, of another schema never.
//  7. A store that has not caught up with its log since it was opened, or
//     since a rebuild began, answers no question: what it leaves out would
//     look as if it had not happened.
//  8. What the log has let go is let go here, messages and whole runs, a
//     bounded number in a transaction. Tiles stay: the tree is never smaller.
//  9. Memory is bounded by the records of one run and a few batches, whatever
//     the log holds and whoever asks.
//  10. What is altered, missing or added, in the file or in memory, is named by
//     [Check].
//
// Not here: how records are encoded and stored (eventstore), who may ask
// (domain, httpapi), how trees are signed and checked (proof).
//
// Sources: go.etcd.io/bbolt; RFC 6962, section 2.1 (the tree).
package accesslog
