package feed

import (
	"crypto/tls"
	"fmt"
	"regexp"
	"strings"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// The most that the user of a consumer can take from a server.
const (
	maxConnections   = 16
	maxSubscriptions = 64
	maxPayload       = 64 << 10 // of its own requests, in bytes
)

// nobody is a subject of the service's account on which nobody listens.
const nobody = "_CHANCERY.NOBODY"

// Accounts writes the part of a NATS server's configuration that lets the
// users of the consumers ask, fetch and acknowledge, each at its own consumer.
// The embedded server runs exactly this text, with serviceLines among the
// lines of the service's own account. Nothing in the text is secret.
//
// NATS does not check where a request's reply goes. In the service's own
// account, a reply subject would be enough to write into the log. So every
// user has an account of its own: between accounts, the server puts a reply
// subject of its own in place of the requester's.
//
// A NATS server answers the whole JetStream API of an account without JetStream
// itself ("not enabled"), before the service can, unless the account imports
// $JS.API.INFO. So every account imports that from a subject where nobody
// listens.
//
// Errors: invalid_request where a consumer does not pass its Check, two have
// one name or user, or the account's name cannot stand in a configuration.
func Accounts(service string, consumers []Consumer, serviceLines ...string) (string, error) {
	if !regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`).MatchString(service) {
		return "", domain.Errorf(domain.CodeInvalidRequest, "the name of the service's NATS account cannot stand in a configuration")
	}
	seen := map[string]bool{service: true}
	for _, c := range consumers {
		if err := c.Check(); err != nil {
			return "", err
		}
		if seen[c.Account()] || seen[c.User] {
			return "", domain.Errorf(domain.CodeInvalidRequest, "consumer %s: its name or its user is taken", c.Name)
		}
		seen[c.Account()], seen[c.User] = true, true
	}
	var b strings.Builder
	fmt.Fprintf(&b, "accounts {\n  %q {\n", service)
	for _, line := range serviceLines {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	b.WriteString("    exports: [\n")
	for _, c := range consumers {
		fmt.Fprintf(&b, "      {service: %q, response: stream, accounts: [%q]}\n", c.NextSubject(), c.Account())
		for _, subject := range []string{c.InfoSubject(), c.AckSubject(), nobody} {
			fmt.Fprintf(&b, "      {service: %q, accounts: [%q]}\n", subject, c.Account())
		}
	}
	b.WriteString("    ]\n  }\n")
	for _, c := range consumers {
		fmt.Fprintf(&b, "  %q {\n    imports: [\n", c.Account())
		for _, subject := range []string{c.NextSubject(), c.InfoSubject(), c.AckSubject()} {
			fmt.Fprintf(&b, "      {service: {account: %q, subject: %q}}\n", service, subject)
		}
		fmt.Fprintf(&b, "      {service: {account: %q, subject: %q}, to: \"$JS.API.INFO\"}\n", service, nobody)
		b.WriteString("    ]\n    users: [\n")
		fmt.Fprintf(&b, "      {nkey: %s, permissions: {\n        publish: {allow: [%q, %q, %q]}\n        subscribe: {allow: [%q]}\n      }}\n    ]\n",
			c.User, c.NextSubject(), c.InfoSubject(), c.AckSubject(), c.InboxPrefix()+".>")
		fmt.Fprintf(&b, "    limits {max_connections: %d, max_subscriptions: %d, max_payload: %d}\n  }\n",
			maxConnections, maxSubscriptions, maxPayload)
	}
	b.WriteString("}\n")
	return b.String(), nil
}

// Listener returns what the embedded server needs to let the consumers in, and
// nobody else. The errors are those of [Accounts].
func Listener(address string, config *tls.Config, consumers []Consumer) (eventstore.Listener, error) {
	text, err := Accounts(eventstore.EmbeddedAccount, consumers, "jetstream: enabled")
	return eventstore.Listener{Address: address, TLS: config, Accounts: text}, err
}
