//go:build !linux

package slotfile

import "os"

// datasync makes a file's content and size durable.
func datasync(f *os.File) error { return f.Sync() }

// CopyOnWrite is not known on this system.
func CopyOnWrite(string) (name string, yes bool) { return "", false }
