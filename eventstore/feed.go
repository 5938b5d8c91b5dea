package eventstore

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/chancery-dev/chancery/domain"
)

const (
	// MaxFeedNameLen bounds the name of a feed, in characters.
	MaxFeedNameLen = 32

	feedAccountPrefix = "CHANCERY-FEED-"
	feedInboxPrefix   = "_INBOX_"
)

// Feed is a durable consumer of the events for one service outside: what it
// is given, and the one NATS user that may fetch it. A feed shows records,
// never bodies.
type Feed struct {
	// Name has 1 to 32 of A-Z a-z 0-9 _ -; it is the durable's name too.
	Name string `json:"name"`
	// User is the public key of the user (an nkey, "U…").
	User string `json:"user"`
	// Filters say which events it is given, as [ParseFeedFilter] accepts
	// them; none means all.
	Filters []string `json:"filters"`
}

// Check refuses, with invalid_request, a feed that is not as its members'
// comments say. What passed can stand in a server's configuration: no member
// can hold a quote, a blank or a wildcard.
func (f Feed) Check() error {
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`).MatchString(f.Name) {
		return domain.Errorf(domain.CodeInvalidRequest, "a consumer's name has 1 to %d of A-Z a-z 0-9 _ -", MaxFeedNameLen)
	}
	// The decoder of keys passes over line ends.
	if !nkeys.IsValidPublicUserKey(f.User) || !regexp.MustCompile(`^[A-Z2-7]+$`).MatchString(f.User) {
		return domain.Errorf(domain.CodeInvalidRequest, "consumer %s: its user is no public nkey of a user", f.Name)
	}
	for _, filter := range f.Filters {
		if _, err := ParseFeedFilter(filter); err != nil {
			return err
		}
	}
	return nil
}

// Account is the NATS account that holds the feed's user and nothing else.
func (f Feed) Account() string { return feedAccountPrefix + f.Name }

// InboxPrefix is what the reply subjects of the user start with, before a
// dot: it may subscribe to no other subject.
func (f Feed) InboxPrefix() string { return feedInboxPrefix + f.Name }

// NextSubject is where the user asks for messages.
func (f Feed) NextSubject() string {
	return "$JS.API.CONSUMER.MSG.NEXT." + EventsStream + "." + f.Name
}

// AckSubject covers where it acknowledges them.
func (f Feed) AckSubject() string { return "$JS.ACK." + EventsStream + "." + f.Name + ".>" }

// subjects gives the filter subjects of the durable, none covering another,
// as the server wants them.
func (f Feed) subjects() ([]string, error) {
	var all []string
	for _, text := range f.Filters {
		subject, err := ParseFeedFilter(text)
		if err != nil {
			return nil, err
		}
		all = append(all, subject)
	}
	if len(all) == 0 {
		return []string{allEvents}, nil
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(slices.Clone(all), func(subject string) bool {
		return slices.ContainsFunc(all, func(other string) bool { return other != subject && covers(other, subject) })
	}), nil
}

// covers says whether every subject that b matches is matched by a. Both come
// from ParseFeedFilter: a wildcard is the last token.
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

// ParseFeedFilter gives the subject that a filter selects, always one below
// that of the events; else invalid_request. A filter is one of
//
//	ORG                   everything of an organization
//	ORG/directory         its scopes, memberships and API keys
//	ORG/keys              what happened to its key material
//	ORG/KIND/ID           the secrets of a scope (org, team, project, agent)
//	ORG/KIND/ID/SECRET    one secret
func ParseFeedFilter(text string) (string, error) {
	refused := domain.Errorf(domain.CodeInvalidRequest, "a filter is ORG, ORG/directory, ORG/keys, ORG/KIND/ID or ORG/KIND/ID/SECRET, such as org_01J…/team/team_01J…")
	parts := strings.Split(text, "/")
	org, err := domain.ParseOrgID(parts[0])
	if err != nil {
		return "", refused
	}
	switch len(parts) {
	case 1:
		return domain.SubjectPrefix + string(org) + ".>", nil
	case 3:
		scope, err := domain.ParseScope(parts[1], parts[2])
		if err != nil {
			return "", refused
		}
		return fmt.Sprintf("%s%s.%s.%s.*", domain.SubjectPrefix, org, scope.Kind, scope.ID), nil
	}
	stream, err := domain.ParseStream(strings.Join(parts, "."))
	if err != nil {
		return "", refused
	}
	return domain.SubjectPrefix + stream.Subject(), nil
}
