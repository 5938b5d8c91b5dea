//go:build !linux

package eventstore

// roomInMemory is false where no directory is known to be in memory.
func roomInMemory(string) bool { return false }
