//go:build linux && (amd64 || arm64)

package netpeer

import (
	"fmt"
	"net/netip"
	"strings"
)

// Allow reaches the hosts of a list, and of this machine's addresses none.
//
// Hosts that are listed by name are reached by name alone: the peer answers a question for one with an address of its own (see nameTable), so that
// it knows for each connection which host is meant, and looks the real address up itself. What the connection then says of the host must agree; see
// guard. So an address that many hosts share opens only the listed one of them, as far as can be told from outside of encryption.
type Allow struct {
	names    map[string]bool // exact
	suffixes []string        // with the dot before them
	prefixes []netip.Prefix
	own      func() ([]netip.Addr, error)
}

// NewAllow makes a policy of entries as task.NormalizeHost gives them: names, *.suffix, addresses and CIDR blocks. own lists the addresses of this
// machine; nil means LocalAddrs.
func NewAllow(hosts []string, own func() ([]netip.Addr, error)) (*Allow, error) {
	a := &Allow{names: map[string]bool{}, own: own}
	for _, h := range hosts {
		if addr, err := netip.ParseAddr(h); err == nil {
			a.prefixes = append(a.prefixes, netip.PrefixFrom(addr, addr.BitLen()))
		} else if prefix, err := netip.ParsePrefix(h); err == nil {
			a.prefixes = append(a.prefixes, prefix)
		} else if suffix, is := strings.CutPrefix(h, "*"); is && strings.HasPrefix(suffix, ".") {
			a.suffixes = append(a.suffixes, suffix)
		} else if h == "" || strings.ContainsAny(h, "*/: ") {
			return nil, fmt.Errorf("%q is no host, *.suffix, address or CIDR block", h)
		} else {
			a.names[h] = true
		}
	}
	return a, nil
}

// Resolve is always true: names that are listed are answered.
func (*Allow) Resolve() bool { return true }

// Name returns nil if the host is listed.
func (a *Allow) Name(host string) error {
	host = plainName(host)
	if a.names[host] {
		return nil
	}
	for _, s := range a.suffixes {
		if strings.HasSuffix(host, s) && len(host) > len(s) {
			return nil
		}
	}
	return fmt.Errorf("host %s: not in the allowlist: %w", host, ErrForbidden)
}

// Connect returns nil for addresses that are listed as such, private ones among them; never for this machine's own, loopback and link-local ones.
func (a *Allow) Connect(to netip.AddrPort) error {
	addr := to.Addr().Unmap()
	for _, p := range a.prefixes {
		if p.Contains(addr) {
			return Public{AllowPrivate: true, Own: a.own}.Connect(to)
		}
	}
	return fmt.Errorf("connect to %s: not in the allowlist: %w", to, ErrForbidden)
}

// Resolved returns nil if a listed host may have that address: a public one, or one that is listed too.
func (a *Allow) Resolved(to netip.AddrPort) error {
	if a.Connect(to) == nil {
		return nil
	}
	return Public{Own: a.own}.Connect(to)
}

// plainName is a host name as lists have it.
func plainName(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }
