//go:build linux && (amd64 || arm64)

package netpeer

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
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
	if _, is := p.inForce().(*Allow); is && to == nameServer() {
		p.acceptNames(r)
		return
	}
	e := p.tried("tcp", to)
	remote, err := p.dialTCP(to)
	e.Allowed = !errors.Is(err, ErrForbidden)
	if err != nil {
		p.log.Debug("connection refused", "to", to, "error", err)
		e.Reason = err.Error()
		p.noteTCP(to, e)
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
	if err := p.splice(local, remote, f, e); errors.Is(err, ErrForbidden) {
		p.log.Debug("connection cut", "to", to, "host", f.host, "error", err)
		e.Allowed, e.Reason = false, err.Error()
	}
	p.noteTCP(to, e)
}

// noteTCP tells of a connection, unless it is one to ourselves.
func (p *Peer) noteTCP(to netip.AddrPort, e *Event) {
	if to != service() && to != nameServer() {
		p.note(e)
	}
}

// acceptNames answers questions for hosts over TCP.
func (p *Peer) acceptNames(r *tcp.ForwarderRequest) {
	var wq waiter.Queue
	ep, err := r.CreateEndpoint(&wq)
	if err != nil {
		r.Complete(true)
		return
	}
	r.Complete(false)
	local := gonet.NewTCPConn(&wq, ep)
	f, aerr := p.admit(nameServer(), local)
	if aerr != nil {
		local.Close()
		return
	}
	defer p.done(f)
	p.serveNamesTCP(local)
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
	if host := p.names.host(to.Addr()); host != "" {
		return p.dialHost(ctx, host, to.Port())
	}
	return d.DialContext(ctx, "tcp4", to.String())
}

// splice copies both ways until both sides have ended, or one has failed, and counts. What goes to a host that is known by name is guarded.
func (p *Peer) splice(local, remote net.Conn, f *flow, e *Event) error {
	done := make(chan error, 2)
	var sent, received atomic.Int64
	go func() { done <- pipe(local, remote, counted{local, &received}, nil) }()
	go func() {
		var by func(io.Writer) error
		if f.host != "" {
			by = func(to io.Writer) error {
				return guard(to, local, f.to.Port(), func(host string) error { return p.mayAsk(f.host, host) })
			}
		}
		done <- pipe(remote, local, counted{remote, &sent}, by)
	}()
	err := <-done
	if err == nil { // otherwise the caller closes both, which ends the other direction
		err = <-done
	}
	e.Sent, e.Received = sent.Load(), received.Load()
	return err
}

// mayAsk reports whether a connection to one host may ask for another: the same, or one that is allowed too.
func (p *Peer) mayAsk(connected, asked string) error {
	if asked == connected {
		return nil
	}
	return p.inForce().Name(asked)
}

// counted adds what is written up.
type counted struct {
	io.Writer
	n *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n.Add(int64(n))
	return n, err
}

// pipe copies src to dst, which is counted by to, or lets another do it, and passes the end of the stream on.
func pipe(dst, src net.Conn, to io.Writer, by func(io.Writer) error) error {
	var err error
	if by != nil {
		err = by(to)
	} else {
		_, err = io.Copy(to, src)
	}
	if err != nil {
		return err
	}
	if c, ok := dst.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}
