// Package domain says what a secret, a scope, a membership and a key are, and
// which changes to them are legal.
//
// It is pure: no clock, no randomness, no I/O. Ids and times are handed in.
//
// Invariants that tests of this package name:
//
//  1. Replay equals live: folding the recorded events of a stream gives the
//     state on which the next command was decided.
//  2. An identical command appends nothing: deciding it on the state that it
//     produced gives no event.
//  3. A value never prints: Format, String, GoString, LogValue, MarshalJSON and
//     MarshalText of every type that holds one give [Redacted] or fail.
//  4. Metadata is the only door from an event to history, feeds and leaves,
//     and its result has no member that could hold a value.
//  5. Authority is denied unless a rule grants it, and the rule is named.
//
// Not here: how events are stored (eventstore), sealed (kms), projected
// (projections) or asked for over HTTP (httpapi).
package domain
