package httpapi

import (
	"crypto/subtle"
	"net/netip"
	"strings"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// authenticate finds out who calls. Why a key is not accepted is not told.
func (c *call) authenticate() error {
	if c.route.open {
		return nil
	}
	principal, ok := c.identify()
	if !ok {
		if c.config.State.Serving() != nil {
			return unavailable("this node has not caught up with the log yet")
		}
		return c.unauthenticated()
	}
	if c.principal.Agent == "" { // not after a wait: the target may be known better by then
		c.access.Target = principal.Org
	}
	c.principal = principal
	c.access.Org = principal.Org
	c.access.Actor = domain.Actor{Kind: domain.ActorAgent, ID: string(principal.Agent), KeyID: principal.Key}
	return nil
}

// identify looks a well-formed token's key up and compares it in constant
// time, also where there is no such key. A token whose checksum does not hold
// is not looked up. Of one that is not accepted the record tells the lookup
// id, and whose key it is only where the secret was the right one: a lookup id
// is no proof of anything.
func (c *call) identify() (domain.Principal, bool) {
	lookupID, hash, ok := domain.ParseToken(bearer(c.http.Header.Values(wire.HeaderAuthorization)))
	if !ok {
		return domain.Principal{}, false
	}
	key, principal, known := c.config.State.Authenticate(lookupID)
	same := subtle.ConstantTimeCompare(hash[:], key.Hash[:]) == 1
	expired := !key.ExpiresAt.IsZero() && !c.config.Now().Before(key.ExpiresAt)
	if !known || !same || expired || !key.RevokedAt.IsZero() {
		c.access.Detail = "lookup id " + lookupID
		if known {
			c.access.Target = principal.Org
		}
		if known && same {
			c.access.Org, c.access.Actor = principal.Org, domain.Actor{Kind: domain.ActorAgent, ID: string(key.Agent), KeyID: key.ID}
		}
		return domain.Principal{}, false
	}
	principal.Key = key.ID
	return principal, true
}

// bearer gives the token of the one Authorization header (RFC 6750, section
// 2.1), "" if there is not exactly one.
func bearer(values []string) string {
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// unauthenticated records and refuses. An address that fails too often is no
// longer recorded but told to wait; valid keys from there still work.
func (c *call) unauthenticated() error {
	if wait, ok := c.failures.take(addressPrefix(c.origin.ClientIP)); !ok {
		return rateLimited("too many failed authentications from this address", wait)
	}
	c.access.Action = domain.AccessAuthenticate
	c.access.Origin.Reason, _ = label(c.http.Header, wire.HeaderReason) // a malformed one is not why it is refused
	c.access.Origin.RunID, _ = label(c.http.Header, wire.HeaderRunID)
	if err := c.record(domain.OutcomeFailed, domain.CodeUnauthenticated); err != nil {
		return err
	}
	return domain.Errorf(domain.CodeUnauthenticated, "a valid API key is needed: Authorization: Bearer chy_…")
}

// addressPrefix gives what counts as one client: an IPv4 address or an IPv6
// /64.
func addressPrefix(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	return netip.PrefixFrom(addr, bits).Masked().String()
}

// limit bounds the requests of the caller.
func (c *call) limit() error {
	if c.route.open {
		return nil
	}
	if wait, ok := c.agents.take(string(c.principal.Agent)); !ok {
		return rateLimited("too many requests", wait)
	}
	return nil
}

func rateLimited(detail string, wait time.Duration) error {
	return &domain.Error{Code: domain.CodeRateLimited, Detail: detail, RetryAfter: wait}
}
