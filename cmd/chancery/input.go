package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/chancery-dev/chancery/domain"
)

// errEmpty keeps a failed command before a pipe from storing nothing.
var errEmpty = errors.New("the value is empty: pass --allow-empty if that is meant")

// terminal gives the descriptor of a stream that a person sits at.
func terminal(stream any) (int, bool) {
	f, ok := stream.(*os.File)
	if !ok {
		return 0, false
	}
	fd := int(f.Fd())
	return fd, term.IsTerminal(fd)
}

// valueFlags say how a value is read.
type valueFlags struct {
	exact      bool
	allowEmpty bool
}

// readValue reads one value: from a hidden prompt on a terminal, else the
// whole of standard input, without one line ending at its end unless exact.
func (a *app) readValue(ctx context.Context, prompt string, v valueFlags) ([]byte, error) {
	var value []byte
	var err error
	if fd, ok := terminal(a.stdin); ok {
		value, err = a.prompt(ctx, fd, prompt)
	} else {
		value, err = a.readAll(ctx, domain.MaxValueLen+len("\r\n"))
		if !v.exact {
			value = trimLineEnd(value)
		}
	}
	if err != nil {
		return nil, err
	}
	return value, checkValue(value, v.allowEmpty)
}

func checkValue(value []byte, allowEmpty bool) error {
	switch {
	case len(value) > domain.MaxValueLen:
		return domain.Errorf(domain.CodeTooLong, "a value has at most %d bytes", domain.MaxValueLen)
	case len(value) == 0 && !allowEmpty:
		return usageError{errEmpty.Error()}
	}
	return nil
}

func trimLineEnd(b []byte) []byte {
	if rest, ok := bytes.CutSuffix(b, []byte("\n")); ok {
		return bytes.TrimSuffix(rest, []byte("\r"))
	}
	return b
}

// prompt asks without echo. An interrupt gives the terminal its echo back.
func (a *app) prompt(ctx context.Context, fd int, text string) ([]byte, error) {
	state, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	fmt.Fprint(a.stderr, text)
	defer fmt.Fprintln(a.stderr)
	value, err := await(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), term.Restore(fd, state))
	}
	return value, err
}

// readAll reads standard input to its end, at most limit bytes and one more
// to tell that it was too long.
func (a *app) readAll(ctx context.Context, limit int) ([]byte, error) {
	got, err := await(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.stdin, int64(limit)+1)) })
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return got, nil
}

// await gives what read gives, or ctx's error when that ends first. A read
// that is blocked then stays behind until the process ends.
func await[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := read()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// confirm asks a person to type the expected word. Without a terminal nobody
// can be asked, so the flag is needed.
func (a *app) confirm(ctx context.Context, question, expected, flag string) error {
	if _, ok := terminal(a.stdin); !ok {
		return usagef("nobody to ask on standard input: pass %s", flag)
	}
	fmt.Fprintf(a.stderr, "%s\nType %s to go on: ", question, expected)
	line, err := await(ctx, func() (string, error) { return readLine(a.stdin) })
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	if strings.TrimSpace(line) != expected {
		return errors.New("not confirmed: nothing was changed")
	}
	return nil
}

// readLine reads byte by byte, so that nothing behind the line is taken.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for len(line) < 4096 {
		n, err := r.Read(b[:])
		if n == 1 && b[0] == '\n' {
			break
		}
		line = append(line, b[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	return string(line), nil
}

// decodeValues reads a JSON object of strings; a repeated name is refused.
// Its errors repeat nothing of the text.
func decodeValues(text []byte) (map[string]string, error) {
	refused := usagef("standard input is not one JSON object of strings with distinct names")
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, refused
	}
	values := map[string]string{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, refused
		}
		var value *string
		if err := dec.Decode(&value); err != nil || value == nil {
			return nil, refused
		}
		key, _ := name.(string) // a member's name is always a string.
		if _, twice := values[key]; twice {
			return nil, refused
		}
		values[key] = *value
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('}') {
		return nil, refused
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, refused
	}
	return values, nil
}
