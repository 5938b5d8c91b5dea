package slotfile

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// device is a file. Writing behind the end makes it longer.
type device interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	// Sync makes all that was written durable, and the file's size.
	Sync() error
}

// osFile is a device of the operating system.
type osFile struct{ *os.File }

// Size implements device.
func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Sync implements device.
func (f osFile) Sync() error { return datasync(f.File) }

// openFile opens a regular file, and makes it with mode 0600 if it is missing
// and not readOnly.
func openFile(path string, readOnly bool) (device, error) {
	flags := os.O_RDWR | os.O_CREATE
	if readOnly {
		flags = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flags, 0o600) //nolint:gosec // in the data directory.
	if err != nil {
		return nil, fmt.Errorf("slotfile: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("slotfile: %s: %w", path, err), f.Close())
	}
	return osFile{f}, nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the data directory.
	if err != nil {
		return fmt.Errorf("slotfile: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// readAll reads a device in chunks. With rewrite each chunk is written back as
// it was read: pages that the kernel calls clean although it could not write
// them are written then.
func readAll(d device, rewrite bool, chunk int, each func(offset int64, b []byte) error) error {
	size, err := d.Size()
	if err != nil {
		return fmt.Errorf("slotfile: %w", err)
	}
	buf := make([]byte, chunk)
	for offset := int64(0); offset < size; {
		b := buf[:min(int64(chunk), size-offset)]
		if n, err := d.ReadAt(b, offset); err != nil && (!errors.Is(err, io.EOF) || n < len(b)) {
			return fmt.Errorf("slotfile: reading at offset %d: %w", offset, err)
		}
		if rewrite {
			if _, err := d.WriteAt(b, offset); err != nil {
				return fmt.Errorf("slotfile: writing at offset %d: %w", offset, err)
			}
		}
		if err := each(offset, b); err != nil {
			return err
		}
		offset += int64(len(b))
	}
	return nil
}
