//go:build linux && (amd64 || arm64)

// Package netpeer is the other end of a sandbox's only network link: a TCP/IP
// stack in user space that receives the sandbox's packets over a socket pair,
// decides under a Policy what they may reach, and carries what is allowed over
// ordinary sockets of this machine.
//
// It needs neither root nor a network namespace, and what it does not carry the
// sandbox cannot reach: there is no other way out. It knows nothing of gVisor's
// containers; the shim process of package builtin, above it, owns one Peer for
// each sandbox.
package netpeer

import "net/netip"

// ServicePort is the port of Gateway at which Config.Service is reached.
const ServicePort = 18080

// PrefixLen is the length in bits of the link's network prefix.
const PrefixLen = 24

// MTU of the link in bytes. The link is a socket pair, so large packets are
// free, and fewer of them are what makes it fast.
const MTU = 65520

// Gateway is the address of this end of the link: default route, name server
// and, at ServicePort, the service.
func Gateway() netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, 1}) }

// Guest is the address of the sandbox's end of the link.
func Guest() netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, 2}) }

// service is where connections are forwarded to Config.Service.
func service() netip.AddrPort { return netip.AddrPortFrom(Gateway(), ServicePort) }

// nameServer is where the sandbox sends its name queries.
func nameServer() netip.AddrPort { return netip.AddrPortFrom(Gateway(), 53) }
