package kms

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// The key file is lines of text, oldest version first:
//
//	chancery-root-key v1
//	ref 4f6c…            32 lower-case hexadecimal digits: which root key this is
//	key 1 kT5…=          a version and its 32 bytes in base64
//
// Nothing else may stand in it, and every line ends in one line feed.
const (
	localMagic   = "chancery-root-key v1"
	localMaxSize = 64 << 10
)

// ErrKeyFile says that a key file can't be used as it lies there. The text
// says why, never what the file holds.
var ErrKeyFile = errors.New("kms: key file")

// CreateLocal draws a new root key from rand and writes it to a new file of
// mode 0600. On nil the file and its name are durable. An existing file is
// never touched: that is an error which wraps [fs.ErrExist].
//
// A crash in the middle leaves either no file at path or the whole one, and
// perhaps a temporary file beside it: one whose key was never used, or a
// second name of the key file, which [OpenLocal] removes.
func CreateLocal(path string, rand io.Reader) (_ *Local, err error) {
	k, err := newKey(rand)
	if err != nil {
		return nil, err
	}
	ref := make([]byte, 16)
	if _, err := io.ReadFull(rand, ref); err != nil {
		return nil, fmt.Errorf("kms: drawing a key reference: %w", err)
	}
	l := &Local{ref: hex.EncodeToString(ref), versions: []rootVersion{{id: "1", key: k}}}

	// CreateTemp makes the file with mode 0600 and O_EXCL.
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix(path)+"*")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	defer func() {
		if gone := os.Remove(f.Name()); gone != nil && !errors.Is(gone, fs.ErrNotExist) && err == nil {
			err = fmt.Errorf("%w: a second name of it remains: %w", ErrKeyFile, gone)
		}
	}()
	content := l.encode()
	defer clear(content)
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	// A crash up to here leaves a temporary file with a key that wraps
	// nothing. Link, unlike rename, refuses an existing name.
	if err := os.Link(f.Name(), path); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	// A crash here leaves the key file with two names: OpenLocal.
	if err := os.Remove(f.Name()); err != nil {
		return nil, fmt.Errorf("%w: a second name of it remains: %w", ErrKeyFile, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	return l, nil
}

// OpenLocal reads a key file. It refuses ([ErrKeyFile]) one that group or
// others may access in any way, that is no regular file, or that is
// malformed; a missing one wraps [fs.ErrNotExist].
func OpenLocal(path string) (*Local, error) {
	f, err := os.Open(path) //nolint:gosec // The operator names the file.
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	defer f.Close() //nolint:errcheck // Only read.
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is no regular file", ErrKeyFile)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("%w: its mode is %04o; only its owner may have access (0600)", ErrKeyFile, perm)
	}
	if info.Size() > localMaxSize {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrKeyFile, localMaxSize)
	}
	content := make([]byte, info.Size())
	defer clear(content)
	if _, err := io.ReadFull(f, content); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	l, err := decodeLocal(content)
	if err != nil {
		return nil, err
	}
	if err := removeSecondNames(path, info); err != nil {
		return nil, err
	}
	return l, nil
}

func tempPrefix(path string) string { return filepath.Base(path) + ".new-" }

// removeSecondNames finishes what a crash in CreateLocal left.
func removeSecondNames(path string, info fs.FileInfo) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix(path)) {
			continue
		}
		name := filepath.Join(filepath.Dir(path), e.Name())
		other, err := os.Lstat(name)
		if err != nil || !os.SameFile(info, other) {
			continue
		}
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("%w: a second name of it remains: %w", ErrKeyFile, err)
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // The directory of the file that was just made.
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// encode gives the file's content, which is the caller's to clear.
func (l *Local) encode() []byte {
	b := make([]byte, 0, 128+80*len(l.versions))
	b = append(b, localMagic+"\nref "+l.ref+"\n"...)
	for _, v := range l.versions {
		b = append(b, "key "+v.id+" "...)
		b = base64.StdEncoding.AppendEncode(b, v.key[:])
		b = append(b, '\n')
	}
	return b
}

var (
	localRefPattern     = regexp.MustCompile(`^[0-9a-f]{32}$`)
	localVersionPattern = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)
)

// decodeLocal accepts exactly what encode writes.
func decodeLocal(content []byte) (*Local, error) {
	malformed := func(line int, why string) (*Local, error) {
		return nil, fmt.Errorf("%w: line %d: %s", ErrKeyFile, line, why)
	}
	lines := bytes.Split(content, []byte("\n"))
	if len(lines) < 4 || len(lines[len(lines)-1]) != 0 {
		return malformed(len(lines), "the file ends too early")
	}
	lines = lines[:len(lines)-1]
	if string(lines[0]) != localMagic {
		return malformed(1, "it is no Chancery root key file, or of an unknown version")
	}
	ref, ok := bytes.CutPrefix(lines[1], []byte("ref "))
	if !ok || !localRefPattern.Match(ref) {
		return malformed(2, "ref and 32 hexadecimal digits are expected")
	}
	l := &Local{ref: string(ref)}
	for i, line := range lines[2:] {
		rest, ok := bytes.CutPrefix(line, []byte("key "))
		id, text, found := bytes.Cut(rest, []byte(" "))
		if !ok || !found || !localVersionPattern.Match(id) {
			return malformed(i+3, "key, a version and 32 bytes in base64 are expected")
		}
		v := rootVersion{id: string(id)}
		if len(text) != base64.StdEncoding.EncodedLen(keyLen) {
			return malformed(i+3, "the key has not 32 bytes in base64")
		}
		raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, err := base64.StdEncoding.Strict().Decode(raw, text)
		copy(v.key[:], raw)
		clear(raw)
		if err != nil || n != keyLen { // The decoder's error would show a byte of the key.
			return malformed(i+3, "the key has not 32 bytes in base64")
		}
		for _, earlier := range l.versions {
			if earlier.id == v.id {
				return malformed(i+3, "the version stands there twice")
			}
		}
		l.versions = append(l.versions, v)
	}
	return l, nil
}
