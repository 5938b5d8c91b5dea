// Package natsfile knows how an embedded nats-server keeps the messages of a
// stream in files, and makes them durable. Nothing of the format leaves it.
//
// The server writes a message into the newest block file of its stream before
// it acknowledges the message, and does not fsync. This package reads the block
// up to the acknowledged sequence, checks every record on the way, and makes
// one fsync for all records that were written before the fsync began.
//
// Invariants that tests of this package name:
//
//  1. A position is durable only when every record up to it was read whole,
//     with its checksum, a subject and the very next sequence, and the files
//     that hold them were fsynced after that.
//  2. The first record that is anything else ends the following for this
//     process. The fault is kept: no later position becomes durable.
//  3. A failed fsync ends the following for this process, and for the next
//     one too until it has written the blocks behind the last durable position
//     into new files: the kernel may call a page clean that it could not write.
//  4. A power loss at any write loses no durable position, through new blocks
//     and through the expiry of old ones.
//  5. What a power loss can leave behind the last durable position is told
//     apart from damage. [Cut] removes it, and nothing at or below a position
//     that is known to have been durable.
//  6. Only the nats-server version that this package was written for is used.
//
// Many durable messages are read from the files, too: [Stream.Read] beside the
// server, [Messages] without one.
//
// Not here: the server itself and what its messages mean (eventstore).
//
// Sources: filestore.go of nats-server 2.15; HighwayHash (Alakuijala, Cox and
// Wassenberg, 2016); "Can Applications Recover from fsync Failures?" (Rebello
// et al., USENIX ATC 2020).
package natsfile
