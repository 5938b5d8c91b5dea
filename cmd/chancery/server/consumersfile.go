package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/chancery-dev/chancery/eventstore"
)

// consumersFile names the consumers of the embedded log and the public keys of
// their users. Nothing in it is secret, but whoever can change it can read all
// events' metadata.
const consumersFile = "consumers.json"

const consumersVersion = 1

type consumersDocument struct {
	Version   int               `json:"v"`
	Consumers []eventstore.Feed `json:"consumers"`
}

// readConsumers gives what the file says, nothing where there is none. What it
// does not understand is an error: it says who may connect.
func readConsumers(path string) ([]eventstore.Feed, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var d consumersDocument
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil || decoder.More() {
		return nil, errors.Join(fmt.Errorf("%s is no list of consumers", path), err)
	}
	if d.Version != consumersVersion {
		return nil, fmt.Errorf("%s has version %d, which this program does not know", path, d.Version)
	}
	for _, feed := range d.Consumers {
		if err := feed.Check(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return d.Consumers, nil
}

// writeConsumers replaces the file, mode 0600. On nil it is durable; a crash
// before that leaves the old one or the new one, whole.
func writeConsumers(path string, all []eventstore.Feed) error {
	text, err := json.MarshalIndent(consumersDocument{Version: consumersVersion, Consumers: all}, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, ".consumers-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.Write(append(text, '\n'))
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	return syncDirectory(dir)
}

// writeSeed makes a new file, mode 0600, with the seed of a user alone on one
// line, durable on nil. It never replaces one: another consumer may live by
// it.
func writeSeed(path string, seed []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	line := append(bytes.Clone(seed), '\n')
	defer clear(line)
	_, err = file.Write(line)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(fmt.Errorf("key file: %w", err), os.Remove(path))
	}
	return syncDirectory(filepath.Dir(path))
}
