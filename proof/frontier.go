package proof

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Frontier is the right edge of a tree of a size (see [Tree.Frontier]): what
// is kept of leaves that expire.
type Frontier struct {
	Size uint64
	Rows []TileRow
}

// storedFrontier is its stored form. It is frozen: another form needs another
// version.
type storedFrontier struct {
	V    int       `json:"v"`
	Size uint64    `json:"size"`
	Rows []TileRow `json:"rows"`
}

const frontierVersion = 1

// Encode gives the one stored form.
func (f Frontier) Encode() ([]byte, error) {
	return json.Marshal(storedFrontier{V: frontierVersion, Size: f.Size, Rows: f.Rows})
}

// DecodeFrontier accepts exactly what Encode gives for the right edge of a
// tree. ErrFrontier: anything else.
func DecodeFrontier(raw []byte) (Frontier, error) {
	var s storedFrontier
	if err := json.Unmarshal(raw, &s); err != nil {
		return Frontier{}, fmt.Errorf("%w: it is no JSON of a frontier", ErrFrontier)
	}
	f := Frontier{Size: s.Size, Rows: s.Rows}
	again, err := f.Encode()
	if err != nil || s.V != frontierVersion || !bytes.Equal(raw, again) {
		return Frontier{}, fmt.Errorf("%w: it is not the stored form", ErrFrontier)
	}
	if _, _, err := Restore(newRightEdge(), f.Size, f.Rows); err != nil {
		return Frontier{}, err
	}
	return f, nil
}
