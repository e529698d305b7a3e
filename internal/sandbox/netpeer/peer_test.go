//go:build linux && (amd64 || arm64)

package netpeer

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// open reaches everything, so that a test can use this machine's own addresses.
type open struct{}

func (open) Resolve() bool                { return true }
func (open) Name(string) error            { return nil }
func (open) Connect(netip.AddrPort) error { return nil }

// guest is a sandbox's end of the link.
type guest struct{ stack *stack.Stack }

// newPair starts a peer and a guest on the two ends of a link.
func newPair(t *testing.T, c Config) (*Peer, *guest) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	EnlargeBuffer(fds[0])
	EnlargeBuffer(fds[1])
	c.FD = fds[0]
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	link, err := fdbased.New(&fdbased.Options{FDs: fds[1:], MTU: MTU, RXChecksumOffload: true, TXChecksumOffload: true})
	if err != nil {
		t.Fatal(err)
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	if err := s.CreateNIC(nicID, link); err != nil {
		t.Fatal(err)
	}
	addr := tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(Guest().As4()), PrefixLen: PrefixLen},
	}
	if err := s.AddProtocolAddress(nicID, addr, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, Gateway: tcpip.AddrFrom4(Gateway().As4()), NIC: nicID}})
	t.Cleanup(func() {
		p.Close()
		s.RemoveNIC(nicID)
		s.Close()
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	return p, &guest{s}
}

func full(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFrom4(a.Addr().As4()), Port: a.Port()}
}

func (g *guest) dialTCP(to netip.AddrPort) (*gonet.TCPConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return gonet.DialContextTCP(ctx, g.stack, full(to), ipv4.ProtocolNumber)
}

func (g *guest) dialUDP(t *testing.T, to netip.AddrPort) *gonet.UDPConn {
	t.Helper()
	a := full(to)
	c, err := gonet.DialUDP(g.stack, nil, &a, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// hostAddr is an address of this machine that is not loopback.
func hostAddr(t *testing.T) netip.Addr {
	t.Helper()
	addrs, err := LocalAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() && !a.IsLoopback() {
			return a
		}
	}
	t.Skip("this machine has no address but loopback")
	return netip.Addr{}
}

// echoServer answers every connection with what it sends.
func echoServer(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l
}

func TestServiceCarriesBothWaysToTheEnd(t *testing.T) {
	t.Parallel()
	l := echoServer(t, "unix", filepath.Join(t.TempDir(), "s"))
	_, g := newPair(t, Config{Policy: None{}, Service: l.Addr().String()})
	c, err := g.dialTCP(service())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	data := make([]byte, 8<<20)
	rand.Read(data)
	go func() {
		c.Write(data)
		c.CloseWrite() // whose end must come through, and not end the other way
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
	}
}

func TestClosedAddressesAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	_, g := newPair(t, Config{Policy: None{}})
	began := time.Now()
	for _, to := range []string{"1.1.1.1:443", "10.77.0.1:18080", "10.77.0.1:53", "10.77.0.9:1"} {
		if c, err := g.dialTCP(netip.MustParseAddrPort(to)); err == nil {
			c.Close()
			t.Errorf("%s is open", to)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: refused after %s", to, took)
		}
	}
}

func TestChangeOfPolicyCutsConnections(t *testing.T) {
	t.Parallel()
	l := echoServer(t, "tcp4", netip.AddrPortFrom(hostAddr(t), 0).String())
	svc := echoServer(t, "unix", filepath.Join(t.TempDir(), "s"))
	p, g := newPair(t, Config{Policy: open{}, Service: svc.Addr().String()})
	to := l.Addr().(*net.TCPAddr).AddrPort()
	c, err := g.dialTCP(to)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := g.dialTCP(service())
	if err != nil {
		t.Fatal(err)
	}
	ping := func(c net.Conn) error {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	if err := ping(c); err != nil {
		t.Fatal(err)
	}
	p.SetPolicy(Public{}) // to which this machine's addresses are closed
	if ping(c) == nil {
		t.Error("the connection goes on")
	}
	if err := ping(kept); err != nil {
		t.Errorf("the service was cut: %v", err)
	}
	if _, err := g.dialTCP(to); err == nil {
		t.Error("a new connection is let through")
	}
}

func TestDatagrams(t *testing.T) {
	t.Parallel()
	server, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(hostAddr(t), 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			server.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	p, g := newPair(t, Config{Policy: open{}})
	to := server.LocalAddr().(*net.UDPAddr).AddrPort()
	c := g.dialUDP(t, to)
	for _, msg := range []string{"one", "two"} {
		c.Write([]byte(msg))
		buf := make([]byte, 10)
		n, err := c.Read(buf)
		if err != nil || string(buf[:n]) != msg {
			t.Errorf("%q, %v", buf[:n], err)
		}
	}
	p.SetPolicy(None{})
	c = g.dialUDP(t, to)
	c.Write([]byte("three"))
	c.SetDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := c.Read(make([]byte, 10)); err == nil {
		t.Errorf("%d bytes came back under no network", n)
	}
}

// resolver is a name server that answers each query with its own text.
func resolver(t *testing.T, answer string) (addr string, asked *atomic.Int32) {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	asked = new(atomic.Int32)
	go func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			asked.Add(1)
			reply := append([]byte(nil), buf[:n]...)
			reply[2] |= 0x80
			c.WriteTo(append(reply, answer...), from)
		}
	}()
	return c.LocalAddr().String(), asked
}

func query(id uint16) []byte {
	q := binary.BigEndian.AppendUint16(nil, id)
	return append(q, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1)
}

func TestNames(t *testing.T) {
	t.Parallel()
	good, asked := resolver(t, "answer")
	dead, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close() // nobody answers there, which is told at once
	p, g := newPair(t, Config{Policy: open{}, Resolvers: func() ([]string, error) { return []string{dead.LocalAddr().String(), good}, nil }})
	c := g.dialUDP(t, nameServer())

	t.Run("two queries from one port are both answered", func(t *testing.T) {
		c.Write(query(1))
		c.Write(query(2))
		seen := map[uint16]bool{}
		for range 2 {
			buf := make([]byte, 512)
			n, err := c.Read(buf)
			if err != nil || n < dnsHeaderLen || !bytes.HasSuffix(buf[:n], []byte("answer")) {
				t.Fatalf("%q, %v", buf[:n], err)
			}
			seen[binary.BigEndian.Uint16(buf)] = true
		}
		if !seen[1] || !seen[2] || asked.Load() != 2 {
			t.Errorf("answers %v, %d queries", seen, asked.Load())
		}
	})
	t.Run("no network refuses without asking anybody", func(t *testing.T) {
		p.SetPolicy(None{})
		c.Write(query(3))
		buf := make([]byte, 512)
		n, err := c.Read(buf)
		if err != nil || n < dnsHeaderLen || buf[3]&0xf != dnsRefused || asked.Load() != 2 {
			t.Errorf("%q, %v, %d queries", buf[:n], err, asked.Load())
		}
	})
}

func TestNamesFailWhenNoServerAnswers(t *testing.T) {
	t.Parallel()
	_, g := newPair(t, Config{Policy: open{}, Resolvers: func() ([]string, error) { return nil, nil }})
	c := g.dialUDP(t, nameServer())
	c.Write(query(1))
	buf := make([]byte, 512)
	n, err := c.Read(buf)
	if err != nil || n < dnsHeaderLen || buf[3]&0xf != dnsServerFailed {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

func TestNamesOverTCP(t *testing.T) {
	t.Parallel()
	l := echoServer(t, "tcp4", "127.0.0.1:0")
	_, g := newPair(t, Config{Policy: open{}, Resolvers: func() ([]string, error) { return []string{l.Addr().String()}, nil }})
	c, err := g.dialTCP(nameServer())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("\x00\x01x"))
	if _, err := io.ReadFull(c, make([]byte, 3)); err != nil {
		t.Error(err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(query(1))
	f.Add([]byte{})
	p := &Peer{policy: None{}}
	f.Fuzz(func(t *testing.T, q []byte) {
		a := p.answer(append([]byte(nil), q...))
		if a == nil {
			return
		}
		if len(a) != len(q) || a[0] != q[0] || a[1] != q[1] || a[2]&0x80 == 0 || a[3]&0xf != dnsRefused {
			t.Errorf("query %x, answer %x", q, a)
		}
	})
}

func TestEchoRequestsAreNotAnsweredForOthers(t *testing.T) {
	t.Parallel()
	packet := func(protocol tcpip.TransportProtocolNumber, dst netip.Addr) *stack.PacketBuffer {
		b := make([]byte, header.IPv4MinimumSize+8)
		header.IPv4(b).Encode(&header.IPv4Fields{
			TotalLength: uint16(len(b)), TTL: 64, Protocol: uint8(protocol),
			SrcAddr: tcpip.AddrFrom4(Guest().As4()), DstAddr: tcpip.AddrFrom4(dst.As4()),
		})
		return stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
	}
	other := netip.MustParseAddr("1.1.1.1")
	for _, c := range []struct {
		protocol tcpip.TransportProtocolNumber
		dst      netip.Addr
		stray    bool
	}{
		{header.ICMPv4ProtocolNumber, other, true},
		{header.ICMPv4ProtocolNumber, Gateway(), false},
		{header.TCPProtocolNumber, other, false},
	} {
		if got := strayICMP(packet(c.protocol, c.dst)); got != c.stray {
			t.Errorf("protocol %d to %s: %t", c.protocol, c.dst, got)
		}
	}
	short := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData([]byte{0x45})})
	if strayICMP(short) {
		t.Error("a short packet was taken for an echo request")
	}
}
