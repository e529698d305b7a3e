//go:build linux && (amd64 || arm64)

package netpeer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"oddish/internal/sandbox"
)

// ErrForbidden is returned by a Policy for what the sandbox may not reach.
var ErrForbidden = errors.New("forbidden by the network policy")

// Policy decides what a sandbox may reach. The service address is not asked
// about: it is open under every policy. Methods are called at once from many
// goroutines.
//
// Under an Allow policy, which goes by names, connections are looked at besides: many names share an address.
type Policy interface {
	// Resolve says whether names are looked up at all.
	Resolve() bool
	// Name returns nil if the sandbox may reach the host by its name, whatever its address is otherwise, and an error that wraps ErrForbidden if not.
	Name(host string) error
	// Connect returns nil if the sandbox may send to that address over TCP or
	// UDP, and an error that wraps ErrForbidden otherwise.
	Connect(to netip.AddrPort) error
}

// PolicyOf gives the policy that the contract names. allowPrivate opens private addresses to NetworkPublic. The error wraps
// sandbox.ErrUnsupported.
func PolicyOf(n sandbox.Network, allowPrivate bool) (Policy, error) {
	switch n.Mode {
	case "", sandbox.NetworkPublic:
		return Public{AllowPrivate: allowPrivate}, nil
	case sandbox.NetworkNone:
		return None{}, nil
	case sandbox.NetworkAllowlist:
		allow, err := NewAllow(n.Hosts, nil)
		if err != nil {
			return nil, fmt.Errorf("allowed hosts: %w: %w", err, sandbox.ErrUnsupported)
		}
		return allow, nil
	}
	return nil, fmt.Errorf("there is no network mode %q (but %q, %q and %q): %w",
		n.Mode, sandbox.NetworkPublic, sandbox.NetworkNone, sandbox.NetworkAllowlist, sandbox.ErrUnsupported)
}

// None reaches nothing.
type None struct{}

// Resolve is always false.
func (None) Resolve() bool { return false }

// Name always fails.
func (None) Name(host string) error { return fmt.Errorf("host %s: no network: %w", host, ErrForbidden) }

// Connect always fails.
func (None) Connect(to netip.AddrPort) error {
	return fmt.Errorf("connect to %s: no network: %w", to, ErrForbidden)
}

// Public reaches the internet, never this machine: loopback, link-local
// addresses (where clouds keep their metadata), the addresses of this machine's
// own interfaces and special-purpose ranges are closed.
type Public struct {
	// AllowPrivate also opens the private ranges (10.0.0.0/8, 172.16.0.0/12,
	// 192.168.0.0/16, 100.64.0.0/10), where a company's own services live.
	AllowPrivate bool
	// Own lists the addresses of this machine; nil means LocalAddrs.
	Own func() ([]netip.Addr, error)
}

// Resolve is always true.
func (Public) Resolve() bool { return true }

// Name is always nil: addresses count.
func (Public) Name(string) error { return nil }

// Connect fails for every address that is not a public one.
func (p Public) Connect(to netip.AddrPort) error {
	addr := to.Addr().Unmap()
	if why := p.closed(addr); why != "" {
		return fmt.Errorf("connect to %s: %s: %w", to, why, ErrForbidden)
	}
	own := p.Own
	if own == nil {
		own = LocalAddrs
	}
	addrs, err := own()
	if err != nil {
		return fmt.Errorf("connect to %s: list own addresses: %w: %w", to, err, ErrForbidden)
	}
	for _, a := range addrs {
		if a.Unmap().WithZone("") == addr {
			return fmt.Errorf("connect to %s: an address of this machine: %w", to, ErrForbidden)
		}
	}
	return nil
}

// closed says why an address is closed whatever this machine's own are, or "".
func (p Public) closed(addr netip.Addr) string {
	switch {
	case !addr.IsValid() || !addr.Is4():
		return "not an IPv4 address"
	case addr.IsLoopback():
		return "a loopback address"
	case addr.IsLinkLocalUnicast():
		return "a link-local address"
	case addr.IsMulticast():
		return "a multicast address"
	case linkPrefix().Contains(addr):
		return "an address of the sandbox's own link"
	}
	for _, r := range specialRanges() {
		if r.Contains(addr) {
			return "a special-purpose address"
		}
	}
	if p.AllowPrivate {
		return ""
	}
	for _, r := range privateRanges() {
		if r.Contains(addr) {
			return "a private address"
		}
	}
	return ""
}

func linkPrefix() netip.Prefix { return netip.PrefixFrom(Gateway(), PrefixLen).Masked() }

// specialRanges are never public: this network, benchmarking, reserved and broadcast.
func specialRanges() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),
		netip.MustParsePrefix("198.18.0.0/15"),
		netip.MustParsePrefix("240.0.0.0/4"),
	}
}

func privateRanges() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("100.64.0.0/10"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"),
	}
}

// LocalAddrs lists the addresses of this machine's interfaces now.
func LocalAddrs() ([]netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	out := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, ip)
			}
		}
	}
	return out, nil
}
