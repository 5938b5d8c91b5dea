// Package kmstest helps tests of what uses or implements package kms: a key
// store in memory with injected faults, and the conformance suites that every
// [kms.KeyStore] passes, this one too.
package kmstest
