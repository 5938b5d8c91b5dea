package eventstore

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/chancery-dev/chancery/domain"
)

// What the user of a feed can take from a server at most.
const (
	feedConnections   = 16
	feedSubscriptions = 64
	feedPayload       = 64 << 10 // of its own requests, in bytes
)

// FeedAccounts writes the part of a NATS server's configuration that lets the
// users of the feeds fetch and acknowledge what is theirs. The embedded server
// runs exactly this text, with serviceLines among the lines of the service's
// own account. Nothing in it is secret.
//
// NATS does not check where a request's reply goes. In the service's own
// account, a reply subject would be enough to write into the log. So every
// user has an account of its own: between accounts, the server puts a reply
// subject of its own in place of the requester's.
//
// Errors: invalid_request where a feed does not pass its Check, two have one
// name or user, or the account has no name that a configuration could hold.
func FeedAccounts(service string, feeds []Feed, serviceLines ...string) (string, error) {
	if !regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`).MatchString(service) {
		return "", domain.Errorf(domain.CodeInvalidRequest, "the service's NATS account has no name that can stand in a configuration")
	}
	seen := map[string]bool{service: true}
	for _, f := range feeds {
		if err := f.Check(); err != nil {
			return "", err
		}
		if seen[f.Account()] || seen[f.User] {
			return "", domain.Errorf(domain.CodeInvalidRequest, "consumer %s: its name or its user is taken", f.Name)
		}
		seen[f.Account()], seen[f.User] = true, true
	}
	var b strings.Builder
	fmt.Fprintf(&b, "accounts {\n  %q {\n", service)
	for _, line := range serviceLines {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	b.WriteString("    exports: [\n")
	for _, f := range feeds {
		fmt.Fprintf(&b, "      {service: %q, response: stream, accounts: [%q]}\n", f.NextSubject(), f.Account())
		fmt.Fprintf(&b, "      {service: %q, accounts: [%q]}\n", f.AckSubject(), f.Account())
	}
	b.WriteString("    ]\n  }\n")
	for _, f := range feeds {
		fmt.Fprintf(&b, "  %q {\n    imports: [\n", f.Account())
		for _, subject := range []string{f.NextSubject(), f.AckSubject()} {
			fmt.Fprintf(&b, "      {service: {account: %q, subject: %q}}\n", service, subject)
		}
		b.WriteString("    ]\n    users: [\n")
		fmt.Fprintf(&b, "      {nkey: %s, permissions: {\n        publish: {allow: [%q, %q]}\n        subscribe: {allow: [%q]}\n      }}\n    ]\n",
			f.User, f.NextSubject(), f.AckSubject(), f.InboxPrefix()+".>")
		fmt.Fprintf(&b, "    limits {max_connections: %d, max_subscriptions: %d, max_payload: %d}\n  }\n",
			feedConnections, feedSubscriptions, feedPayload)
	}
	b.WriteString("}\n")
	return b.String(), nil
}
