package webhooks

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/chancery-dev/chancery/domain"
)

const (
	maxFile    = 1 << 20
	maxSecrets = 8
	maxDetail  = 256 // characters of an access record's detail
)

// Endpoint is one target as the operator configured it. It prints as its name:
// its URL and secrets are private to this package.
type Endpoint struct {
	Name         string
	target       *url.URL
	secrets      []Secret
	filter       filter
	fromStart    bool
	allowPrivate bool
	fingerprint  string // SHA-256 of the entry's bytes: what changed shows in it
}

// String implements [fmt.Stringer].
func (e Endpoint) String() string { return e.Name }

// GoString implements [fmt.GoStringer].
func (e Endpoint) GoString() string { return e.Name }

// LogValue implements [slog.LogValuer].
func (e Endpoint) LogValue() slog.Value { return slog.StringValue(e.Name) }

// detail is what an access record says of it: name, host and filters, at most
// 256 characters; never the path, the query or a secret.
func (e Endpoint) detail(what string) string {
	text := []rune(fmt.Sprintf("webhook %s: %s at %s, %s", what, e.Name, e.target.Host, e.filter))
	if len(text) > maxDetail {
		text = append(text[:maxDetail-1], '…')
	}
	return string(text)
}

// ReadFile reads the operator's list of endpoints. Whoever reads the file can
// forge deliveries: a file that others than its owner may read is refused. Its
// errors name the entry and the member, never what it holds.
func ReadFile(path string) ([]Endpoint, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file.
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s holds secrets and must have mode 0600", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	all, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// Parse reads a JSON array of endpoints: exact names, no unknown and no repeated
// member, nothing behind it. The errors are as those of [ReadFile].
func Parse(text []byte) ([]Endpoint, error) {
	if len(text) > maxFile {
		return nil, errors.New("the list is too long")
	}
	var entries []json.RawMessage
	if json.Unmarshal(text, &entries) != nil || entries == nil {
		return nil, errors.New("it is no JSON array of endpoints")
	}
	all := make([]Endpoint, 0, len(entries))
	for i, entry := range entries {
		e, err := parseEndpoint(entry)
		if err != nil {
			return nil, fmt.Errorf("endpoint %d: %w", i+1, err)
		}
		if slices.ContainsFunc(all, func(o Endpoint) bool { return strings.EqualFold(o.Name, e.Name) }) {
			return nil, fmt.Errorf("endpoint %d: name is taken by another", i+1)
		}
		all = append(all, e)
	}
	return all, nil
}

func parseEndpoint(text []byte) (e Endpoint, err error) {
	members, err := splitObject(text)
	if err != nil {
		return e, err
	}
	for _, m := range members {
		if err := e.take(m.name, m.value); err != nil {
			return Endpoint{}, err
		}
	}
	switch {
	case e.Name == "":
		return Endpoint{}, errors.New("name is missing")
	case e.target == nil:
		return Endpoint{}, errors.New("url is missing")
	case len(e.secrets) == 0:
		return Endpoint{}, errors.New("secrets is missing")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return Endpoint{}, errors.New("it is no JSON object")
	}
	sum := sha256.Sum256(compact.Bytes())
	e.fingerprint = hex.EncodeToString(sum[:])
	return e, nil
}

// take sets one member. What it refuses it names, and does not show.
func (e *Endpoint) take(name string, value []byte) (err error) {
	var text string
	var texts []string
	switch name {
	case "name", "url", "org", "from":
		if value[0] != '"' || json.Unmarshal(value, &text) != nil {
			return fmt.Errorf("%s must be a string", name)
		}
	case "secrets", "scopes", "types":
		if json.Unmarshal(value, &texts) != nil || len(texts) == 0 {
			return fmt.Errorf("%s must be an array of strings, not empty", name)
		}
	}
	switch name {
	case "name":
		if !regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`).MatchString(text) {
			return errors.New("name must have 1 to 32 of A-Z a-z 0-9 _ -")
		}
		e.Name = text
	case "url":
		if e.target, err = checkURL(text); err != nil {
			return fmt.Errorf("url %w", err)
		}
	case "org":
		if e.filter.org, err = domain.ParseOrgID(text); err != nil {
			return errors.New("org is no id of an organization")
		}
	case "from":
		if text != "start" && text != "now" {
			return errors.New(`from must be "start" or "now"`)
		}
		e.fromStart = text == "start"
	case "allowPrivate":
		if json.Unmarshal(value, &e.allowPrivate) != nil || value[0] == 'n' {
			return errors.New("allowPrivate must be true or false")
		}
	case "secrets":
		return e.takeSecrets(texts)
	case "scopes":
		return e.takeScopes(texts)
	case "types":
		return e.takeTypes(texts)
	default:
		return errors.New("it has a member that is not known: name, url, secrets, org, scopes, types, from, allowPrivate are")
	}
	return nil
}

func (e *Endpoint) takeSecrets(texts []string) error {
	if len(texts) > maxSecrets {
		return fmt.Errorf("secrets may be at most %d", maxSecrets)
	}
	for i, text := range texts {
		s, err := ParseSecret(text)
		if err != nil {
			return fmt.Errorf("secrets, number %d: %w", i+1, err)
		}
		e.secrets = append(e.secrets, s)
	}
	return nil
}

func (e *Endpoint) takeScopes(texts []string) error {
	for i, text := range texts {
		kind, id, _ := strings.Cut(text, "/")
		s, err := domain.ParseScope(kind, id)
		if err != nil {
			return fmt.Errorf("scopes, number %d, must be KIND/ID", i+1)
		}
		e.filter.scopes = append(e.filter.scopes, s)
	}
	return nil
}

func (e *Endpoint) takeTypes(texts []string) error {
	for i, text := range texts {
		if !slices.Contains(eventTypes(), domain.EventType(text)) {
			return fmt.Errorf("types, number %d, is no event type", i+1)
		}
		e.filter.types = append(e.filter.types, domain.EventType(text))
	}
	return nil
}

type member struct {
	name  string
	value json.RawMessage
}

// splitObject gives an object's members in order, none twice. The decoder of
// encoding/json would let case differ and the last of two win.
func splitObject(text []byte) ([]member, error) {
	refused := errors.New("it is no JSON object")
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, refused
	}
	var all []member
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		m := member{name: name}
		if err != nil || !ok || d.Decode(&m.value) != nil {
			return nil, refused
		}
		if slices.ContainsFunc(all, func(o member) bool { return o.name == name }) {
			return nil, errors.New("it has a member twice")
		}
		all = append(all, m)
	}
	return all, nil
}
