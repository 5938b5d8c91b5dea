package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/domain"
)

// Exit statuses.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRefused     = 3
	exitDenied      = 4
	exitNotFound    = 5
	exitConflict    = 6
	exitUnavailable = 7
	exitUnknown     = 8
	exitInterrupted = 130
)

// exitMeanings is the table that help and docs/cli.md show.
func exitMeanings() []struct {
	Status  int
	Meaning string
} {
	return []struct {
		Status  int
		Meaning string
	}{
		{exitOK, "done"},
		{exitFailed, "failed: an error of the server or of this machine"},
		{exitUsage, "usage: the command was not understood; nothing was sent"},
		{exitRefused, "refused: the input is not acceptable"},
		{exitDenied, "denied: no valid API key, or not allowed"},
		{exitNotFound, "not found: no such secret, field or item"},
		{exitConflict, "conflict: the state does not allow it, or a precondition failed"},
		{exitUnavailable, "unavailable: no answer, rate limited or not ready; try again"},
		{exitUnknown, "unknown: a write was sent and may have been stored; repeat it with the key named"},
		{exitInterrupted, "interrupted by a signal"},
	}
}

func exitTable() string {
	var b strings.Builder
	for _, e := range exitMeanings() {
		fmt.Fprintf(&b, "  %3d  %s\n", e.Status, e.Meaning)
	}
	return b.String()
}

// exitOf gives the exit status of a code; failed for one it does not know.
func exitOf(code domain.Code) int {
	switch code {
	case domain.CodeInvalidRequest, domain.CodeInvalidJSON, domain.CodeInvalidID, domain.CodeInvalidQuery,
		domain.CodeInvalidCursor, domain.CodeInvalidEnvelope, domain.CodeTooLong, domain.CodeEmptyPatch,
		domain.CodePreconditionInvalid, domain.CodeMethodNotAllowed, domain.CodeBodyTooLarge,
		domain.CodeUnsupportedMediaType:
		return exitRefused
	case domain.CodeUnauthenticated, domain.CodeForbidden:
		return exitDenied
	case domain.CodeRouteNotFound, domain.CodeSecretNotFound, domain.CodeFieldNotFound, domain.CodeNotFound:
		return exitNotFound
	case domain.CodeSecretExists, domain.CodeSensitivityDowngrade, domain.CodeDataKeyReused, domain.CodeTooManyFields,
		domain.CodeAmbiguousScope, domain.CodeKeyAlreadyIssued, domain.CodeConflict, domain.CodeIdempotencyExpired,
		domain.CodeVersionMismatch, domain.CodeDataKeyMismatch, domain.CodeIdempotencyKeyReused:
		return exitConflict
	case domain.CodeRateLimited, domain.CodeUnavailable, domain.CodePositionNotReached:
		return exitUnavailable
	case domain.CodeOutcomeUnknown:
		return exitUnknown
	case domain.CodeInternal:
		return exitFailed
	}
	return exitFailed
}

// failure marks an error of a command that ran; any other error of cobra's is
// one of usage.
type failure struct{ error }

// Unwrap gives the command's error.
func (f failure) Unwrap() error { return f.error }

// usageError is a mistake that only the running command could see.
type usageError struct{ text string }

// Error implements error.
func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// markFailures makes every command tell its own errors from cobra's.
func markFailures(c *cobra.Command) {
	for _, sub := range c.Commands() {
		markFailures(sub)
	}
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			if err := run(c, args); err != nil {
				return failure{err}
			}
			return nil
		}
	}
}

// report prints an error as one line and gives the exit status.
func (a *app) report(ctx context.Context, cmd *cobra.Command, err error) int {
	if err == nil {
		return exitOK
	}
	status, text := a.classify(ctx, cmd, err)
	fmt.Fprintln(a.stderr, "chancery: "+oneLine(text))
	return status
}

func (a *app) classify(ctx context.Context, cmd *cobra.Command, err error) (int, string) {
	_, ran := errors.AsType[failure](err)
	_, misused := errors.AsType[usageError](err)
	if !ran || misused {
		return exitUsage, fmt.Sprintf("usage: %v (see %s --help)", err, cmd.CommandPath())
	}
	if _, ok := errors.AsType[*domain.Error](err); ok {
		// A write that an interrupt left open is named as that first.
		return exitOf(domain.CodeOf(err)), err.Error()
	}
	// An Errno of the file system is a net.Error as well: these two are not.
	_, asked := errors.AsType[*url.Error](err)
	_, network := errors.AsType[*net.OpError](err)
	switch {
	case ctx.Err() != nil:
		return exitInterrupted, "interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable, fmt.Sprintf("unavailable: no answer within %v", a.timeout)
	case asked || network || errors.Is(err, io.ErrUnexpectedEOF):
		return exitUnavailable, "unavailable: " + strings.TrimPrefix(err.Error(), "client: ")
	}
	return exitFailed, "failed: " + err.Error()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
