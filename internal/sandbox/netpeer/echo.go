//go:build linux && (amd64 || arm64)

package netpeer

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/nested"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// echoFilter drops ICMP to any address but the gateway's. The stack takes every
// address for its own, and would answer each ping as if the whole internet were up.
type echoFilter struct {
	nested.Endpoint
}

func withoutEcho(link stack.LinkEndpoint) stack.LinkEndpoint {
	f := &echoFilter{}
	f.Endpoint.Init(link, f)
	return f
}

// DeliverNetworkPacket implements stack.NetworkDispatcher.
func (f *echoFilter) DeliverNetworkPacket(protocol tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) {
	if strayICMP(pkt) {
		return
	}
	f.Endpoint.DeliverNetworkPacket(protocol, pkt)
}

func strayICMP(pkt *stack.PacketBuffer) bool {
	b, ok := pkt.Data().PullUp(header.IPv4MinimumSize)
	if !ok {
		return false
	}
	ip := header.IPv4(b)
	if ip.TransportProtocol() != header.ICMPv4ProtocolNumber {
		return false
	}
	return netip.AddrFrom4(ip.DestinationAddress().As4()) != Gateway()
}
