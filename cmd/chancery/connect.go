package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
)

// maxKeyFile bounds an API key file in bytes; a key is 66 long.
const maxKeyFile = 1024

var errNoKey = errors.New("no API key: set CHANCERY_API_KEY, or --api-key-file to a file of mode 0600")

// session is one command's conversation with the server.
type session struct {
	*client.Client
	ctx  context.Context
	opts []client.Option
}

// connect makes the client and calls do with it. The time limit starts here,
// so time spent at a prompt does not count: ask first, then connect.
func (a *app) connect(cmd *cobra.Command, do func(s session) error) error {
	key, err := a.apiKey()
	if err != nil {
		return err
	}
	c, err := client.New(client.Config{Addr: a.addr, APIKey: key, UserAgent: "chancery-cli/" + versionOf(debug.ReadBuildInfo())})
	if err != nil {
		return usageError{strings.TrimPrefix(err.Error(), "client: ")}
	}
	a.warnInsecure()
	ctx := cmd.Context()
	if a.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.timeout)
		defer cancel()
	}
	s := session{Client: c, ctx: ctx}
	if a.reason != "" {
		s.opts = append(s.opts, client.Reason(a.reason))
	}
	if a.runID != "" {
		s.opts = append(s.opts, client.RunID(a.runID))
	}
	return do(s)
}

// with gives the session's options and more.
func (s session) with(more ...client.Option) []client.Option {
	return append(append([]client.Option(nil), s.opts...), more...)
}

// apiKey finds the key: a typed --api-key-file, then CHANCERY_API_KEY, then
// CHANCERY_API_KEY_FILE.
func (a *app) apiKey() (string, error) {
	if key := a.getenv("CHANCERY_API_KEY"); key != "" && (a.apiKeyFile == "" || a.keyFileFromEnv) {
		return strings.TrimSpace(key), nil
	}
	if a.apiKeyFile == "" {
		return "", usageError{errNoKey.Error()}
	}
	return readKeyFile(a.apiKeyFile)
}

// readKeyFile refuses a file that others may read: its key is no secret any
// more.
func readKeyFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("API key file: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read from.
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("API key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("API key file %s is not a regular file", name)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return "", fmt.Errorf("API key file %s has mode %04o: others may read it; chmod 600 it", name, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return "", fmt.Errorf("API key file: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if key == "" || len(text) > maxKeyFile || strings.ContainsAny(key, "\r\n") {
		return "", fmt.Errorf("API key file %s does not hold one key alone", name)
	}
	return key, nil
}

// warnInsecure tells that the API key crosses a network in clear.
func (a *app) warnInsecure() {
	u, err := url.Parse(a.addr)
	if err != nil || u.Scheme != "http" {
		return
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return
	}
	fmt.Fprintf(a.stderr, "chancery: warning: plain http to %s: the API key and all that is not sealed cross the network readable\n", u.Host)
}
