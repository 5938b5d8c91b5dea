package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
	"github.com/chancery-dev/chancery/proof"
)

// maxProblem bounds a refusal in bytes.
const maxProblem = 64 << 10

// addrTyped says whether --addr was typed: then a command that can do without
// a server asks the one at it. The variable alone does not count, as it stands
// for where secrets are.
func (a *app) addrTyped(cmd *cobra.Command) bool {
	return cmd.Flags().Changed("addr") && !a.addrFromEnv
}

// withDirFiles gives the files of an export.
func withDirFiles(dir string, pinned *proof.LogKey, do func(server.LogFiles) error) (err error) {
	sources := map[string]*proof.DirSource{}
	for _, log := range []string{proof.LogEvents, proof.LogAccess} {
		source, err := proof.OpenDir(filepath.Join(dir, log))
		if err != nil {
			return err
		}
		defer source.Close() //nolint:errcheck // only read.
		sources[log] = source
	}
	return do(server.LogFiles{
		Pinned: pinned, Source: func(log string) proof.Source { return sources[log] },
		FoundKey: func(ctx context.Context, log string) (proof.LogKey, error) {
			return proof.SourceKey(ctx, sources[log])
		},
	})
}

// withServedFiles gives the files that the server at --addr has. The time
// limit is for each of them: a log may be long.
func (a *app) withServedFiles(pinned *proof.LogKey, do func(server.LogFiles) error) error {
	key, err := a.apiKey()
	if err != nil {
		return err
	}
	root, err := url.Parse(a.addr)
	if err != nil || root.Host == "" || root.User != nil || root.Scheme != "http" && root.Scheme != "https" {
		return usagef("--addr must be http(s)://host, without a user")
	}
	a.warnInsecure()
	fetch := &fetching{app: a, apiKey: key, client: &http.Client{Timeout: a.timeout, CheckRedirect: noRedirect}}
	base := strings.TrimSuffix(a.addr, "/") + "/log/"
	return do(server.LogFiles{
		Pinned: pinned, Source: func(log string) proof.Source { return proof.HTTPSource{Base: base + log, Do: fetch.do} },
		FoundKey: func(ctx context.Context, log string) (proof.LogKey, error) { return fetch.logKey(ctx, base, log) },
	})
}

// noRedirect keeps the API key from going elsewhere.
func noRedirect(*http.Request, []*http.Request) error {
	return errors.New("the server redirects, which an API key does not follow")
}

// fetching asks a server for a log's files.
type fetching struct {
	app    *app
	apiKey string
	client *http.Client
}

// do sends a request as this program's user. A refusal is an error but for
// what is not there.
func (f *fetching) do(r *http.Request) (*http.Response, error) {
	r.Header.Set(wire.HeaderAuthorization, "Bearer "+f.apiKey)
	r.Header.Set(wire.HeaderUserAgent, "chancery-cli/"+versionOf(debug.ReadBuildInfo()))
	for header, value := range map[string]string{wire.HeaderReason: f.app.reason, wire.HeaderRunID: f.app.runID} {
		if value != "" {
			r.Header.Set(header, value)
		}
	}
	for {
		res, err := f.client.Do(r)
		if err != nil || res.StatusCode == http.StatusOK || res.StatusCode == http.StatusNotFound {
			return res, err
		}
		refusal := readProblem(res)
		limited := refusal.Code == domain.CodeRateLimited && refusal.RetryAfter > 0 && refusal.RetryAfter <= maxPatience
		if !limited || !wait(r.Context(), refusal.RetryAfter) {
			return nil, refusal
		}
	}
}

// maxPatience is the longest wait that a server may ask for between two files.
const maxPatience = 10 * time.Second

func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func readProblem(res *http.Response) *domain.Error {
	defer res.Body.Close()
	after, _ := time.ParseDuration(res.Header.Get(wire.HeaderRetryAfter) + "s")
	var p wire.Problem
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if media != wire.ContentProblem || json.NewDecoder(io.LimitReader(res.Body, maxProblem)).Decode(&p) != nil {
		return domain.Errorf(domain.CodeUnavailable, "the answer has status %d and does not come from Chancery", res.StatusCode)
	}
	return p.Err(after)
}

// logKey asks for the key of a log.
func (f *fetching) logKey(ctx context.Context, base, log string) (proof.LogKey, error) {
	text, err := proof.HTTPSource{Base: strings.TrimSuffix(base, "/"), Do: f.do}.Read(ctx, proof.KeyPath)
	if err != nil {
		return proof.LogKey{}, err
	}
	var answer wire.Response[[]wire.LogKey]
	if err := json.Unmarshal(text, &answer); err != nil {
		return proof.LogKey{}, fmt.Errorf("the server's keys are not understood: %w", err)
	}
	for _, key := range answer.Data {
		if key.Log == log {
			return proof.ParseLogKey(key.VKey)
		}
	}
	return proof.LogKey{}, fmt.Errorf("the server has no key of the %s log", log)
}
