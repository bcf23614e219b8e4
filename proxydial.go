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

// This file opens connections by way of proxies, for everything here that dials, and
// holds the one HTTP/1.1 exchange that precedes a protocol which is not HTTP/1.1.

// The bounds of what is read from a proxy or server before it has agreed to anything.
const (
	maxAnswerHeader  = 1 << 20          // status line and header of one answer, in bytes
	maxRefusalBody   = 64 << 10         // what is kept of the body of a refusal, in bytes
	refusalPatience  = time.Second      // how long the body of a refusal may take; net/http does not wait for it at all
	dialTimeout      = 30 * time.Second // how long a connection may take, as in http.DefaultTransport
	proxyTimeout     = time.Minute      // how long a proxy may take to make a tunnel, as for CONNECT in net/http
	maxInterimAnswer = 5                // answers of 1xx before the one that counts
)

// A dialFunc opens a connection, as the method DialContext of net.Dialer does.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// A proxyDialer opens connections to a server, by way of a proxy if there is one.
type proxyDialer struct {
	dial   dialFunc    // opens TCP connections; nil means that of a net.Dialer
	tls    *tls.Config // for proxies whose URL is https; nil means the defaults
	header http.Header // goes out with CONNECT; may be nil
}

// A ProxyError is the refusal of an HTTP proxy to connect to a server.
type ProxyError struct {
	Proxy      string      // scheme and host of the proxy's URL, without user and password
	Target     string      // the server, as host:port
	StatusCode int         // 407, for instance
	Status     string      // "407 Proxy Authentication Required"
	Header     http.Header // of the answer, with Proxy-Authenticate
	Body       []byte      // its first 64 KiB
}

// Error names the proxy, the server and the status.
func (e *ProxyError) Error() string {
	return fmt.Sprintf("spdy: proxy %s does not connect to %s: %s", e.Proxy, e.Target, e.Status)
}

// dialContext connects to addr, which is host:port, directly if via is nil. The scheme
// of via is http or https for a proxy that knows CONNECT, socks5 or socks5h for SOCKS5
// (RFC 1928, RFC 1929), which looks the host's name up in both cases. When ctx ends,
// so does dialling, in every phase; no connection is left behind then.
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

// proxyName is a proxy's URL without what must not get into logs.
func proxyName(via *url.URL) string { return via.Scheme + "://" + via.Host }

// A forwardDialer makes a dialFunc what package proxy takes.
type forwardDialer dialFunc

// Dial connects without a context.
func (f forwardDialer) Dial(network, addr string) (net.Conn, error) {
	return f(context.Background(), network, addr)
}

// DialContext connects.
func (f forwardDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f(ctx, network, addr)
}

// within calls f, which heeds its context, with a limit of time. Only a positive limit is one.
// late is the error of an f that takes longer, unless that says by itself what took too long.
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

// shakeHands calls a TLS handshake with a limit of time. A handshake heeds its context, but not while it
// runs the user's code, such as VerifyConnection: then it is left to itself, as a dial hook is. After
// an error the caller closes the connection.
func shakeHands(ctx context.Context, limit time.Duration, handshake func(context.Context) error) error {
	hook := hookedDial(func(ctx context.Context, _, _ string) (net.Conn, error) { return nil, handshake(ctx) })
	return within(ctx, limit, errHandshakeTimeout, func(ctx context.Context) error {
		_, err := hook(ctx, "", "")
		return err
	})
}

// dialSOCKS connects by way of a SOCKS5 proxy.
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
	conn, err := dial(ctx, "tcp", server) // what package proxy wraps it in cannot close one direction
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
	// Package proxy gives the connection the deadline, which may pass before the context's.
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

// dialHTTP connects by way of an HTTP proxy, with CONNECT (RFC 9110 §9.3.6).
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

// connectRequest is what asks an HTTP proxy for a connection to addr.
func (d *proxyDialer) connectRequest(via *url.URL, addr string) *http.Request {
	header := d.header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	if user := via.User; user != nil { // as in net/http, whatever the header says
		password, _ := user.Password()
		pair := user.Username() + ":" + password
		header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	}
	return &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: header}
}

// handshake speaks TLS on conn with the server at addr, and HTTP/1.1 over it: nothing
// else can be upgraded, or asked to connect in the way of ask.
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

// ask sends a request without a body and reads the answer up to its body. rest is
// what has been read beyond the header: the beginning of the body, or of what comes
// after the switch to another protocol.
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
			rest, _ = r.Peek(r.Buffered()) // cannot fail: it is there
			return res, rest, nil
		}
	}
	return nil, nil, fmt.Errorf("more than %d interim answers", maxInterimAnswer-1)
}

// notHTTP is the error of an answer that could not be read: a *NotSPDYError if its first bytes
// are of a protocol that cannot be upgraded, and that of the parser else.
func notHTTP(conn net.Conn, first []byte, err error) error {
	verdict, protocol := judgeFirst(first, true)
	if verdict == firstForeign && (protocol == protocolTLS || protocol == protocolHTTP2 || protocol == protocolSSH) {
		e := notSPDY(addrText(conn), protocol, first)
		e.wanted = "HTTP/1.1"
		return e
	}
	return err
}

// errAnswerHeader ends an answer whose header does not.
var errAnswerHeader = fmt.Errorf("the header of the answer is larger than %d bytes", maxAnswerHeader)

// A headerReader bounds what is read of an answer's header.
type headerReader struct {
	r    io.Reader
	left int // bytes; negative for any number

	first []byte // the first bytes, mostFirst at most
}

// Read fails once the bound is used up.
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

// refusalBody reads what is of use of the body of an answer that says no. A body that
// does not come in time is not waited for: the status says enough.
func refusalBody(conn net.Conn, res *http.Response) []byte {
	defer res.Body.Close()
	if conn.SetReadDeadline(time.Now().Add(refusalPatience)) != nil {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusalBody))
	return body
}

// isRefusal reports whether a server or a proxy has answered that it does not do what it was asked
// for.
func isRefusal(err error) bool {
	var proxy *ProxyError
	var server *UpgradeError
	return errors.As(err, &proxy) || errors.As(err, &server) && server.StatusCode != 0
}

// A connGuard closes a connection that is being set up when the context ends.
type connGuard struct {
	ctx  context.Context
	conn net.Conn
	stop func() bool
}

// guardConn starts a guard, which release ends.
func guardConn(ctx context.Context, conn net.Conn) *connGuard {
	return &connGuard{ctx, conn, context.AfterFunc(ctx, func() { conn.Close() })}
}

// release takes the outcome of the setup. It closes the connection unless all is well,
// and makes the context's end the reason of a failure that it has caused. A refusal it has
// not caused, since its body was waited for; whoever cancels does not want to know it.
func (g *connGuard) release(err error) error {
	if !g.stop() && (!isRefusal(err) || g.ctx.Err() == context.Canceled) {
		err = causeOf(g.ctx)
	}
	if err != nil {
		g.conn.Close()
	}
	return err
}

// withReadAhead returns a connection whose first bytes have been read already.
func withReadAhead(conn net.Conn, first []byte) net.Conn {
	if len(first) == 0 {
		return conn
	}
	return readAhead(conn, append([]byte(nil), first...), false)
}

// urlAddr is the host and the port of a URL, the given port if it has none, with an
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
