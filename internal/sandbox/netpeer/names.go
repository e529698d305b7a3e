//go:build linux && (amd64 || arm64)

package netpeer

import (
	"net/netip"
	"sync"
)

// namePool are the addresses that stand for hosts which an Allow policy knows by name. They are reserved for measurements and never public.
func namePool() netip.Prefix { return netip.MustParsePrefix("198.18.0.0/16") }

// maxNames bounds the hosts of one sandbox that have an address; the one that got it first gives its own up.
const maxNames = 60_000

// nameTable gives hosts addresses of the pool. They stay the same as long as the sandbox lives, whatever the policy: programs keep what they looked up.
type nameTable struct {
	mu     sync.Mutex
	byName map[string]netip.Addr
	byAddr map[netip.Addr]string
	order  []string
	next   netip.Addr
}

func newNameTable() *nameTable {
	return &nameTable{byName: map[string]netip.Addr{}, byAddr: map[netip.Addr]string{}, next: namePool().Addr().Next()}
}

// address gives the address that stands for the host.
func (t *nameTable) address(host string) netip.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a, has := t.byName[host]; has {
		return a
	}
	a := t.next
	if len(t.byName) >= maxNames {
		oldest := t.order[0]
		t.order = t.order[1:]
		a = t.byName[oldest]
		delete(t.byName, oldest)
	} else {
		t.next = t.next.Next()
	}
	t.byName[host], t.byAddr[a] = a, host
	t.order = append(t.order, host)
	return a
}

// host gives the host that an address stands for; "" if it is of no host.
func (t *nameTable) host(a netip.Addr) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byAddr[a]
}
