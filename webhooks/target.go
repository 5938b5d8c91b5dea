package webhooks

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"
)

var errTarget = errors.New("the endpoint's address is not one that webhooks may go to")

// special4 and special6 are the blocks that are not global unicast of the
// internet (RFC 6890 and the IANA registries); IPv6 is allowed in 2000::/3
// alone, special6 is what of it is carved out, tunnels to IPv4 included.
func special4() []netip.Prefix {
	return prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")
}

func special6() []netip.Prefix {
	return prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
}

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		all[i] = netip.MustParsePrefix(t)
	}
	return all
}

// public says whether an address is global unicast of the internet.
func public(a netip.Addr) bool {
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	if a.Is4() {
		return !slices.ContainsFunc(special4(), in)
	}
	return netip.MustParsePrefix("2000::/3").Contains(a) && !slices.ContainsFunc(special6(), in)
}

// reach says what an endpoint's connections may go to.
type reach struct {
	loopback bool // the URL names this machine: nothing but loopback
	private  bool // the operator allowed addresses of the own network
}

// allows judges one resolved address. Link-local, multicast and unspecified
// addresses are refused whatever was allowed: behind the first lie the
// metadata services of clouds.
func (r reach) allows(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return false
	case r.loopback:
		return a.IsLoopback()
	case r.private && (a.IsPrivate() || a.IsLoopback() || netip.MustParsePrefix("100.64.0.0/10").Contains(a)):
		return true
	}
	return public(a)
}

// control is called with each resolved address before it is connected to, so
// that a name that changes what it resolves to gains nothing.
func (r reach) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !r.allows(ap.Addr()) {
		return errTarget
	}
	return nil
}

// namesLoopback says whether a URL's host is this machine by what it says, not
// by what it resolves to.
func namesLoopback(u *url.URL) bool {
	if u.Hostname() == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(u.Hostname())
	return err == nil && a.Unmap().IsLoopback()
}

// checkURL refuses what can never be a target; its errors hold nothing of the
// text.
func checkURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Host == "", u.Hostname() == "", u.Opaque != "":
		return nil, errors.New("is no absolute URL")
	case u.User != nil:
		return nil, errors.New("may hold no user or password")
	case u.Fragment != "":
		return nil, errors.New("may hold no fragment")
	case u.Scheme == "https", u.Scheme == "http" && namesLoopback(u):
		return u, nil
	}
	return nil, errors.New("must be https, or http to this machine's loopback")
}

// newClient makes the client of one endpoint: no proxy, no redirect, bounded
// headers.
func newClient(r reach, timeout time.Duration, roots *tls.Config) *http.Client {
	dialer := &net.Dialer{Timeout: timeout, ControlContext: r.control}
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: nil, DialContext: dialer.DialContext, TLSClientConfig: roots, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: timeout, MaxResponseHeaderBytes: 16 << 10,
			MaxIdleConns: 1, MaxIdleConnsPerHost: 1, MaxConnsPerHost: 1, IdleConnTimeout: time.Minute,
		},
	}
}
