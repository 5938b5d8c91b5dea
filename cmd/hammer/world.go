package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

const (
	agents         = 8 // that share the connections
	encryptedField = domain.FieldKey("token")
	listPages      = 256 // places that lists begin at
	preloadTime    = 30 * time.Minute
	pageSize       = 100
)

// world is what the workloads work on.
type world struct {
	o       options
	node    *node
	data    string
	org     domain.OrgID
	project string
	keys    []string // of the agents
	// dataKeys are the ciphertexts of the encrypted fields, in the order of
	// their secrets.
	dataKeys []string
	pages    []string // cursors, "" for the first page
	fresh    atomic.Uint64
}

func (w *world) caller(worker int) caller {
	return caller{address: w.node.address, key: w.keys[worker%len(w.keys)]}
}

func (w *world) scope() domain.Scope { return domain.Scope{Kind: domain.ScopeProject, ID: w.project} }

func (w *world) secret(id string) string { return "/agent/secrets/project/" + w.project + "/" + id }

func (w *world) list(cursor string) string {
	path := fmt.Sprintf("/agent/secrets/project/%s?limit=%d", w.project, pageSize)
	if cursor != "" {
		path += "&cursor=" + cursor
	}
	return path
}

func (w *world) connect(key string) (*client.Client, error) {
	return client.New(client.Config{Addr: "http://" + w.node.address, APIKey: key, UserAgent: "hammer"})
}

// settle makes a project and the agents that work on it.
func (w *world) settle(ctx context.Context) error {
	key, err := os.ReadFile(filepath.Join(w.data, "admin.key"))
	if err != nil {
		return err
	}
	c, err := w.connect(strings.TrimSpace(string(key)))
	if err != nil {
		return err
	}
	who, err := c.Whoami(ctx)
	if err != nil {
		return err
	}
	w.org = domain.OrgID(who.OrgID)
	project, err := c.Admin().CreateProject(ctx, w.org, "Load", "")
	if err != nil {
		return err
	}
	w.project = project.ID
	for i := range agents {
		agent, err := c.Admin().CreateAgent(ctx, w.org, fmt.Sprintf("loader %d", i))
		if err != nil {
			return err
		}
		id := domain.AgentID(agent.ID)
		if _, err := c.Admin().Grant(ctx, w.org, id, w.scope(), domain.RoleWriter); err != nil {
			return err
		}
		issued, err := c.Admin().IssueKey(ctx, w.org, id, client.KeyTerms{})
		if err != nil {
			return err
		}
		w.keys = append(w.keys, string(issued.APIKey))
	}
	return nil
}

// preload makes the secrets.
func (w *world) preload(ctx context.Context, stderr io.Writer) error {
	begin := time.Now()
	fmt.Fprintf(stderr, "hammer: making %d secrets, %d with an encrypted field, and %d events of one\n", w.o.secrets, w.o.sealed, w.o.history)
	if err := w.preloadPlain(ctx); err != nil {
		return fmt.Errorf("making secrets: %w", err)
	}
	if err := w.preloadSealed(ctx); err != nil {
		return fmt.Errorf("making encrypted fields: %w", err)
	}
	if err := w.preloadHistory(ctx); err != nil {
		return fmt.Errorf("making a history: %w", err)
	}
	if err := w.findPages(ctx); err != nil {
		return fmt.Errorf("listing: %w", err)
	}
	fmt.Fprintf(stderr, "hammer: made in %v\n", time.Since(begin).Round(time.Millisecond))
	return nil
}

// counted is a load of n requests that must all succeed.
func (w *world) counted(ctx context.Context, n, conns, status int, source func(worker int) next) error {
	l := load{
		address: w.node.address, conns: min(conns, n), duration: preloadTime, ops: n, status: status, source: source,
	}
	t, _, err := l.run(ctx)
	if err != nil {
		return err
	}
	if t.errors() > 0 {
		return errors.New(t.complaint())
	}
	return nil
}

func (w *world) preloadPlain(ctx context.Context) error {
	var number atomic.Uint64
	return w.counted(ctx, w.o.secrets, w.o.preloadConns, http.StatusCreated, func(worker int) next {
		t := w.template(worker, "PUT", w.secret(plainID), "", w.createBody())
		return func() []byte { return t.fill(number.Add(1)-1, w.fresh.Add(1)) }
	})
}

// preloadHistory makes one secret and changes it over and over.
func (w *world) preloadHistory(ctx context.Context) error {
	create := w.template(0, "PUT", w.secret(historyID), "", w.createBody())
	if err := w.counted(ctx, 1, 1, http.StatusCreated, func(int) next {
		return func() []byte { return create.fill(0, w.fresh.Add(1)) }
	}); err != nil || w.o.history == 1 {
		return err
	}
	set := w.template(0, "PUT", w.secret(historyID)+"/fields/password", "", `{"sensitivity":"plaintext","value":"`+w.value()+`"}`)
	return w.counted(ctx, w.o.history-1, 1, http.StatusOK, func(int) next {
		return func() []byte { return set.fill(0, w.fresh.Add(1)) }
	})
}

// findPages walks the list for places to begin at.
func (w *world) findPages(ctx context.Context) error {
	w.pages = []string{""}
	for len(w.pages) < listPages {
		var answer struct {
			Page struct {
				NextCursor string `json:"nextCursor"`
			} `json:"page"`
		}
		if err := w.get(ctx, w.list(w.pages[len(w.pages)-1]), &answer); err != nil {
			return err
		}
		if answer.Page.NextCursor == "" {
			break
		}
		w.pages = append(w.pages, answer.Page.NextCursor)
	}
	if len(w.pages) > 1 {
		w.pages = w.pages[:len(w.pages)-1] // the last one may be short
	}
	return nil
}

func (w *world) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.node.address+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+w.keys[0])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return json.NewDecoder(res.Body).Decode(into)
}
