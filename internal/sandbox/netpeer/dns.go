//go:build linux && (amd64 || arm64)

package netpeer

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

const (
	// queryTimeout is how long one resolver is given to answer.
	queryTimeout = 5 * time.Second
	// namesIdle ends a name query flow: C libraries send further queries from the same port.
	namesIdle = 20 * time.Second
	// maxQueries bounds the queries of one flow that wait for an answer.
	maxQueries = 64

	dnsHeaderLen    = 12
	dnsRefused      = 5
	dnsServerFailed = 2
)

// serveNames answers the queries of one source port. C libraries ask for the IPv4 and
// the IPv6 address from the same port at once, and wait for both answers.
func (p *Peer) serveNames(local net.Conn) {
	defer local.Close()
	slots := make(chan struct{}, maxQueries)
	buf := make([]byte, maxDatagram)
	for {
		if local.SetReadDeadline(time.Now().Add(namesIdle)) != nil {
			return
		}
		n, err := local.Read(buf)
		if err != nil || p.ctx.Err() != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			continue // too many at once; the sandbox asks again
		}
		query := append([]byte(nil), buf[:n]...)
		go func() {
			defer func() { <-slots }()
			if answer := p.answer(query); answer != nil {
				local.Write(answer)
			}
		}()
	}
}

// answer gives the reply to a query, or nil for what is no query.
func (p *Peer) answer(query []byte) []byte {
	if len(query) < dnsHeaderLen || query[2]&0x80 != 0 {
		return nil
	}
	policy := p.inForce()
	if !policy.Resolve() {
		return failed(query, dnsRefused)
	}
	if listed, is := policy.(*Allow); is {
		return p.answerListed(query, listed)
	}
	answer, err := p.ask(query)
	if err != nil {
		p.log.Debug("name query failed", "error", err)
		return failed(query, dnsServerFailed)
	}
	return answer
}

// failed makes a reply with an error code. It repeats the whole query, which is a valid reply without records.
func failed(query []byte, code byte) []byte {
	reply := append([]byte(nil), query...)
	reply[2] |= 0x80                       // this is a response
	reply[3] = reply[3]&0x70 | 0x80 | code // recursion available; the code
	return reply
}

// ask passes a query on to the machine's resolvers, one after the other.
func (p *Peer) ask(query []byte) ([]byte, error) {
	servers, err := p.cfg.Resolvers()
	if err != nil {
		return nil, err
	}
	err = errors.New("this machine has no name server")
	for _, server := range servers {
		var answer []byte
		if answer, err = p.askOne(server, query); err == nil {
			return answer, nil
		}
		if p.ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

func (p *Peer) askOne(server string, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(p.ctx, queryTimeout)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(queryTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.Write(query); err != nil {
		return nil, err
	}
	buf := make([]byte, maxDatagram)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return nil, err
		}
		if n >= dnsHeaderLen && buf[0] == query[0] && buf[1] == query[1] {
			return buf[:n], nil
		}
	}
}

// dialResolver connects to the first resolver that accepts.
func (p *Peer) dialResolver(ctx context.Context, network string) (net.Conn, error) {
	servers, err := p.cfg.Resolvers()
	if err != nil {
		return nil, err
	}
	err = errors.New("this machine has no name server")
	var d net.Dialer
	for _, server := range servers {
		var c net.Conn
		if c, err = d.DialContext(ctx, network, server); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// systemResolvers reads the machine's name servers, anew each time: they change when a laptop changes its network.
func systemResolvers() ([]string, error) {
	f, err := os.Open("/etc/resolv.conf")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var servers []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(fields[1]); err == nil {
			servers = append(servers, netip.AddrPortFrom(addr, 53).String())
		}
	}
	return servers, lines.Err()
}
