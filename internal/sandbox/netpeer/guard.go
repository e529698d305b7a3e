//go:build linux && (amd64 || arm64)

package netpeer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

const (
	// guardTimeout is how long a connection may take to say which host it is for.
	guardTimeout = 30 * time.Second
	// maxHello bounds the beginning of a connection, in bytes: a TLS hello, or the head of a request.
	maxHello = 64 << 10
	// maxLine bounds the first line of a request, in bytes.
	maxLine = 8 << 10
)

// errNotThatHost: a connection to a listed host is for another one, or does not say for which.
var errNotThatHost = fmt.Errorf("it is for another host: %w", ErrForbidden)

// webPorts are where servers for many hosts listen: nothing but TLS and HTTP goes there.
func webPort(port uint16) bool {
	switch port {
	case 80, 443, 8000, 8008, 8080, 8443, 8888:
		return true
	}
	return false
}

// guard copies what the sandbox sends to a host that is allowed by name, and ends the connection if it asks for a host that is not: by the name in
// a TLS hello, or the Host of each HTTP request. Other protocols do not say, and pass, but for the ports of the web. Many hosts share an
// address, so that an address alone says little.
func guard(to io.Writer, from net.Conn, port uint16, allowed func(host string) error) error {
	in := bufio.NewReaderSize(from, maxHello)
	if err := from.SetReadDeadline(time.Now().Add(guardTimeout)); err != nil {
		return err
	}
	first, err := in.Peek(1)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	if first[0] == 0x16 {
		host, err := helloHost(in)
		if err != nil {
			return err
		}
		if err := allowed(host); err != nil {
			return fmt.Errorf("TLS for %q: %w", host, errNotThatHost)
		}
		return rest(to, in, from)
	}
	is, err := looksLikeHTTP(in)
	if err != nil {
		return err
	}
	if is {
		return guardHTTP(to, in, from, allowed)
	}
	if webPort(port) {
		return fmt.Errorf("neither TLS nor HTTP: %w", errNotThatHost)
	}
	return rest(to, in, from)
}

// rest copies all that follows.
func rest(to io.Writer, in io.Reader, from net.Conn) error {
	if err := from.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	_, err := io.Copy(to, in)
	return err
}

// helloHost gives the server name of a TLS ClientHello (RFC 8446, section 4.1.2; RFC 6066, section 3), which stays unread.
func helloHost(in *bufio.Reader) (string, error) {
	var message []byte
	for at := 0; ; {
		head, err := in.Peek(at + 5)
		if err != nil {
			return "", fmt.Errorf("read the TLS hello: %w", err)
		}
		length := int(head[at+3])<<8 | int(head[at+4])
		if head[at] != 0x16 || length == 0 || at+5+length > maxHello {
			return "", fmt.Errorf("no TLS hello: %w", errNotThatHost)
		}
		record, err := in.Peek(at + 5 + length)
		if err != nil {
			return "", fmt.Errorf("read the TLS hello: %w", err)
		}
		message = append(message, record[at+5:]...)
		at += 5 + length
		if len(message) >= 4 && len(message) >= 4+int(message[1])<<16+int(message[2])<<8+int(message[3]) {
			return serverName(message)
		}
	}
}

// serverName reads the extension with the name out of a ClientHello. A hello without is for no host that we know, and an encrypted one
// (RFC 9849) carries a name that may be another's.
func serverName(message []byte) (string, error) {
	malformed := fmt.Errorf("no TLS hello: %w", errNotThatHost)
	hello := cryptobyte.String(message)
	var kind uint8
	var body, skipped, extensions cryptobyte.String
	if !hello.ReadUint8(&kind) || kind != 1 || !hello.ReadUint24LengthPrefixed(&body) || !body.Skip(2+32) ||
		!body.ReadUint8LengthPrefixed(&skipped) || !body.ReadUint16LengthPrefixed(&skipped) || !body.ReadUint8LengthPrefixed(&skipped) {
		return "", malformed
	}
	if body.Empty() {
		return "", fmt.Errorf("TLS without a server name: %w", errNotThatHost)
	}
	if !body.ReadUint16LengthPrefixed(&extensions) {
		return "", malformed
	}
	for !extensions.Empty() {
		var id uint16
		var data, list, name cryptobyte.String
		if !extensions.ReadUint16(&id) || !extensions.ReadUint16LengthPrefixed(&data) {
			return "", malformed
		}
		if id != 0 {
			continue
		}
		if !data.ReadUint16LengthPrefixed(&list) || !list.ReadUint8(&kind) || kind != 0 || !list.ReadUint16LengthPrefixed(&name) || !list.Empty() {
			return "", malformed
		}
		return plainName(string(name)), nil
	}
	return "", fmt.Errorf("TLS without a server name: %w", errNotThatHost)
}

// looksLikeHTTP reports whether a connection begins with the line of a request, as servers that are not strict take it.
func looksLikeHTTP(in *bufio.Reader) (bool, error) {
	for n := 1; n <= maxLine; n++ {
		b, err := in.Peek(n)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return false, nil
			}
			return false, err
		}
		last := b[n-1]
		line := bytes.TrimLeft(b, "\r\n")
		switch {
		case last == '\n' && len(line) > 0:
			fields := bytes.Fields(line)
			old := len(fields) == 2 && bytes.EqualFold(fields[0], []byte("GET")) // HTTP before 1.0
			return old || len(fields) > 2 && bytes.HasPrefix(bytes.ToUpper(fields[len(fields)-1]), []byte("HTTP/")), nil
		case last < 0x20 && last != '\r' && last != '\n' && last != '\t', last > 0x7e:
			return false, nil // no text
		case len(line) > 16 && !bytes.ContainsAny(line[:17], " \t"):
			return false, nil // no method is that long
		case in.Buffered() == n && len(line) > 0 && !maybeMethod(line):
			return false, nil // it waits for an answer
		}
	}
	return false, nil
}

// maybeMethod reports whether what has come so far may be the beginning of a request's line.
func maybeMethod(line []byte) bool {
	word, _, _ := bytes.Cut(bytes.ToUpper(line), []byte(" "))
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI", "PROPFIND", "MKCOL", "REPORT"} {
		if strings.HasPrefix(m, string(word)) {
			return true
		}
	}
	return false
}

// guardHTTP copies requests one after the other, each once its host is known.
func guardHTTP(to io.Writer, in *bufio.Reader, from net.Conn, allowed func(string) error) error {
	for {
		head, req, err := requestHead(in)
		if errors.Is(err, io.EOF) && len(head) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if err := allowed(hostOnly(req.Host)); err != nil {
			return fmt.Errorf("HTTP for %q: %w", req.Host, errNotThatHost)
		}
		if _, err := to.Write(head); err != nil {
			return err
		}
		if err := copyBody(to, in, req); err != nil {
			return err
		}
		if err := from.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
	}
}

// requestHead reads the head of a request as it is, and what it means. One that two servers may understand differently is refused.
func requestHead(in *bufio.Reader) ([]byte, *http.Request, error) {
	var head bytes.Buffer
	for {
		line, err := in.ReadSlice('\n')
		head.Write(line)
		if err != nil {
			if errors.Is(err, io.EOF) && len(bytes.TrimSpace(head.Bytes())) == 0 {
				return nil, nil, io.EOF
			}
			return head.Bytes(), nil, fmt.Errorf("read the head of a request: %w", err)
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			if len(bytes.TrimSpace(head.Bytes())) == 0 {
				continue // empty lines before a request
			}
			break
		}
		if head.Len() > maxHello {
			return head.Bytes(), nil, fmt.Errorf("the head of a request is too long: %w", errNotThatHost)
		}
	}
	req, err := understood(bytes.TrimLeft(head.Bytes(), "\r\n"))
	return head.Bytes(), req, err
}

// understood reads a head that means the same to every server: it names one host, whether in its line or its header, and its length once.
func understood(head []byte) (*http.Request, error) {
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return nil, fmt.Errorf("a request that is not understood (%w): %w", err, errNotThatHost)
	}
	if req.ProtoMajor != 1 || req.Host == "" || req.Method == http.MethodConnect {
		return nil, fmt.Errorf("a request that does not name its host: %w", errNotThatHost)
	}
	// The reader of requests keeps one of several hosts, and the chunks of a body that has a length too.
	_, lines, _ := bytes.Cut(head, []byte("\n"))
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(lines))).ReadMIMEHeader()
	if err != nil {
		return nil, fmt.Errorf("a request that is not understood (%w): %w", err, errNotThatHost)
	}
	for _, host := range header["Host"] {
		if hostOnly(host) != hostOnly(req.Host) {
			return nil, fmt.Errorf("a request for both %q and %q: %w", req.Host, host, errNotThatHost)
		}
	}
	if len(req.TransferEncoding) > 0 && len(header["Content-Length"]) > 0 {
		return nil, fmt.Errorf("a request with a length and chunks: %w", errNotThatHost)
	}
	return req, nil
}

// copyBody copies the body of a request, as it is.
func copyBody(to io.Writer, in *bufio.Reader, req *http.Request) error {
	if len(req.TransferEncoding) == 0 {
		_, err := io.CopyN(to, in, max(req.ContentLength, 0))
		return err
	}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, _, _ := strings.Cut(strings.TrimSpace(string(line)), ";")
		n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 62)
		if err != nil {
			return fmt.Errorf("the length of a chunk is %q: %w", size, errNotThatHost)
		}
		if _, err := to.Write(line); err != nil {
			return err
		}
		if n == 0 {
			return copyTrailer(to, in)
		}
		if _, err := io.CopyN(to, in, int64(n)+2); err != nil {
			return err
		}
	}
}

func copyTrailer(to io.Writer, in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if _, err := to.Write(line); err != nil || len(bytes.TrimRight(line, "\r\n")) == 0 {
			return err
		}
	}
}

// hostOnly takes the port off.
func hostOnly(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return plainName(host)
}
