//go:build linux && (amd64 || arm64)

package netpeer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameTTL is how long programs may keep an answer that stands for a host, in seconds.
const nameTTL = 60

// answerListed answers a question under an Allow policy: with the address that stands for a listed host, and with nothing else. No question of
// another host leaves this machine, and none of a kind that could bring a program around the policy, such as the keys for encrypted names.
func (p *Peer) answerListed(query []byte, policy *Allow) []byte {
	var parser dnsmessage.Parser
	head, err := parser.Start(query)
	if err != nil {
		return failed(query, byte(dnsmessage.RCodeFormatError))
	}
	q, err := parser.Question()
	if err != nil {
		return failed(query, byte(dnsmessage.RCodeFormatError))
	}
	host := plainName(q.Name.String())
	if err := policy.Name(host); err != nil {
		p.note(&Event{Proto: "dns", Host: host, Reason: err.Error()})
		return reply(head, q, dnsmessage.RCodeNameError, netip.Addr{})
	}
	ctx, cancel := context.WithTimeout(p.ctx, queryTimeout)
	defer cancel()
	if _, err := p.lookUp(ctx, host); err != nil {
		var not *net.DNSError
		if errors.As(err, &not) && not.IsNotFound {
			return reply(head, q, dnsmessage.RCodeNameError, netip.Addr{})
		}
		p.log.Debug("name query failed", "host", host, "error", err)
		return reply(head, q, dnsmessage.RCodeServerFailure, netip.Addr{})
	}
	if q.Type != dnsmessage.TypeA {
		return reply(head, q, dnsmessage.RCodeSuccess, netip.Addr{})
	}
	return reply(head, q, dnsmessage.RCodeSuccess, p.names.address(host))
}

// reply makes an answer with one address, or none.
func reply(head dnsmessage.Header, q dnsmessage.Question, code dnsmessage.RCode, addr netip.Addr) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{
		ID: head.ID, Response: true, RecursionDesired: head.RecursionDesired, RecursionAvailable: true, RCode: code,
	})
	err := errors.Join(b.StartQuestions(), b.Question(q), b.StartAnswers())
	if err == nil && addr.IsValid() {
		err = b.AResource(dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: nameTTL}, dnsmessage.AResource{A: addr.As4()})
	}
	if err != nil {
		return nil // the sandbox asks again
	}
	out, err := b.Finish()
	if err != nil {
		return nil
	}
	return out
}

// lookUp asks this machine's resolvers for the IPv4 addresses of a host.
func (p *Peer) lookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) { return p.dialResolver(ctx, network) }}
	return r.LookupNetIP(ctx, "ip4", host+".")
}

// dialHost connects to a listed host: to those of its addresses that it may have.
func (p *Peer) dialHost(ctx context.Context, host string, port uint16) (net.Conn, error) {
	addrs, err := p.lookUp(ctx, host)
	if err != nil {
		return nil, err
	}
	err = fmt.Errorf("%s has no address", host)
	var d net.Dialer
	for _, a := range addrs {
		to := netip.AddrPortFrom(a.Unmap(), port)
		if err = p.mayHave(to); err != nil {
			continue
		}
		var c net.Conn
		if c, err = d.DialContext(ctx, "tcp4", to.String()); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// mayHave reports whether a host that is reached by its name may have the address, under the policy in force.
func (p *Peer) mayHave(to netip.AddrPort) error {
	policy := p.inForce()
	if a, is := policy.(*Allow); is {
		return a.Resolved(to)
	}
	return policy.Connect(to)
}

// serveNamesTCP answers questions over TCP, each with its length before it.
func (p *Peer) serveNamesTCP(c net.Conn) {
	for {
		if c.SetDeadline(time.Now().Add(namesIdle)) != nil {
			return
		}
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		answer := p.answer(query)
		if answer == nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}
