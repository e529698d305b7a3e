//go:build linux && (amd64 || arm64)

package netpeer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func allow(t testing.TB, hosts ...string) *Allow {
	t.Helper()
	a, err := NewAllow(hosts, func() ([]netip.Addr, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Harbor test list #26
func TestAllowGoesByNamesAndAddresses(t *testing.T) {
	t.Parallel()
	a := allow(t, "example.com", "*.example.org", "203.0.113.5", "198.51.100.0/24", "10.1.2.3", "127.0.0.1", "169.254.169.254")
	for host, want := range map[string]bool{
		"example.com": true, "EXAMPLE.com.": true, "www.example.com": false, "example.org": false, "a.example.org": true, "a.b.example.org": true,
		"xexample.org": false, "example.com.evil.test": false, "": false, ".example.org": false,
	} {
		if got := a.Name(host) == nil; got != want {
			t.Errorf("host %q: %v", host, got)
		}
	}
	for addr, want := range map[string]bool{
		"203.0.113.5": true, "203.0.113.6": false, "198.51.100.77": true, "10.1.2.3": true, "10.1.2.4": false, "127.0.0.1": false, "169.254.169.254": false,
	} {
		if got := a.Connect(netip.AddrPortFrom(netip.MustParseAddr(addr), 80)) == nil; got != want {
			t.Errorf("address %s: %v", addr, got)
		}
	}
	for addr, want := range map[string]bool{"1.1.1.1": true, "10.1.2.3": true, "10.1.2.4": false, "127.0.0.1": false, "169.254.169.254": false} {
		if got := a.Resolved(netip.AddrPortFrom(netip.MustParseAddr(addr), 80)) == nil; got != want {
			t.Errorf("a host at %s: %v", addr, got)
		}
	}
	if _, err := NewAllow([]string{"http://x"}, nil); err == nil {
		t.Error("an address of the web was taken for a host")
	}
}

// listed is a peer under an allowlist, whose hosts all have one address.
type listed struct {
	*guest
	peer *Peer

	mu     sync.Mutex
	asked  []string
	events []Event
}

func newListed(t *testing.T, at netip.Addr, hosts ...string) *listed {
	t.Helper()
	l := &listed{}
	server := l.names(t, at)
	l.peer, l.guest = newPair(t, Config{
		Policy: allow(t, hosts...), Resolvers: func() ([]string, error) { return []string{server}, nil },
		Record: func(e Event) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.events = append(l.events, e)
		},
	})
	return l
}

// names is a name server which gives every host that address, and knows nothing of one called missing.
func (l *listed) names(t *testing.T, at netip.Addr) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			var parser dnsmessage.Parser
			head, err1 := parser.Start(buf[:n])
			q, err2 := parser.Question()
			if err1 != nil || err2 != nil {
				continue
			}
			l.mu.Lock()
			l.asked = append(l.asked, plainName(q.Name.String()))
			l.mu.Unlock()
			if strings.HasPrefix(q.Name.String(), "missing") {
				c.WriteTo(reply(head, q, dnsmessage.RCodeNameError, netip.Addr{}), from)
				continue
			}
			c.WriteTo(reply(head, q, dnsmessage.RCodeSuccess, at), from)
		}
	}()
	return c.LocalAddr().String()
}

// ask asks the peer for a host, as the sandbox does.
func (l *listed) ask(t *testing.T, host string, kind dnsmessage.Type) (dnsmessage.RCode, []netip.Addr) {
	t.Helper()
	c := l.dialUDP(t, nameServer())
	if _, err := c.Write(question(t, host, kind)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 512)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return answers(t, buf[:n])
}

func question(t *testing.T, host string, kind dnsmessage.Type) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 7, RecursionDesired: true})
	err := errors.Join(b.StartQuestions(), b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(host + "."), Type: kind, Class: dnsmessage.ClassINET}))
	q, err2 := b.Finish()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return q
}

func answers(t *testing.T, message []byte) (dnsmessage.RCode, []netip.Addr) {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(message); err != nil || m.ID != 7 {
		t.Fatalf("%+v, %v", m, err)
	}
	var addrs []netip.Addr
	for _, a := range m.Answers {
		if r, is := a.Body.(*dnsmessage.AResource); is {
			addrs = append(addrs, netip.AddrFrom4(r.A))
		}
	}
	return m.RCode, addrs
}

// dial connects to a host by the address that the peer gave it.
func (l *listed) dial(t *testing.T, host string, port uint16) (net.Conn, error) {
	t.Helper()
	code, addrs := l.ask(t, host, dnsmessage.TypeA)
	if len(addrs) != 1 {
		return nil, fmt.Errorf("no address: %s", code)
	}
	return l.dialTCP(netip.AddrPortFrom(addrs[0], port))
}

func TestOnlyListedNamesAreAnswered(t *testing.T) {
	t.Parallel()
	l := newListed(t, netip.MustParseAddr("203.0.113.9"), "one.test", "*.two.test", "missing.test")
	code, first := l.ask(t, "one.test", dnsmessage.TypeA)
	if code != dnsmessage.RCodeSuccess || len(first) != 1 || !namePool().Contains(first[0]) {
		t.Errorf("a listed name: %s %v", code, first)
	}
	if _, again := l.ask(t, "ONE.test", dnsmessage.TypeA); len(again) != 1 || again[0] != first[0] {
		t.Errorf("asked again: %v, at first %v", again, first)
	}
	if _, other := l.ask(t, "x.two.test", dnsmessage.TypeA); len(other) != 1 || other[0] == first[0] {
		t.Errorf("another name has the same address: %v", other)
	}
	for _, kind := range []dnsmessage.Type{dnsmessage.TypeAAAA, dnsmessage.TypeTXT, dnsmessage.Type(65)} {
		if code, got := l.ask(t, "one.test", kind); code != dnsmessage.RCodeSuccess || got != nil {
			t.Errorf("kind %v: %s %v", kind, code, got)
		}
	}
	if code, _ := l.ask(t, "missing.test", dnsmessage.TypeA); code != dnsmessage.RCodeNameError {
		t.Errorf("a name that does not exist: %s", code)
	}
	if code, got := l.ask(t, "c2VjcmV0.evil.test", dnsmessage.TypeA); code != dnsmessage.RCodeNameError || got != nil {
		t.Errorf("a name that is not listed: %s %v", code, got)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, host := range l.asked {
		if strings.HasSuffix(host, "evil.test") {
			t.Error("a question for a foreign name left this machine")
		}
	}
	if len(l.events) != 1 || l.events[0].Allowed || l.events[0].Host != "c2vjcmv0.evil.test" {
		t.Errorf("events %+v", l.events)
	}
}

func TestNamesAreAnsweredOverTCP(t *testing.T) {
	t.Parallel()
	l := newListed(t, netip.MustParseAddr("203.0.113.9"), "one.test")
	c, err := l.dialTCP(nameServer())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := question(t, "one.test", dnsmessage.TypeA)
	for range 2 {
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)); err != nil {
			t.Fatal(err)
		}
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, answer); err != nil {
			t.Fatal(err)
		}
		if code, addrs := answers(t, answer); code != dnsmessage.RCodeSuccess || len(addrs) != 1 {
			t.Errorf("%s %v", code, addrs)
		}
	}
}

// web is a server of every host, by TLS or without.
func web(t *testing.T, start func(http.Handler) *httptest.Server) (*httptest.Server, netip.AddrPort) {
	t.Helper()
	s := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %d", r.Host, n)
	}))
	t.Cleanup(s.Close)
	return s, s.Listener.Addr().(*net.TCPAddr).AddrPort()
}

// onHost lets a server listen at an address of this machine other than loopback.
func onHost(t *testing.T, secure bool) func(http.Handler) *httptest.Server {
	return func(h http.Handler) *httptest.Server {
		l, err := net.Listen("tcp4", netip.AddrPortFrom(hostAddr(t), 0).String())
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(h)
		s.Listener.Close()
		s.Listener = l
		if secure {
			s.StartTLS()
		} else {
			s.Start()
		}
		return s
	}
}

func TestTLSMustBeForAListedHost(t *testing.T) {
	t.Parallel()
	server, at := web(t, onHost(t, true))
	l := newListed(t, at.Addr(), "example.com", "*.example.com")
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for name, c := range map[string]struct {
		sni  string
		want bool
	}{
		"the host itself":    {"example.com", true},
		"another listed":     {"www.example.com", true},
		"one not listed":     {"example.org", false},
		"no name at all":     {"", false},
		"an address instead": {"192.0.2.1", false},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := l.dial(t, "example.com", at.Port())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			secure := tls.Client(conn, &tls.Config{ServerName: c.sni, RootCAs: roots, InsecureSkipVerify: true})
			if err := secure.HandshakeContext(ctx); (err == nil) != c.want {
				t.Errorf("handshake: %v", err)
			}
		})
	}
	// What is not listed has no address, and an address by itself is closed.
	if _, err := l.dial(t, "example.org", at.Port()); err == nil {
		t.Error("a host that is not listed was reached")
	}
	if _, err := l.dialTCP(at); err == nil {
		t.Error("the address of a listed host was reached as such")
	}
}

func TestEachRequestMustBeForAListedHost(t *testing.T) {
	t.Parallel()
	_, at := web(t, onHost(t, false))
	l := newListed(t, at.Addr(), "example.com")
	good := "POST /a HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\nabc"
	chunked := "POST /b HTTP/1.1\r\nhost: EXAMPLE.com:80\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\n\r\n"
	for name, c := range map[string]struct {
		send string
		want []string
	}{
		"one after the other":           {good + chunked + good, []string{"example.com 3", "EXAMPLE.com:80 4", "example.com 3"}},
		"another host":                  {"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n", nil},
		"another in the second":         {good + "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n", nil}, // the first may be answered or not
		"after empty lines":             {"\r\n\r\nGET / HTTP/1.1\r\nHost: other.test\r\n\r\n", nil},
		"in the line of the request":    {"GET http://other.test/ HTTP/1.1\r\nHost: example.com\r\n\r\n", nil},
		"no host":                       {"GET / HTTP/1.0\r\n\r\n", nil},
		"two lengths":                   {"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\nContent-Length: 60\r\n\r\nabc", nil},
		"a body that is another's head": {"POST / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET / HTTP/1.1\r\nHost: other.test\r\n\r\n", nil},
		"another host in the header":    {"GET http://example.com/ HTTP/1.1\r\nHost: other.test\r\n\r\n", nil},
		"two hosts":                     {"GET / HTTP/1.1\r\nHost: example.com\r\nHost: other.test\r\n\r\n", nil},
		"two hosts, the second listed":  {"GET / HTTP/1.1\r\nHost: other.test\r\nhost: example.com\r\n\r\n", nil},
		"a line that only some end":     {"GET / HTTP/1.1\r\nHost: example.com\r\nX: y\rHost: other.test\r\n\r\n", nil},
		"a length beside chunks":        {"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2d\r\nGET / HTTP/1.1\r\nHost: other.test\r\nX: yyyyyyyyyy\r\n0\r\n\r\n", nil},
		"lower case":                    {"get / http/1.1\r\nhost: other.test\r\n\r\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := l.dial(t, "example.com", at.Port())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			io.WriteString(conn, c.send)
			in := bufio.NewReader(conn)
			for i, want := range c.want {
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatalf("answer %d: %v", i+1, err)
				}
				body, err := io.ReadAll(resp.Body)
				if err != nil || string(body) != want {
					t.Errorf("answer %d is %q, %v", i+1, body, err)
				}
			}
			if len(c.want) < 3 {
				rest, _ := io.ReadAll(in)
				if bytes.Contains(rest, []byte("other.test")) {
					t.Errorf("another host answered: %q", rest)
				}
			}
		})
	}
}

// What a server might take for a request to another host than the one that was looked at is not passed on, in whole or in part.
func TestNothingOfARequestThatMeansTwoHostsComesThrough(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]string{
		"another host in the header": "GET http://good.test/ HTTP/1.1\r\nHost: bad.test\r\n\r\n",
		"two hosts":                  "GET / HTTP/1.1\r\nHost: good.test\r\nHost: bad.test\r\n\r\n",
		"a line that only some end":  "GET / HTTP/1.1\r\nHost: good.test\r\nX: y\rHost: bad.test\r\n\r\n",
		"a length beside chunks":     "POST / HTTP/1.1\r\nHost: good.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		sandbox, peer := net.Pipe()
		go func() {
			io.WriteString(sandbox, send)
			sandbox.Close()
		}()
		var out bytes.Buffer
		err := guard(&out, peer, 80, func(host string) error {
			if host == "good.test" {
				return nil
			}
			return ErrForbidden
		})
		peer.Close()
		if !errors.Is(err, ErrForbidden) || out.Len() > 0 {
			t.Errorf("%s: %v, and %q came through", name, err, out.String())
		}
	}
}

func TestOtherProtocolsPassToListedHosts(t *testing.T) {
	t.Parallel()
	server := echoServer(t, "tcp4", netip.AddrPortFrom(hostAddr(t), 0).String())
	at := server.Addr().(*net.TCPAddr).AddrPort()
	l := newListed(t, at.Addr(), "example.com")
	conn, err := l.dial(t, "example.com", at.Port())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	for _, line := range []string{"SSH-2.0-OpenSSH_9.2 Debian\r\n", "\x00\x01binary\xff"} {
		io.WriteString(conn, line)
		got := make([]byte, len(line))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != line {
			t.Errorf("%q, %v", got, err)
		}
	}
	if udp := l.dialUDP(t, netip.AddrPortFrom(namePool().Addr().Next(), at.Port())); udp != nil {
		udp.Write([]byte("x"))
		udp.SetDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := udp.Read(make([]byte, 1)); err == nil {
			t.Error("datagrams to a host by its name were carried")
		}
	}
}

func TestAHostAtAClosedAddressIsNotReached(t *testing.T) {
	t.Parallel()
	server := echoServer(t, "tcp4", "127.0.0.1:0")
	at := server.Addr().(*net.TCPAddr).AddrPort()
	l := newListed(t, at.Addr(), "rebound.test")
	if _, err := l.dial(t, "rebound.test", at.Port()); err == nil {
		t.Error("a listed host that resolves to loopback was reached")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) != 1 || l.events[0].Allowed || !strings.Contains(l.events[0].Reason, "loopback") || l.events[0].Host != "rebound.test" {
		t.Errorf("events %+v", l.events)
	}
}

func TestASwitchOfThePolicyCountsForWhatWasLookedUp(t *testing.T) {
	t.Parallel()
	server := echoServer(t, "tcp4", netip.AddrPortFrom(hostAddr(t), 0).String())
	at := server.Addr().(*net.TCPAddr).AddrPort()
	l := newListed(t, at.Addr(), "example.com")
	_, addrs := l.ask(t, "example.com", dnsmessage.TypeA)
	to := netip.AddrPortFrom(addrs[0], at.Port())
	conn, err := l.dialTCP(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		policy Policy
		want   bool
	}{{allow(t, "other.test"), false}, {None{}, false}, {open{}, true}, {allow(t, "example.com"), true}} {
		l.peer.SetPolicy(step.policy)
		if _, err := l.dialTCP(to); (err == nil) != step.want {
			t.Errorf("under %T: %v", step.policy, err)
		}
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(conn, make([]byte, 1)); err == nil {
		t.Error("a connection went on under a policy that forbids it")
	}
}

// FuzzGuard: whatever a connection begins with, nothing of a request for a host that is not listed comes through.
func FuzzGuard(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: bad.test\r\n\r\n", "GET / HTTP/1.1\r\nHost: good.test\r\n\r\nGET / HTTP/1.1\r\nHost: bad.test\r\n\r\n", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "SSH-2.0-x\r\n",
		"POST / HTTP/1.1\r\nHost: good.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		a, b := net.Pipe()
		go func() {
			a.Write(sent)
			a.Close()
		}()
		var out bytes.Buffer
		err := guard(&out, b, 80, func(host string) error {
			if host == "good.test" {
				return nil
			}
			return ErrForbidden
		})
		b.Close()
		if !bytes.HasPrefix(sent, out.Bytes()) && out.Len() > 0 && !bytes.Contains(sent, out.Bytes()) {
			t.Errorf("%q became %q", sent, out.Bytes())
		}
		if err == nil && out.Len() > 0 && sent[0] != 0x16 && !bytes.Contains(bytes.ToLower(out.Bytes()), []byte("good.test")) {
			t.Errorf("%q passed", out.Bytes())
		}
	})
}
