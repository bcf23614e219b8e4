package spdy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/proxy"
)

// This file opens connections through proxies, for all dialling code of this package, and holds the
// one HTTP/1.1 exchange that precedes another protocol.

// The limits for reading from a proxy or server before it accepts the request.
const (
	maxAnswerHeader  = 1 << 20          // status line and header of one answer, in bytes
	maxRefusalBody   = 64 << 10         // stored part of the body of a refusal, in bytes
	refusalPatience  = time.Second      // time limit for the body of a refusal; net/http does not wait for it at all
	dialTimeout      = 30 * time.Second // time limit for a connection, as in http.DefaultTransport
	proxyTimeout     = time.Minute      // time limit for a proxy to open a tunnel, as for CONNECT in net/http
	maxInterimAnswer = 5                // number of answers read, 1xx and final
)

// A dialFunc opens a connection, like the method DialContext of net.Dialer.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// A proxyDialer opens connections to a server, through a proxy if there is one.
type proxyDialer struct {
	dial   dialFunc    // opens TCP connections; nil means a net.Dialer
	tls    *tls.Config // for proxies whose URL is https; nil means the defaults
	header http.Header // sent with CONNECT; may be nil
}

// A ProxyError is the refusal of an HTTP proxy to connect to a server.
type ProxyError struct {
	Proxy      string      // scheme and host of the proxy's URL, without user and password
	Target     string      // the server, as host:port
	StatusCode int         // 407, for instance
	Status     string      // "407 Proxy Authentication Required"
	Header     http.Header // of the answer, with Proxy-Authenticate
	Body       []byte      // first 64 KiB of the body
}

// Error names the proxy, the server and the status.
func (e *ProxyError) Error() string {
	return fmt.Sprintf("spdy: proxy %s does not connect to %s: %s", e.Proxy, e.Target, e.Status)
}

// dialContext connects to addr, which is host:port, directly if via is nil. The scheme of via is
// http or https for a proxy that supports CONNECT, socks5 or socks5h for SOCKS5 (RFC 1928, RFC
// 1929). With both SOCKS5 schemes the proxy resolves the host's name. When ctx ends, dialling ends
// in every phase and leaves no connection open.
func (d *proxyDialer) dialContext(ctx context.Context, via *url.URL, addr string) (net.Conn, error) {
	dial := d.dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if via == nil {
		return dial(ctx, "tcp", addr)
	}
	switch via.Scheme {
	case "http", "https":
		return d.dialHTTP(ctx, dial, via, addr)
	case "socks5", "socks5h":
		conn, err := dialSOCKS(ctx, dial, via, addr)
		if err != nil {
			return nil, causedError{"spdy: proxy " + proxyName(via), err}
		}
		return conn, nil
	}
	return nil, fmt.Errorf("spdy: proxy %s: its scheme is not http, https, socks5 or socks5h", proxyName(via))
}

// proxyName returns a proxy's URL without secrets.
func proxyName(via *url.URL) string { return via.Scheme + "://" + via.Host }

// A forwardDialer adapts a dialFunc to package proxy.
type forwardDialer dialFunc

// Dial connects without a context.
func (f forwardDialer) Dial(network, addr string) (net.Conn, error) {
	return f(context.Background(), network, addr)
}

// DialContext connects.
func (f forwardDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f(ctx, network, addr)
}

// within calls f, which honours its context, with a time limit. Only a positive limit applies. If f
// times out, within returns late, unless the error of f already names the operation.
func within(ctx context.Context, limit time.Duration, late timeoutError, f func(context.Context) error) error {
	if limit <= 0 {
		return f(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	err := f(ctx)
	var known *net.OpError
	if err != nil && context.Cause(ctx) == error(late) && !errors.As(err, &known) {
		return late
	}
	return err
}

// shakeHands calls a TLS handshake with a time limit. A handshake honours its context, except in
// the user's code, such as VerifyConnection: then shakeHands abandons the handshake, like a dial
// hook. After an error the caller closes the connection.
func shakeHands(ctx context.Context, limit time.Duration, handshake func(context.Context) error) error {
	hook := hookedDial(func(ctx context.Context, _, _ string) (net.Conn, error) { return nil, handshake(ctx) })
	return within(ctx, limit, errHandshakeTimeout, func(ctx context.Context) error {
		_, err := hook(ctx, "", "")
		return err
	})
}

// dialSOCKS connects through a SOCKS5 proxy.
func dialSOCKS(ctx context.Context, dial dialFunc, via *url.URL, addr string) (net.Conn, error) {
	var auth *proxy.Auth
	if user := via.User; user != nil {
		password, _ := user.Password()
		auth = &proxy.Auth{User: user.Username(), Password: password}
	}
	server, err := urlAddr(via, "1080")
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, "tcp", server) // the wrapper of package proxy cannot close one direction
	if err != nil {
		return nil, err
	}
	dialer, err := proxy.SOCKS5("tcp", server, auth, forwardDialer(func(context.Context, string, string) (net.Conn, error) {
		return conn, nil
	}))
	if err != nil {
		conn.Close()
		return nil, err
	}
	withContext, ok := dialer.(proxy.ContextDialer)
	if !ok {
		return nil, errors.New("package proxy dials without a context")
	}
	ends := time.Now().Add(proxyTimeout)
	limited, cancel := context.WithDeadline(ctx, ends)
	defer cancel()
	if _, err = withContext.DialContext(limited, "tcp", addr); err == nil {
		return conn, nil
	}
	conn.Close()
	// Package proxy sets the deadline on the connection, where it may pass before the context's.
	switch deadline, ok := ctx.Deadline(); {
	case ctx.Err() != nil:
		err = causeOf(ctx)
	case ok && !time.Now().Before(deadline):
		err = context.DeadlineExceeded
	case !time.Now().Before(ends):
		err = timeoutError("tunnel to " + addr)
	}
	return nil, err
}

// dialHTTP connects through an HTTP proxy, with CONNECT (RFC 9110 §9.3.6).
func (d *proxyDialer) dialHTTP(ctx context.Context, dial dialFunc, via *url.URL, addr string) (conn net.Conn, err error) {
	port := "80"
	if via.Scheme == "https" {
		port = "443"
	}
	server, err := urlAddr(via, port)
	if err != nil {
		return nil, causedError{"spdy: proxy " + proxyName(via), err}
	}
	raw, err := dial(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, proxyTimeout, timeoutError("tunnel to "+addr))
	defer cancel()
	guard := guardConn(ctx, raw)
	defer func() {
		if err = guard.release(err); err != nil {
			conn = nil
		}
	}()
	conn = raw
	if via.Scheme == "https" {
		if conn, err = handshake(ctx, raw, d.tls, server); err != nil {
			return nil, causedError{"spdy: proxy " + proxyName(via), err}
		}
	}
	res, rest, err := ask(conn, d.connectRequest(via, addr))
	if err != nil {
		return nil, causedError{"spdy: proxy " + proxyName(via), err}
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, &ProxyError{
			Proxy: proxyName(via), Target: addr,
			StatusCode: res.StatusCode, Status: res.Status, Header: res.Header, Body: refusalBody(conn, res),
		}
	}
	return withReadAhead(conn, rest), nil
}

// connectRequest returns the CONNECT request for addr.
func (d *proxyDialer) connectRequest(via *url.URL, addr string) *http.Request {
	header := d.header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	if user := via.User; user != nil { // as in net/http, whatever the header contains
		password, _ := user.Password()
		pair := user.Username() + ":" + password
		header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	}
	return &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: header}
}

// handshake performs TLS on conn with the server at addr, offering only HTTP/1.1: no other protocol
// supports Upgrade, or CONNECT in the way of ask.
func handshake(ctx context.Context, conn net.Conn, c *tls.Config, addr string) (*tls.Conn, error) {
	if c == nil {
		c = new(tls.Config)
	}
	c = c.Clone()
	c.NextProtos = []string{protocolHTTP11}
	if c.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		c.ServerName = host
	}
	secure := tls.Client(conn, c)
	if err := shakeHands(ctx, handshakeTimeout, secure.HandshakeContext); err != nil {
		return nil, err
	}
	return secure, nil
}

// ask sends a request without a body and reads the answer up to the body. rest holds the bytes read
// beyond the header: the beginning of the body, or of the protocol after the switch.
func ask(conn net.Conn, req *http.Request) (res *http.Response, rest []byte, err error) {
	if err := req.Write(conn); err != nil {
		return nil, nil, err
	}
	bounded := &headerReader{r: conn, left: maxAnswerHeader}
	r := bufio.NewReader(bounded)
	for range maxInterimAnswer {
		res, err = http.ReadResponse(r, req)
		if err != nil {
			err = unexpected(err)
			if req.Method != http.MethodConnect { // a proxy does not have to speak SPDY
				err = notHTTP(conn, bounded.first, err)
			}
			return nil, nil, err
		}
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			bounded.left = -1
			rest, _ = r.Peek(r.Buffered()) // cannot fail: the bytes are buffered
			return res, rest, nil
		}
	}
	return nil, nil, fmt.Errorf("more than %d interim answers", maxInterimAnswer-1)
}

// notHTTP returns the error of an unreadable answer: a *NotSPDYError if the first bytes belong to a
// protocol without Upgrade, else the parser's error.
func notHTTP(conn net.Conn, first []byte, err error) error {
	verdict, protocol := judgeFirst(first, true)
	if verdict == firstForeign && (protocol == protocolTLS || protocol == protocolHTTP2 || protocol == protocolSSH) {
		e := notSPDY(addrText(conn), protocol, first)
		e.wanted = "HTTP/1.1"
		return e
	}
	return err
}

// errAnswerHeader is the error of an answer with an oversized header.
var errAnswerHeader = fmt.Errorf("the header of the answer is larger than %d bytes", maxAnswerHeader)

// A headerReader limits the bytes read for an answer's header.
type headerReader struct {
	r    io.Reader
	left int // bytes; negative for any number

	first []byte // the first bytes, mostFirst at most
}

// Read fails once the limit is used up.
func (h *headerReader) Read(p []byte) (int, error) {
	if h.left < 0 {
		return h.r.Read(p)
	}
	if h.left == 0 {
		return 0, errAnswerHeader
	}
	n, err := h.r.Read(p[:min(len(p), h.left)])
	h.left -= n
	h.first = append(h.first, p[:min(n, mostFirst-len(h.first))]...)
	return n, err
}

// refusalBody reads the first part of the body of a refusal. A body that does not arrive in time is
// left out: the status is enough.
func refusalBody(conn net.Conn, res *http.Response) []byte {
	defer res.Body.Close()
	if conn.SetReadDeadline(time.Now().Add(refusalPatience)) != nil {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusalBody))
	return body
}

// isRefusal reports whether a server or a proxy has answered with a refusal of the request.
func isRefusal(err error) bool {
	var proxy *ProxyError
	var server *UpgradeError
	return errors.As(err, &proxy) || errors.As(err, &server) && server.StatusCode != 0
}

// A connGuard closes a connection if the context ends during the setup.
type connGuard struct {
	ctx  context.Context
	conn net.Conn
	stop func() bool
}

// guardConn starts a guard; release ends the guard.
func guardConn(ctx context.Context, conn net.Conn) *connGuard {
	return &connGuard{ctx, conn, context.AfterFunc(ctx, func() { conn.Close() })}
}

// release ends the guard with the outcome of the setup. It closes the connection unless err is nil.
// If the context ended and caused the failure, release returns the context's error. A refusal is
// not caused by the context, whose end only cut the reading of the body short; but after a
// cancellation the caller does not need the refusal.
func (g *connGuard) release(err error) error {
	if !g.stop() && (!isRefusal(err) || g.ctx.Err() == context.Canceled) {
		err = causeOf(g.ctx)
	}
	if err != nil {
		g.conn.Close()
	}
	return err
}

// withReadAhead returns a connection whose Reads return first before further bytes of conn.
func withReadAhead(conn net.Conn, first []byte) net.Conn {
	if len(first) == 0 {
		return conn
	}
	return readAhead(conn, append([]byte(nil), first...), false)
}

// urlAddr returns the host and the port of a URL, or the given port if the URL has none, with an
// ASCII host (RFC 5891 §4).
func urlAddr(u *url.URL, port string) (string, error) {
	if u.Hostname() == "" {
		return "", errors.New("no host")
	}
	if p := u.Port(); p != "" {
		port = p
	}
	return asciiHostPort(net.JoinHostPort(u.Hostname(), port))
}
