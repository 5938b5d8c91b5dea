package slotfile

import (
	"errors"
	"os"
	"syscall"
)

// datasync makes a file's content and size durable, not its times.
func datasync(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// CopyOnWrite reports whether a directory lies on a file system that writes
// changed blocks elsewhere: there an erased key's old blocks and its copies in
// snapshots outlive the erasure. name is the file system's.
func CopyOnWrite(dir string) (name string, yes bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "", false
	}
	// Magic numbers of statfs(2); ZFS and bcachefs have them in their own
	// sources.
	name, yes = map[uint32]string{
		0x9123683e: "btrfs", 0x2fc12fc1: "ZFS", 0xca451a4e: "bcachefs", 0x3434: "NILFS2", 0xf2f52010: "F2FS",
	}[uint32(s.Type)] //nolint:gosec // the lower 32 bits, whatever the type on this processor.
	return name, yes
}
