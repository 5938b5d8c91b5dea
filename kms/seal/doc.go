// Package seal makes and opens the client-side envelope,
// EncryptedEnvelopeV1: what an agent does on its own machine, so that the
// server never sees the value.
//
// An envelope is AES-256-GCM (NIST SP 800-38D) under a one-time data key,
// with a random 96-bit nonce, a 128-bit tag and no additional data. The data
// key's ciphertext stands beside it, bound by the server to exactly one
// secret and field; the envelope itself is bound to nothing but its key.
//
// Invariants that tests of this package name:
//
//  1. Opening what was sealed gives the value back, for every value up to
//     the limit and for the empty one.
//  2. A change of any single bit of nonce, ciphertext, tag or key, and any
//     truncation, is refused.
//  3. Every failure to open is the one error [ErrOpen], which tells nothing
//     about key or value.
//  4. testdata/envelope_vectors.json opens as it says. Other clients read the
//     same file, and it never changes in what it has.
//
// Not here: the JSON form (httpapi/wire), how data keys are made and wrapped
// (kms), how they are fetched (client).
//
// Sources: NIST SP 800-38D; the AES-GCM vectors of project Wycheproof.
package seal
