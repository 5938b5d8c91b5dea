// Package kms keeps the keys: the root key's provider, one org key an
// organization, one secret key an incarnation of a secret, and the data keys
// and sealed field values under it.
//
//	root key (Provider) > org key > secret key > data keys, sealed fields
//
// The event log holds nothing readable without a secret key, and secret keys
// lie outside it in a store that erases. Destroying a secret's keys therefore
// makes every value it ever had unreadable, in the log, in projections and in
// copies of the log.
//
// Invariants that tests of this package name:
//
//  1. A data key opens for exactly the path (organization, scope, secret,
//     field), the secret key and the minter it was made for. Changing any bit
//     or any coordinate is refused, always with the same error.
//  2. The secret key is named by the ciphertext and must be one of the
//     secret's own; while the secret does not exist, one that nobody has
//     claimed, of this organization and at most [MaxClaimAge] old. Keys are
//     never tried in turn.
//  3. A secret key is durable before anything is sealed or wrapped under it.
//  4. A pool key is handed out once, to one agent for one path, by the
//     process that made it. Keys found in the store are never adopted.
//  5. Only a key that is older than [SweepAge] and claimed by no event is
//     swept, and only while the log begins with the event that its record
//     names, has the named event at the named position, holds the newest
//     position that any stored key names likewise, and is wholly applied.
//  6. A destroyed key opens nothing, from the moment Destroy returns and
//     also when a load of it was under way.
//  7. Memory is bounded: cached keys, pooled keys, open mints.
//  8. Every refusal of a data key is the one error of [domain.CodeDataKeyMismatch]
//     with one detail; only a verified but used one says more.
//  9. No key, data key ciphertext or value prints, with any verb, or stands
//     in an error.
//  10. The formats of testdata never change: LP, labels, wraps, data key
//     ciphertext v1, field values, records.
//  11. A torn slot of a key file is erased only while every living secret has
//     its whole keys, by a projection that has applied the whole log.
//  12. An org key that was lost is not made anew while a secret key names its
//     organization.
//
// Not here: who may ask (domain, httpapi), where keys are stored (kms/slotfile
// and eventstore implement [KeyStore]), which keys are claimed, which live and
// which data keys are used (projections implement [Claims]), the client-side envelope (kms/seal),
// recording access, and turning a node silent that no longer hears from the
// log.
//
// Sources: NIST SP 800-38D (AES-GCM), RFC 5869 (HKDF), RFC 2104 (HMAC),
// RFC 4648 (base64). Standard library only, so that the server also runs
// built on Go's FIPS 140-3 module.
package kms
