// Package accessjournal makes access records durable in a file of this node
// before the access log has them, so that a read waits for one fdatasync and for
// no message.
//
// The file is made whole and filled with zeros once, so that a sync writes no
// metadata. It has two segments, written in turn. An entry holds the records of
// one append; its header names the last entry that the access log had durably
// and the position there. One goroutine forwards the entries to the log, in
// order, several to a message. Nobody else appends to that log, so after a crash
// the messages behind the named position are entries of the journal, byte for
// byte, and the entries that are in none of them are appended.
//
// Invariants that tests of this package name:
//
//  1. An append that returned nil is in the access log once, in the order of the
//     appends, after any crash. One that failed is there once or not at all.
//  2. An entry is written over only when a durable entry outside of its segment
//     names it, or a later one, as forwarded.
//  3. A file that lacks an entry which waits, and a log whose messages are not
//     the journal's, are refused. The newest entry is the exception: if it is not
//     whole, it was never acknowledged.
//  4. After a failed write or sync nothing is acknowledged any more. The next
//     start copies the file before it relies on it: the kernel may hold pages
//     that are not on the disk.
//  5. Memory and file are bounded. Appends wait while the access log takes
//     nothing, and then fail.
//
// A disk sector of 512 bytes is written whole or not at all; no other order or
// atomicity is assumed. An entry begins on a sector of its own, so no write
// touches a durable entry.
//
// Not here: what a record is and how records are packed (eventstore).
//
// Sources: fdatasync(2); "Can Applications Recover from fsync Failures?", USENIX
// ATC 2020; the write-ahead log of etcd (server/storage/wal).
package accessjournal
