//go:build linux && (amd64 || arm64)

package netpeer

import (
	"errors"
	"net/netip"
	"testing"
)

func TestPublicPolicy(t *testing.T) {
	t.Parallel()
	own := func() ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("::ffff:203.0.113.8"), netip.MustParseAddr("fe80::1%eth0")}, nil
	}
	const never, private, public = "never", "with AllowPrivate", "always"
	for addr, when := range map[string]string{
		"1.1.1.1":         public,
		"172.32.0.1":      public,
		"100.128.0.1":     public,
		"203.0.113.9":     public,
		"10.0.0.1":        private,
		"10.76.255.255":   private,
		"10.78.0.1":       private,
		"172.16.0.1":      private,
		"172.31.255.255":  private,
		"192.168.1.1":     private,
		"100.64.0.1":      private,
		"127.0.0.1":       never,
		"127.255.255.254": never,
		"0.0.0.0":         never,
		"0.1.2.3":         never,
		"169.254.169.254": never,
		"224.0.0.1":       never,
		"240.0.0.1":       never,
		"255.255.255.255": never,
		"198.18.0.1":      never,
		"203.0.113.7":     never, // this machine's
		"203.0.113.8":     never,
		"10.77.0.1":       never, // the link's own network
		"10.77.0.200":     never,
		"::1":             never,
		"2606:4700::1":    never, // the link has no IPv6
		"::ffff:1.1.1.1":  public,
		"::ffff:10.0.0.1": private,
	} {
		to := netip.AddrPortFrom(netip.MustParseAddr(addr), 80)
		for allow, open := range map[bool]bool{false: when == public, true: when != never} {
			err := Public{AllowPrivate: allow, Own: own}.Connect(to)
			if (err == nil) != open || err != nil && !errors.Is(err, ErrForbidden) {
				t.Errorf("%s, AllowPrivate %t: %v", addr, allow, err)
			}
		}
	}
}

func TestPublicPolicyIsClosedWhenOwnAddressesAreUnknown(t *testing.T) {
	t.Parallel()
	p := Public{Own: func() ([]netip.Addr, error) { return nil, errors.New("no netlink") }}
	if err := p.Connect(netip.MustParseAddrPort("1.1.1.1:80")); !errors.Is(err, ErrForbidden) {
		t.Errorf("error %v", err)
	}
}

func TestNonePolicy(t *testing.T) {
	t.Parallel()
	if (None{}).Resolve() || (None{}).Connect(netip.MustParseAddrPort("1.1.1.1:80")) == nil {
		t.Error("no network lets something through")
	}
	if permitted(None{}, service(), "") != nil {
		t.Error("the service is closed")
	}
	if permitted(None{}, nameServer(), "") == nil {
		t.Error("names are looked up")
	}
}
