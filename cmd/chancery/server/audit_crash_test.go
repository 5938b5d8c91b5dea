package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// killClients is how many callers load a server that is killed.
const killClients = 16

// gotten is what one answer of 200 gave out.
type gotten struct{ action, secret, field, run string }

// TestAuditKill: SIGKILL at any moment never leaves a released value or key
// without its access record: every answer that was received has one.
func TestAuditKill(t *testing.T) {
	t.Parallel()
	const rounds = 4
	data := filepath.Join(t.TempDir(), "data")
	received := map[string]gotten{}
	var mu sync.Mutex
	var w *auditWorld
	for round := range rounds {
		url, kill := process(t, data)
		if w == nil {
			w = worldOn(t, &testServer{URL: url, AdminKey: strings.TrimSpace(string(readFile(t, filepath.Join(data, "admin.key"))))})
		}
		w.URL, w.writer.url, w.auditor.url = url, url, url
		l := newLoad(t, w, round)
		var clients sync.WaitGroup
		progress := make(chan struct{}, 1<<16)
		var after atomic.Bool
		for c := range killClients {
			clients.Go(func() {
				for i := 0; ; i++ {
					id := fmt.Sprintf("load-%d-%d-%d", round, c, i)
					what, ok := l.one(t.Context(), i+c, id)
					if !ok {
						return // the process is gone
					}
					mu.Lock()
					received[id] = what
					mu.Unlock()
					if after.Load() {
						continue
					}
					progress <- struct{}{}
				}
			})
		}
		for range 200 + rand.IntN(800) {
			<-progress
		}
		kill()
		after.Store(true)
		clients.Wait()
		l.close()
	}
	url, kill := process(t, data)
	defer kill()
	w.URL, w.auditor.url = url, url
	recorded := map[string]accessRow{}
	for _, row := range w.access(t, "limit", "1000") {
		recorded[row.RequestID] = row
	}
	missing := 0
	for id, want := range received {
		row, found := recorded[id]
		got := gotten{row.Action, row.SecretID, row.FieldKey, row.RunID}
		if !found || got != want || row.Outcome != "allowed" || row.actor() != w.writer.id {
			if missing++; missing < 10 {
				t.Errorf("the answer to %s gave out %+v and is recorded as %+v", id, want, row)
			}
		}
	}
	t.Logf("%d answers received, %d records found, %d wrong", len(received), len(recorded), missing)
	if len(received) < rounds*200 {
		t.Errorf("%d answers are no load", len(received))
	}
}

// load asks for values and keys; one connection a client.
type load struct {
	http       *http.Client
	w          *auditWorld
	secret     string
	ciphertext string
}

func newLoad(t *testing.T, w *auditWorld, round int) *load {
	t.Helper()
	l := &load{http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: killClients}}, w: w, secret: fmt.Sprint("s", round)}
	e := w.writer.seal(t, w.team, l.secret, "sealed", "x")
	l.ciphertext = e.DataKey
	w.writer.create(t, w.team, l.secret, keyed("open", plain("open sesame")), keyed("sealed", encrypted(e)))
	return l
}

func (l *load) close() { l.http.CloseIdleConnections() }

// one sends one request; not ok means that no whole answer came.
func (l *load) one(ctx context.Context, i int, id string) (gotten, bool) {
	p, run := l.w.team, "run-"+id
	release := mintBody(p, l.secret, "sealed")
	release["dataKeyCiphertext"] = l.ciphertext
	method, target, body, what := http.MethodGet, p.field(l.secret, "open"), obj(nil), gotten{"read", l.secret, "open", run}
	switch i % 4 {
	case 1:
		target, what = p.path(l.secret), gotten{"read", l.secret, "", run}
	case 2:
		method, target, body, what = http.MethodPost, "/agent/secrets/generate-data-key", mintBody(p, l.secret, "new"), gotten{"mint", l.secret, "new", run}
	case 3:
		method, target, body, what = http.MethodPost, "/agent/secrets/decrypt-data-key", release, gotten{"release", l.secret, "sealed", run}
	}
	status, _, err := l.send(ctx, method, target, body, id)
	return what, err == nil && status == http.StatusOK
}

func (l *load) send(ctx context.Context, method, target string, body obj, id string) (int, []byte, error) {
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, l.w.URL+target, content)
	if err != nil {
		return 0, nil, err
	}
	if content != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+l.w.writer.key)
	traced(id)(req)
	res, err := l.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}
