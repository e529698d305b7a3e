//go:build linux && (amd64 || arm64)

package netpeer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const nicID tcpip.NICID = 1

// maxPendingDials bounds the connections that wait for their other side; more are dropped, and
// the sandbox's own stack tries them again.
const maxPendingDials = 512

// Config of a Peer.
type Config struct {
	// FD is this end of a SOCK_SEQPACKET pair, or a TUN device. The Peer does not close it; it must
	// stay open as long as the Peer is used.
	FD int
	// Device: FD is a TUN device, without packet information.
	Device bool
	// Policy in force from the start.
	Policy Policy
	// Service is the path of a unix socket of this machine to which connections
	// to Gateway:ServicePort are forwarded; empty: they are refused.
	Service string
	// Resolvers gives the name servers (host:port) that answer the sandbox's
	// queries; nil means those of /etc/resolv.conf.
	Resolvers func() ([]string, error)
	// Record, if set, is told of each connection when it is over, and of each that was refused. It is called from many goroutines at once.
	Record func(Event)
	// Log takes what is refused and what fails, at debug level; nil discards it.
	Log *slog.Logger
}

// Peer carries the traffic of one sandbox. Its methods may be called at once.
type Peer struct {
	cfg   Config
	log   *slog.Logger
	stack *stack.Stack

	names *nameTable

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu     sync.Mutex
	policy Policy
	flows  map[*flow]struct{}
}

// flow is one carried TCP connection or UDP exchange.
type flow struct {
	to    netip.AddrPort
	host  string // that to stands for; empty: to itself is meant
	conns []net.Conn
}

// New starts a Peer on c.FD.
func New(c Config) (*Peer, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Resolvers == nil {
		c.Resolvers = systemResolvers
	}
	link, err := fdbased.New(linkOptions(c))
	if err != nil {
		return nil, fmt.Errorf("open the sandbox's link: %w", err)
	}
	p := &Peer{cfg: c, log: c.Log, policy: c.Policy, flows: map[*flow]struct{}{}, names: newNameTable()}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	if err := p.configure(withoutEcho(link)); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// linkOptions are how packets are read and written.
func linkOptions(c Config) *fdbased.Options {
	o := &fdbased.Options{
		FDs:                []int{c.FD},
		MTU:                MTU,
		PacketDispatchMode: fdbased.RecvMMsg,
		// Both ends are memory of this machine: there is nothing to check.
		RXChecksumOffload: true,
		TXChecksumOffload: true,
	}
	if c.Device {
		o.PacketDispatchMode = fdbased.Readv
		o.TXChecksumOffload = false // the kernel drops what has no checksum
	}
	return o
}

// EnlargeBuffer lets a few dozen large packets wait at an end of a link. A full buffer drops them, and a connection that loses many stands still for
// seconds, then minutes. Best effort.
func EnlargeBuffer(fd int) {
	const size = 4 << 20
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, size)
	}
}

// configure makes the stack take every packet, whatever its destination, as its own.
func (p *Peer) configure(link stack.LinkEndpoint) error {
	s := p.stack
	p.tune()
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(s, 0, maxPendingDials, p.handleTCP).HandlePacket)
	s.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s, p.handleUDP).HandlePacket)
	if err := s.CreateNIC(nicID, link); err != nil {
		return fmt.Errorf("create the link's interface: %s", err)
	}
	if err := s.SetPromiscuousMode(nicID, true); err != nil {
		return fmt.Errorf("make the link promiscuous: %s", err)
	}
	if err := s.SetSpoofing(nicID, true); err != nil {
		return fmt.Errorf("let the link answer for every address: %s", err)
	}
	addr := tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(Gateway().As4()), PrefixLen: PrefixLen},
	}
	if err := s.AddProtocolAddress(nicID, addr, stack.AddressProperties{}); err != nil {
		return fmt.Errorf("give the link its address: %s", err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nicID}})
	return nil
}

// tune sets what makes bulk transfers fast; the defaults are right without it, only slower.
func (p *Peer) tune() {
	sack := tcpip.TCPSACKEnabled(true)
	rcv := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: 8 << 20}
	snd := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: 8 << 20}
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &rcv, &snd, &moderate} {
		if err := p.stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			p.log.Debug("network option refused", "error", err.String())
		}
	}
}

// SetPolicy puts another policy in force, and cuts what is carried already and no longer allowed.
func (p *Peer) SetPolicy(policy Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policy = policy
	for f := range p.flows {
		if permitted(policy, f.to, f.host) != nil {
			f.close()
		}
	}
}

// Close ends everything the Peer carries. The link's file descriptor stays open.
func (p *Peer) Close() {
	p.cancel()
	p.mu.Lock()
	for f := range p.flows {
		f.close()
	}
	p.mu.Unlock()
	p.stack.RemoveNIC(nicID) // ends the readers of the link, of which there is none if New failed
	p.stack.Close()
}

// permitted returns nil if the policy lets the sandbox reach the address, or the host that it stands for.
func permitted(policy Policy, to netip.AddrPort, host string) error {
	switch to {
	case service():
		return nil
	case nameServer():
		if !policy.Resolve() {
			return fmt.Errorf("look up names: %w", ErrForbidden)
		}
		return nil
	}
	if host != "" {
		return policy.Name(host)
	}
	return policy.Connect(to)
}

// allowed returns nil if the policy in force lets the sandbox reach the address.
func (p *Peer) allowed(to netip.AddrPort) error {
	return permitted(p.inForce(), to, p.names.host(to.Addr()))
}

// inForce is the policy now.
func (p *Peer) inForce() Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.policy
}

// admit registers a flow under the policy in force, so that no change of policy can pass it by.
func (p *Peer) admit(to netip.AddrPort, conns ...net.Conn) (*flow, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return nil, p.ctx.Err()
	}
	host := p.names.host(to.Addr())
	if err := permitted(p.policy, to, host); err != nil {
		return nil, err
	}
	f := &flow{to: to, host: host, conns: conns}
	p.flows[f] = struct{}{}
	return f, nil
}

func (p *Peer) done(f *flow) {
	p.mu.Lock()
	delete(p.flows, f)
	p.mu.Unlock()
	f.close()
}

func (f *flow) close() {
	for _, c := range f.conns {
		c.Close()
	}
}

// destination of a request: the address that the sandbox wanted.
func destination(id stack.TransportEndpointID) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4(id.LocalAddress.As4()), id.LocalPort)
}
