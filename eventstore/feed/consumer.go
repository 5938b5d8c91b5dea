package feed

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/chancery-dev/chancery/domain"
)

const (
	// MaxNameLen bounds the name of a consumer, in characters.
	MaxNameLen = 32

	accountPrefix = "CHANCERY-FEED-"
	inboxPrefix   = "_INBOX_"
)

// Consumer is a durable consumer of the feed for one service outside, and the
// one NATS user that may read it.
type Consumer struct {
	// Name has 1 to 32 of A-Z a-z 0-9 _ -; it is the durable's name too.
	Name string `json:"name"`
	// User is the public key of the user (an nkey, "U…").
	User string `json:"user"`
	// Filters select the events, as [ParseFilter] accepts them; none means
	// all.
	Filters []string `json:"filters"`
}

// Check refuses, with invalid_request, a consumer that is not as the members'
// comments say. One that passes can stand in a server's configuration: no
// member can hold a quote, a blank or a wildcard.
func (c Consumer) Check() error {
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`).MatchString(c.Name) {
		return domain.Errorf(domain.CodeInvalidRequest, "a consumer's name has 1 to %d of A-Z a-z 0-9 _ -", MaxNameLen)
	}
	// The decoder of keys passes over line ends.
	if !nkeys.IsValidPublicUserKey(c.User) || !regexp.MustCompile(`^[A-Z2-7]+$`).MatchString(c.User) {
		return domain.Errorf(domain.CodeInvalidRequest, "consumer %s: its user is no public nkey of a user", c.Name)
	}
	for _, filter := range c.Filters {
		if _, err := ParseFilter(filter); err != nil {
			return err
		}
	}
	return nil
}

// Account is the NATS account that holds the consumer's user and nothing else.
func (c Consumer) Account() string { return accountPrefix + c.Name }

// InboxPrefix begins the reply subjects of the user, before a dot: the user
// may subscribe to no other subject.
func (c Consumer) InboxPrefix() string { return inboxPrefix + c.Name }

// NextSubject is where the user asks for messages.
func (c Consumer) NextSubject() string { return "$JS.API.CONSUMER.MSG.NEXT." + Stream + "." + c.Name }

// InfoSubject is where the user asks about its consumer.
func (c Consumer) InfoSubject() string { return "$JS.API.CONSUMER.INFO." + Stream + "." + c.Name }

// AckSubject covers where the user acknowledges messages.
func (c Consumer) AckSubject() string { return "$JS.ACK." + Stream + "." + c.Name + ".>" }

// subjects returns the filter subjects of the durable, none covering another,
// as the server wants them.
func (c Consumer) subjects() ([]string, error) {
	var all []string
	for _, text := range c.Filters {
		subject, err := ParseFilter(text)
		if err != nil {
			return nil, err
		}
		all = append(all, subject)
	}
	if len(all) == 0 {
		return []string{allSubjects}, nil
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(slices.Clone(all), func(subject string) bool {
		return slices.ContainsFunc(all, func(other string) bool { return other != subject && covers(other, subject) })
	}), nil
}

// covers reports whether a matches every subject that b matches. Both come
// from ParseFilter: a wildcard is the last token.
func covers(a, b string) bool {
	switch head, wildcard := a[:len(a)-1], a[len(a)-1]; wildcard {
	case '>':
		return strings.HasPrefix(b, head)
	case '*':
		rest, ok := strings.CutPrefix(b, head)
		return ok && rest != ">" && !strings.Contains(rest, ".")
	}
	return a == b
}

// ParseFilter returns the subject that a filter selects, always one below that
// of the feed; else invalid_request. A filter is one of
//
//	ORG                   everything of an organization
//	ORG/directory         its scopes, memberships and API keys
//	ORG/keys              what happened to its key material
//	ORG/KIND/ID           the secrets of a scope (org, team, project, agent)
//	ORG/KIND/ID/SECRET    one secret
func ParseFilter(text string) (string, error) {
	refused := domain.Errorf(domain.CodeInvalidRequest, "a filter is ORG, ORG/directory, ORG/keys, ORG/KIND/ID or ORG/KIND/ID/SECRET, such as org_01J…/team/team_01J…")
	parts := strings.Split(text, "/")
	org, err := domain.ParseOrgID(parts[0])
	if err != nil {
		return "", refused
	}
	switch len(parts) {
	case 1:
		return subjectPrefix + string(org) + ".>", nil
	case 3:
		scope, err := domain.ParseScope(parts[1], parts[2])
		if err != nil {
			return "", refused
		}
		return fmt.Sprintf("%s%s.%s.%s.*", subjectPrefix, org, scope.Kind, scope.ID), nil
	}
	stream, err := domain.ParseStream(strings.Join(parts, "."))
	if err != nil {
		return "", refused
	}
	return subjectPrefix + stream.Subject(), nil
}
