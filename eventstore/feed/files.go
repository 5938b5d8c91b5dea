package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// fileVersion is that of both files.
const fileVersion = 1

// Place is a consumer and the position up to which it has acknowledged.
type Place struct {
	Consumer
	Acknowledged uint64 `json:"acknowledged"`
}

// entry is what a file lists.
type entry interface{ Check() error }

type document[T entry] struct {
	Version   int `json:"v"`
	Consumers []T `json:"consumers"`
}

// ReadConsumers reads the file that says who may connect to the embedded
// server; none where there is no file. Content that is not understood is an
// error.
func ReadConsumers(path string) ([]Consumer, error) { return readFile[Consumer](path) }

// WriteConsumers replaces the file that ReadConsumers reads, mode 0600. Nothing
// in it is secret, but whoever can change it can read all events' metadata. On
// nil it is durable; a crash before that leaves the old file or the new one,
// whole.
func WriteConsumers(path string, all []Consumer) error { return writeFile(path, all) }

// ReadPlaces reads the positions that a node keeps of the consumers; none where
// there is no file. Content that is not understood is an error.
func ReadPlaces(path string) ([]Place, error) { return readFile[Place](path) }

func readFile[T entry](path string) ([]T, error) {
	text, err := os.ReadFile(path) //nolint:gosec // in the data directory.
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var d document[T]
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil || decoder.More() {
		return nil, errors.Join(fmt.Errorf("%s is no list of consumers", path), err)
	}
	if d.Version != fileVersion {
		return nil, fmt.Errorf("%s has version %d, which this program does not know", path, d.Version)
	}
	for _, e := range d.Consumers {
		if err := e.Check(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return d.Consumers, nil
}

func writeFile[T entry](path string, all []T) error {
	text, err := json.MarshalIndent(document[T]{Version: fileVersion, Consumers: all}, "", "  ")
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
	d, err := os.Open(dir) //nolint:gosec // the data directory.
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
