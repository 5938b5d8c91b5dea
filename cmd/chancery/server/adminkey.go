package server

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/chancery-dev/chancery/domain"
)

const adminKeyFile = "admin.key"

// newToken makes an API key's text from random bytes.
func newToken(rand io.Reader) (string, error) {
	var lookup [9]byte
	var secret [32]byte
	defer clear(secret[:])
	if _, err := io.ReadFull(rand, lookup[:]); err != nil {
		return "", err
	}
	if _, err := io.ReadFull(rand, secret[:]); err != nil {
		return "", err
	}
	return domain.NewToken(lookup, secret).Reveal(), nil
}

// readAdminKey gives the token in a file, "" when there is no file.
func readAdminKey(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}

// writeAdminKey makes the file, mode 0600, with the token alone on one line.
// On nil its content and its name are durable; a crash before that leaves no
// file of this name, or the whole one.
func writeAdminKey(path, token string) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, ".admin.key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.WriteString(token + "\n")
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	return syncDirectory(dir)
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
