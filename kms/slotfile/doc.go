// Package slotfile keeps the wrapped keys of one node in two files, as a
// [kms.KeyStore].
//
//	keys.db     secret keys: slots of a fixed size, erased by overwriting
//	orgkeys.db  organizations' keys: records of any size, only appended
//
// Both have mode 0600. The caller makes sure that one process at a time opens
// them.
//
// keys.db is made of slots of 256 bytes. The first two hold the header, twice,
// written in turn. Each other slot is all zeros (free), or a whole key with its
// checksum, or torn: a write or an erasure that a crash cut, or damage. Free
// slots are written with zeros before they are used, so overwriting one needs
// no new space of the disk.
//
// orgkeys.db is made of frames that begin at multiples of 512 bytes. Bytes that
// are no whole frame are skipped at start and never overwritten.
//
// Invariants that tests of this package name:
//
//  1. A write is answered after an fsync that began after it. One fsync is for
//     all writers that wait.
//  2. After a crash at any moment every acknowledged key is there whole, and
//     of an acknowledged erasure no byte is left in the file.
//  3. An fsync that failed is final for the process: every later write is an
//     error that wraps [ErrFailed]. Reads go on. The next process writes both
//     files anew before it trusts them, as after every unclean stop: the
//     kernel may call pages clean that it could not write.
//  4. Torn slots are kept and reported until the caller has them erased.
//  5. Of two slots of one key the record of the higher generation counts, and
//     [Open] erases the other. Two different records of one generation are
//     kept and reported, and neither is returned.
//  6. A sequence belongs to one key for ever, also after its erasure and a
//     restart.
//
// The erasure is of the file. It does not reach old blocks of a copy-on-write
// file system (see [CopyOnWrite]), snapshots and backups.
//
// Not here: what a record says (kms), when torn slots may be erased (kms),
// keys of an external JetStream (eventstore).
//
// Sources: fdatasync(2); "Can Applications Recover from fsync Failures?",
// USENIX ATC 2020.
package slotfile
