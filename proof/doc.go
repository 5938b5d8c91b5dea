// Package proof makes the logs provable: Merkle trees over their streams,
// signed checkpoints, and the static files that anybody can check them by.
//
// A log's leaf of index i is the exact bytes at its position i+1. Every node
// computes the same tree from them; what it signs, everybody can hold it to.
//
// Invariants that tests of this package name:
//
//  1. Roots, proofs and tiles are those of RFC 6962 and C2SP tlog-tiles,
//     whatever the batches in which leaves came.
//  2. A hash that is not there is [ErrNoTile], never a wrong root.
//  3. A tree goes on from its right edge alone; the root of the edge follows
//     from its rows, so that a signed checkpoint proves them.
//  4. No bit of a checkpoint may change: one that opens is written in the only
//     way that it can be, for the log and by the key that were asked for.
//  5. Checkpoints never fork: each was proved to continue the one stored before
//     it, and took its place by compare-and-set, however many nodes sign and
//     whatever fails. Sizes and times never go back.
//  6. A log that is shorter than, or another than, what was signed is refused
//     loudly, not signed anew.
//  7. Only what the tree held for a while, or what the caller vouches for, is
//     signed. A log that does not grow is signed too.
//  8. A witness is asked after the checkpoint is stored and stops nothing; only
//     its own valid signature is kept.
//  9. The signing key never prints, and what it signs as a manifest is no
//     checkpoint.
//  10. Verifying recomputes everything from the leaves, in constant memory, and
//     names the first wrong position, or the range that it lies in.
//  11. An export is whole at any time: its checkpoint comes last, full tiles are
//     written once, and nothing of another or a longer log is overwritten.
//
// Not here: where tiles and notes are stored (projections and eventstore), how
// the signing key is wrapped (kms), the calls that serve tiles (httpapi).
//
// Known limit: a store that is rolled back as a whole, checkpoints included,
// agrees with itself. A witness, an export or a running signer notices.
//
// Sources: RFC 6962, section 2.1 (the tree); RFC 8032 (Ed25519); C2SP
// tlog-tiles, tlog-checkpoint, signed-note, tlog-cosignature, tlog-witness,
// tlog-proof.
package proof
