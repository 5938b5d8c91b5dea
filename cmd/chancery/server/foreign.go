package server

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// readForeign reads the operator's list of proven foreign messages: a line
// each, position and SHA-256 in hexadecimal, separated by blanks; # starts a
// comment. No file gives none.
func readForeign(path string) (map[uint64][32]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	foreign := map[uint64][32]byte{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		var hash [32]byte
		if len(words) != 2 || len(words[1]) != hex.EncodedLen(len(hash)) {
			return nil, fmt.Errorf("%s:%d: a line is a position and a SHA-256 in hexadecimal", path, n)
		}
		position, err := strconv.ParseUint(words[0], 10, 64)
		if err != nil || position == 0 {
			return nil, fmt.Errorf("%s:%d: not a position", path, n)
		}
		if _, err := hex.Decode(hash[:], []byte(words[1])); err != nil {
			return nil, fmt.Errorf("%s:%d: not hexadecimal", path, n)
		}
		foreign[position] = hash
	}
	return foreign, lines.Err()
}
