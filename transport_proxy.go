package spdy

import (
	"context"
	"errors"
	"net"
	"net/url"
)

// dialProxy returns a connection to addr through a proxy.
func (t *Transport) dialProxy(ctx context.Context, via *url.URL, addr string) (conn net.Conn, err error) {
	switch via.Scheme {
	case "socks5", "socks5h":
		conn, err = dialSOCKS(ctx, t.dialPlain, via, addr)
	case "http", "https":
		conn, err = t.dialTunnel(ctx, via, addr)
	default:
		err = errors.New("its scheme is not http, https, socks5 or socks5h")
	}
	if _, named := err.(*ProxyError); err == nil || named {
		return conn, err
	}
	return nil, causedError{"spdy: proxy " + proxyName(via), err}
}

// dialTunnel opens a tunnel to addr through an HTTP proxy (RFC 9110 §9.3.6). The returned
// connection has no TLS state: the proxy's state is not the origin's.
func (t *Transport) dialTunnel(ctx context.Context, via *url.URL, addr string) (conn net.Conn, err error) {
	if conn, err = t.dialProxyServer(ctx, via); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, proxyTimeout, timeoutError("tunnel to "+addr))
	defer cancel()
	guard := guardConn(ctx, conn)
	rest, err := t.askTunnel(ctx, conn, via, addr)
	if err := guard.release(err); err != nil {
		return nil, err
	}
	return readAhead(conn, rest, true), nil
}

func (t *Transport) dialProxyServer(ctx context.Context, via *url.URL) (net.Conn, error) {
	port := "80"
	if via.Scheme == "https" {
		port = "443"
	}
	server, err := urlAddr(via, port)
	switch {
	case err != nil:
		return nil, err
	case via.Scheme == "https":
		return t.dialTLS(ctx, server, false)
	}
	return t.dialPlain(ctx, "tcp", server)
}

// askTunnel sends a CONNECT request and reads the response. rest is the data read beyond the
// response: a SPDY server may send first.
func (t *Transport) askTunnel(ctx context.Context, conn net.Conn, via *url.URL, addr string) (rest []byte, err error) {
	header := t.ProxyConnectHeader
	if t.GetProxyConnectHeader != nil {
		if header, err = t.GetProxyConnectHeader(ctx, via, addr); err != nil {
			return nil, err
		}
	}
	req := (&proxyDialer{header: header}).connectRequest(via, addr)
	res, rest, err := ask(conn, req)
	if err != nil {
		return nil, err
	}
	if t.OnProxyConnectResponse != nil {
		if err := t.OnProxyConnectResponse(ctx, via, req, res); err != nil {
			return nil, err
		}
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, &ProxyError{
			Proxy: proxyName(via), Target: addr,
			StatusCode: res.StatusCode, Status: res.Status, Header: res.Header, Body: refusalBody(conn, res),
		}
	}
	return append([]byte(nil), rest...), nil
}
