package webhooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const cursorVersion = 1

// cursor is how far an endpoint is, as its file in the data directory says.
type cursor struct {
	Version int `json:"v"`
	// Position is the last record that the endpoint is done with.
	Position uint64 `json:"position"`
	// Fingerprint is that of the configuration that was last recorded.
	Fingerprint string `json:"fingerprint"`
	// Disabled says that the endpoint answered 410 Gone. Another configuration
	// ends it; the position stands.
	Disabled bool `json:"disabled,omitempty"`
}

const cursorSuffix = ".json"

// readCursor does not take a damaged file for a new endpoint: that would lose
// what lies between.
func readCursor(path string) (c cursor, err error) {
	text, err := os.ReadFile(path) //nolint:gosec // the caller names the data directory.
	if err != nil {
		return c, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(&c) != nil || d.More() || c.Version != cursorVersion {
		return cursor{}, fmt.Errorf("%s is no cursor of this version: restore it, or remove it to begin anew", path)
	}
	return c, nil
}

// writeCursor replaces the file. On nil it is durable; a crash before leaves
// the old one or the new one, whole: the record in flight may come twice.
func writeCursor(path string, c cursor) error {
	c.Version = cursorVersion
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".cursor-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.Write(append(text, '\n'))
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

func syncDirectory(path string) error {
	d, err := os.Open(path) //nolint:gosec // the caller names the data directory.
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
