package eventstore

import "syscall"

// tmpfsMagic marks tmpfs (statfs(2)).
const tmpfsMagic = 0x01021994

// roomInMemory says whether a directory is in memory and has room.
func roomInMemory(dir string) bool {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil || s.Type != tmpfsMagic {
		return false
	}
	return s.Bavail*uint64(s.Bsize) >= memoryRoom //nolint:gosec // a block has some bytes.
}
