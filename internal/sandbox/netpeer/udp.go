//go:build linux && (amd64 || arm64)

package netpeer

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// udpIdle ends an exchange in which nothing was said for so long.
	udpIdle = 60 * time.Second
	// maxUDPFlows bounds the exchanges of one sandbox, which each hold a socket of this machine.
	maxUDPFlows = 1024
	maxDatagram = 64 << 10
)

// handleUDP carries one exchange of datagrams. False makes the stack answer that the port is unreachable.
func (p *Peer) handleUDP(r *udp.ForwarderRequest) bool {
	to := destination(r.ID())
	if to == nameServer() {
		local, ok := p.acceptUDP(r)
		if ok {
			go p.serveNames(local)
		}
		return true
	}
	e := p.tried("udp", to)
	err := p.allowed(to)
	if err == nil && e.Host != "" { // what datagrams are for cannot be told: programs take TCP instead of QUIC
		err = fmt.Errorf("datagrams to a host by its name: %w", ErrForbidden)
	}
	if err != nil || to == service() || p.flowCount() >= maxUDPFlows {
		p.log.Debug("datagram refused", "to", to, "error", err)
		if err != nil {
			e.Reason = err.Error()
			p.note(e)
		}
		return false
	}
	local, ok := p.acceptUDP(r)
	if ok {
		go p.relayUDP(local, to, e)
	}
	return true
}

func (p *Peer) acceptUDP(r *udp.ForwarderRequest) (*gonet.UDPConn, bool) {
	var wq waiter.Queue
	ep, err := r.CreateEndpoint(&wq)
	if err != nil {
		p.log.Debug("datagram not accepted", "to", destination(r.ID()), "error", err.String())
		return nil, false
	}
	return gonet.NewUDPConn(&wq, ep), true
}

func (p *Peer) flowCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.flows)
}

// relayUDP copies datagrams both ways until the exchange has been idle for udpIdle.
func (p *Peer) relayUDP(local net.Conn, to netip.AddrPort, e *Event) {
	remote, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		p.log.Debug("datagram not carried", "to", to, "error", err)
		local.Close()
		return
	}
	f, err := p.admit(to, local, remote)
	if err != nil {
		local.Close()
		remote.Close()
		return
	}
	defer p.done(f)
	e.Allowed = true
	var sent, received atomic.Int64
	go copyDatagrams(local, remote, &received)
	copyDatagrams(remote, local, &sent)
	e.Sent, e.Received = sent.Load(), received.Load()
	p.note(e)
}

// copyDatagrams returns when either side fails, or says nothing for udpIdle. It adds the bytes up.
func copyDatagrams(dst, src net.Conn, count *atomic.Int64) {
	buf := make([]byte, maxDatagram)
	for {
		deadline := time.Now().Add(udpIdle)
		if src.SetReadDeadline(deadline) != nil {
			return
		}
		n, err := src.Read(buf)
		if err != nil {
			dst.SetReadDeadline(time.Now()) // wakes the other direction
			return
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
		count.Add(int64(n))
		// Traffic one way keeps the other way open.
		dst.SetReadDeadline(time.Now().Add(udpIdle))
	}
}
