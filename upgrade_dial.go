package spdy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// An UpgradeDialer is the client's end of an upgrade from HTTP/1.1 to SPDY/3.1. The zero value is
// ready for use. It is safe for concurrent use; its fields must not be changed while it is in use.
type UpgradeDialer struct {
	// Config is the configuration of the sessions; nil means the defaults. The sessions speak
	// SPDY/3.1, whatever the Version. Peers of Kubernetes and the like need FlowControlPeerUnaware.
	Config *Config

	// Protocols are the stream protocols to offer, the best first. They follow the protocols in
	// Header.
	Protocols []string

	// Header is sent with the request, for example Authorization. A Host field replaces the URL's
	// host. The fields of the upgrade are added.
	Header http.Header

	// TLSClientConfig is for https servers and https proxies; nil means the defaults. ALPN offers
	// http/1.1 alone, whatever the NextProtos. If ServerName is empty, and for a proxy in any case,
	// the name of the host is used.
	TLSClientConfig *tls.Config

	// DialContext opens the TCP connections; nil means a net.Dialer. A call that has not returned
	// 100 milliseconds after the end of the context is abandoned; a connection returned later is
	// closed.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// Proxy returns the URL of the proxy for the request: the scheme is http, https, socks5 or
	// socks5h, and it may have a user and a password. nil, and a nil URL, mean no proxy. Most
	// programs use http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)

	// ProxyConnectHeader is sent with the CONNECT to an HTTP proxy. A user in the proxy's URL
	// replaces the Proxy-Authorization field.
	ProxyConnectHeader http.Header
}

// Dial requests an upgrade and returns a raw session on the connection; call Serve to run the
// session. The method is POST or GET for Kubernetes, the scheme of the URL http or https. A user
// and a password in the URL are sent as basic authentication unless Header has an Authorization
// field. protocol is the stream protocol chosen by the server: one of the offered protocols, or "",
// because old servers omit the field.
//
// The context limits the whole of Dial and nothing afterwards. Within that time, opening a
// connection may take 30 seconds, unless DialContext opens it, a TLS handshake ten seconds, and
// opening a tunnel through a proxy a minute. Every failure is an *UpgradeError and closes the
// connection. A redirect is a failure too: the Location is in the Header of the error.
func (d *UpgradeDialer) Dial(ctx context.Context, method, rawURL string) (s *Session, protocol string, err error) {
	s, res, err := d.DialResponse(ctx, method, rawURL)
	if err != nil {
		return nil, "", err
	}
	return s, strings.Join(listValues(res.Header[HeaderStreamProtocol]), ""), nil // at most one, see switched
}

// DialResponse is Dial for a program that needs the header fields of the server's 101 response.
// Upgrader and other servers send more fields than the stream protocol, which is in
// HeaderStreamProtocol. The response has no body, and its Request is the request that was sent.
func (d *UpgradeDialer) DialResponse(ctx context.Context, method, rawURL string) (*Session, *http.Response, error) {
	req, err := d.request(ctx, method, rawURL)
	if err != nil {
		return nil, nil, &UpgradeError{URL: publicURL(rawURL), Reason: "the request", Err: err}
	}
	if err := d.Config.check(rawSending); err != nil {
		return nil, nil, upgradeFailure(req, err)
	}
	conn, res, err := d.connect(ctx, req)
	if err != nil {
		return nil, nil, upgradeFailure(req, err)
	}
	return upgradeConfig(d.Config).RawSession(conn, true), res, nil
}

// publicURL removes user and password from a URL, which may be invalid.
func publicURL(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "an invalid URL"
	}
	u.User = nil
	return u.String()
}

// request makes the upgrade request.
func (d *UpgradeDialer) request(ctx context.Context, method, rawURL string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, rawURL, nil)
	if err != nil {
		var parse *url.Error // the error quotes the URL, including the password
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return nil, err
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return nil, fmt.Errorf("scheme %q is not http or https", req.URL.Scheme)
	}
	for name, values := range d.Header {
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }) {
			return nil, fmt.Errorf("header field %q is not valid", name)
		}
		req.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if user := req.URL.User; user != nil && req.Header.Get("Authorization") == "" {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", UpgradeProtocol)
	for _, protocol := range d.Protocols {
		if !httpguts.ValidHeaderFieldValue(protocol) {
			return nil, fmt.Errorf("stream protocol %q is not valid", protocol)
		}
		req.Header.Add(HeaderStreamProtocol, protocol)
	}
	return req, nil
}

// connect dials, through a proxy if one is configured, and upgrades the connection.
func (d *UpgradeDialer) connect(ctx context.Context, req *http.Request) (conn net.Conn, res *http.Response, err error) {
	port := "80"
	if req.URL.Scheme == "https" {
		port = "443"
	}
	addr, err := urlAddr(req.URL, port)
	if err != nil {
		return nil, nil, err
	}
	var via *url.URL
	if d.Proxy != nil {
		if via, err = d.Proxy(req); err != nil {
			return nil, nil, err
		}
	}
	dialer := &proxyDialer{dial: d.hook(), tls: d.proxyTLS(), header: d.ProxyConnectHeader}
	raw, err := dialer.dialContext(ctx, via, addr)
	if err != nil {
		return nil, nil, err
	}
	guard := guardConn(ctx, raw)
	defer func() {
		if err = guard.release(err); err != nil {
			conn, res = nil, nil
		}
	}()
	conn = raw
	if req.URL.Scheme == "https" {
		if conn, err = handshake(ctx, raw, d.TLSClientConfig, addr); err != nil {
			return nil, nil, err
		}
	}
	res, rest, err := ask(conn, req)
	if err != nil {
		return nil, nil, err
	}
	if err = switched(req, res); err != nil {
		var refused *UpgradeError
		if errors.As(err, &refused) {
			refused.Body = refusalBody(conn, res)
		}
		return nil, nil, err
	}
	res.Body = http.NoBody // the bytes that follow belong to the session
	res.TLS = connectionState(conn)
	return withReadAhead(conn, rest), res, nil
}

// hook wraps DialContext, which may return neither a connection nor an error, or ignore the
// context. hook returns nil if DialContext is nil.
func (d *UpgradeDialer) hook() dialFunc {
	if d.DialContext == nil {
		return nil
	}
	dial := hookedDial(d.DialContext)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return checkDialled(dial(ctx, network, addr))
	}
}

// proxyTLS returns the TLS configuration for proxies: the server's without the ServerName.
func (d *UpgradeDialer) proxyTLS() *tls.Config {
	if d.TLSClientConfig == nil {
		return nil
	}
	c := d.TLSClientConfig.Clone()
	c.ServerName = ""
	return c
}

// switched reports why the response does not accept the upgrade as offered, nil if it does.
func switched(req *http.Request, res *http.Response) error {
	refused := &UpgradeError{
		URL: requestURL(req), StatusCode: res.StatusCode, Status: res.Status, Header: res.Header,
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return refused
	}
	to := listValues(res.Header["Upgrade"])
	if len(to) != 1 || !strings.EqualFold(to[0], UpgradeProtocol) {
		refused.Reason = fmt.Sprintf("the server switches to %q, not to %s", to, UpgradeProtocol)
		return refused
	}
	if !httpguts.HeaderValuesContainsToken(res.Header["Connection"], "upgrade") {
		refused.Reason = "the header field Connection of the answer does not say Upgrade"
		return refused
	}
	chosen := listValues(res.Header[HeaderStreamProtocol])
	if len(chosen) == 0 {
		return nil
	}
	if len(chosen) > 1 || !slices.Contains(listValues(req.Header[HeaderStreamProtocol]), chosen[0]) {
		refused.Reason = fmt.Sprintf("the server chooses %q, which was not offered", chosen)
		return refused
	}
	return nil
}

// upgradeFailure converts every failure to an *UpgradeError.
func upgradeFailure(req *http.Request, err error) *UpgradeError {
	var refused *UpgradeError
	if errors.As(err, &refused) {
		return refused
	}
	failure := &UpgradeError{URL: requestURL(req), Err: err}
	var proxy *ProxyError
	if errors.As(err, &proxy) {
		failure.StatusCode, failure.Status = proxy.StatusCode, proxy.Status
		failure.Header, failure.Body = proxy.Header, proxy.Body
	}
	return failure
}
