package spdy

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/net/proxy"
)

// A ProxyConnectError is a proxy's answer to CONNECT that is no tunnel.
type ProxyConnectError struct {
	Proxy      string // URL of the proxy, without the password
	StatusCode int    // 407, for example
	Status     string // "407 Proxy Authentication Required"
}

// Error says which proxy answered what.
func (e *ProxyConnectError) Error() string {
	return fmt.Sprintf("spdy: proxy %s: %s", e.Proxy, e.Status)
}

// dialProxy returns a connection to addr that leads through a proxy.
func (t *Transport) dialProxy(ctx context.Context, via *url.URL, addr string) (net.Conn, error) {
	var conn net.Conn
	var err error
	switch via.Scheme {
	case "socks5", "socks5h":
		return t.dialSOCKS(ctx, via, addr)
	case "http", "":
		proxyAddr, portErr := hostPort(via, "80")
		if portErr != nil {
			return nil, portErr
		}
		conn, err = t.dialPlain(ctx, "tcp", proxyAddr)
	case "https":
		proxyAddr, portErr := hostPort(via, "443")
		if portErr != nil {
			return nil, portErr
		}
		conn, err = t.dialTLS(ctx, proxyAddr, nil)
	default:
		return nil, errProxyScheme(via.Scheme)
	}
	if err != nil {
		return nil, proxyError(err)
	}
	tunnel, err := t.askTunnel(ctx, conn, via, addr)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return tunnel, nil
}

// dialSOCKS lets a SOCKS5 proxy (RFC 1928) connect.
func (t *Transport) dialSOCKS(ctx context.Context, via *url.URL, addr string) (net.Conn, error) {
	proxyAddr, err := hostPort(via, "1080")
	if err != nil {
		return nil, err
	}
	var auth *proxy.Auth
	if via.User != nil {
		password, _ := via.User.Password()
		auth = &proxy.Auth{User: via.User.Username(), Password: password}
	}
	forward := &socksDialer{t: t}
	d, err := proxy.SOCKS5("tcp", proxyAddr, auth, forward)
	if err != nil {
		return nil, err
	}
	if _, err := d.(proxy.ContextDialer).DialContext(ctx, "tcp", addr); err != nil {
		return nil, err
	}
	return forward.conn, nil // what it was wrapped in cannot close one direction
}

// A socksDialer makes the connection to a SOCKS proxy, and keeps it.
type socksDialer struct {
	t    *Transport
	conn net.Conn
}

func (d *socksDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.t.dialPlain(ctx, network, addr)
	if err != nil {
		return nil, proxyError(err)
	}
	d.conn = conn
	return conn, nil
}

// Dial makes a socksDialer a proxy.Dialer; the context says more.
func (d *socksDialer) Dial(network, addr string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, addr)
}

// askTunnel asks an HTTP proxy for a tunnel to addr (RFC 9110 §9.3.6). The connection
// that it returns has no TLS state: that of the proxy is not the origin's.
func (t *Transport) askTunnel(ctx context.Context, conn net.Conn, via *url.URL, addr string) (net.Conn, error) {
	req, err := t.connectRequest(ctx, via, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, proxyTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	res, rest, err := tunnel(conn, req)
	if !stop() {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, proxyError(err)
	}
	if t.OnProxyConnectResponse != nil {
		if err := t.OnProxyConnectResponse(ctx, via, req, res); err != nil {
			return nil, err
		}
	}
	if res.StatusCode != http.StatusOK {
		return nil, &ProxyConnectError{Proxy: via.Redacted(), StatusCode: res.StatusCode, Status: res.Status}
	}
	return &readAheadConn{Conn: conn, first: rest}, nil
}

// connectRequest makes the CONNECT request.
func (t *Transport) connectRequest(ctx context.Context, via *url.URL, addr string) (*http.Request, error) {
	header := t.ProxyConnectHeader
	if t.GetProxyConnectHeader != nil {
		var err error
		if header, err = t.GetProxyConnectHeader(ctx, via, addr); err != nil {
			return nil, err
		}
	}
	header = header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	if via.User != nil {
		password, _ := via.User.Password()
		secret := base64.StdEncoding.EncodeToString([]byte(via.User.Username() + ":" + password))
		header.Set("Proxy-Authorization", "Basic "+secret)
	}
	return &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: header}, nil
}

// maxTunnelHeader bounds a proxy's answer to CONNECT, in bytes.
const maxTunnelHeader = 64 << 10

// tunnel sends a CONNECT request and reads the answer. What has been read beyond it is
// the rest: a server of SPDY may speak first.
func tunnel(conn net.Conn, req *http.Request) (res *http.Response, rest []byte, err error) {
	if err := req.Write(conn); err != nil {
		return nil, nil, err
	}
	r := bufio.NewReader(&io.LimitedReader{R: conn, N: maxTunnelHeader})
	if res, err = http.ReadResponse(r, req); err != nil {
		return nil, nil, err
	}
	rest, _ = r.Peek(r.Buffered()) // cannot fail
	res.Status = cmp.Or(res.Status, fmt.Sprint(res.StatusCode))
	return res, rest, nil
}
