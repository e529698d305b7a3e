//go:build linux && (amd64 || arm64)

package netpeer

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// dialTimeout is how long the sandbox waits for an address that does not answer.
const dialTimeout = 30 * time.Second

// handleTCP carries one connection: the real one is made first, so that the sandbox
// sees it refused when it is refused.
func (p *Peer) handleTCP(r *tcp.ForwarderRequest) {
	to := destination(r.ID())
	remote, err := p.dialTCP(to)
	if err != nil {
		p.log.Debug("connection refused", "to", to, "error", err)
		r.Complete(true)
		return
	}
	var wq waiter.Queue
	ep, terr := r.CreateEndpoint(&wq)
	if terr != nil {
		p.log.Debug("connection not accepted", "to", to, "error", terr.String())
		r.Complete(true)
		remote.Close()
		return
	}
	r.Complete(false)
	ep.SocketOptions().SetKeepAlive(true)
	local := gonet.NewTCPConn(&wq, ep)
	f, err := p.admit(to, local, remote)
	if err != nil {
		local.Close()
		remote.Close()
		return
	}
	defer p.done(f)
	splice(local, remote)
}

// dialTCP connects to what the sandbox asked for: the service, a resolver of this
// machine, or the address itself.
func (p *Peer) dialTCP(to netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
	defer cancel()
	if err := p.allowed(to); err != nil {
		return nil, err
	}
	var d net.Dialer
	switch to {
	case service():
		if p.cfg.Service == "" {
			return nil, errors.New("no service is offered")
		}
		return d.DialContext(ctx, "unix", p.cfg.Service)
	case nameServer():
		return p.dialResolver(ctx, "tcp")
	}
	return d.DialContext(ctx, "tcp4", to.String())
}

// splice copies both ways until both sides have ended, or one has failed.
func splice(a, b net.Conn) {
	done := make(chan error, 2)
	go func() { done <- pipe(a, b) }()
	go func() { done <- pipe(b, a) }()
	if err := <-done; err != nil {
		return // the caller closes both, which ends the other direction
	}
	<-done
}

// pipe copies src to dst and passes the end of the stream on.
func pipe(dst, src net.Conn) error {
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	if c, ok := dst.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}
