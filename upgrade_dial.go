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

// An UpgradeDialer is the client's end of an upgrade from HTTP/1.1 to SPDY/3.1. The
// zero value is ready. Any number of goroutines may use it at once; its fields must not
// be changed meanwhile.
type UpgradeDialer struct {
	// Config is for the sessions; nil means the defaults. Whatever its Version says,
	// they speak SPDY/3.1. Peers of the kind of Kubernetes need
	// FlowControlPeerUnaware.
	Config *Config

	// Protocols are the stream protocols to offer, the best first. They follow those
	// that Header offers.
	Protocols []string

	// Header goes out with the request: Authorization, for instance. Host replaces the
	// URL's host there. What an upgrade needs is added.
	Header http.Header

	// TLSClientConfig is for https, for the server and for proxies; nil means the
	// defaults. ALPN offers http/1.1 alone, whatever it says. For a proxy, and if it
	// has none, its ServerName is the host's name.
	TLSClientConfig *tls.Config

	// DialContext opens the TCP connections; nil means that of a net.Dialer. A call that has not
	// returned 100 milliseconds after the end of its context is left to itself; a connection
	// that it returns later is closed.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// Proxy says which proxy to use for the request: its URL has the scheme http,
	// https, socks5 or socks5h, and maybe a user and a password. nil, and a nil URL,
	// mean none. http.ProxyFromEnvironment does what most programs do.
	Proxy func(*http.Request) (*url.URL, error)

	// ProxyConnectHeader goes out with the CONNECT to an HTTP proxy. Its Proxy-Authorization is
	// replaced if the proxy's URL has a user.
	ProxyConnectHeader http.Header
}

// Dial asks the server for an upgrade and returns a raw session on the connection; call
// Serve to run it. The method is POST or GET for Kubernetes, the URL is one of http or
// https; a user and a password in it are sent as basic authentication unless Header has
// another one. protocol is what the server has chosen for the streams: one of those
// that were offered, or none, which old servers mean by not saying.
//
// The context limits all of it and nothing afterwards. Without an earlier end a connection
// that DialContext does not make may take 30 seconds, a TLS handshake ten, and a proxy a
// minute to make a tunnel. Every failure is an
// *UpgradeError and leaves no connection behind. A redirect is a failure too: its
// Location is in the Header of the error.
func (d *UpgradeDialer) Dial(ctx context.Context, method, rawURL string) (s *Session, protocol string, err error) {
	s, res, err := d.DialResponse(ctx, method, rawURL)
	if err != nil {
		return nil, "", err
	}
	return s, strings.Join(listValues(res.Header[HeaderStreamProtocol]), ""), nil // one at most, see switched
}

// DialResponse is Dial for a program that needs the header fields of the server's answer 101,
// where Upgrader and others put more than the protocol of the streams, which is
// HeaderStreamProtocol there. The answer has no body, and its Request is the one that was sent.
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

// publicURL is a URL that may not be one, without user and password.
func publicURL(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "an invalid URL"
	}
	u.User = nil
	return u.String()
}

// request makes the request to upgrade.
func (d *UpgradeDialer) request(ctx context.Context, method, rawURL string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, rawURL, nil)
	if err != nil {
		var parse *url.Error // quotes the URL, password included
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

// connect dials, through a proxy if one is configured, and has the connection upgraded.
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
	res.Body = http.NoBody // what follows is the session's
	res.TLS = connectionState(conn)
	return withReadAhead(conn, rest), res, nil
}

// hook is DialContext, which may return neither a connection nor an error, or not heed its context;
// nil if there is none.
func (d *UpgradeDialer) hook() dialFunc {
	if d.DialContext == nil {
		return nil
	}
	dial := hookedDial(d.DialContext)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return checkDialled(dial(ctx, network, addr))
	}
}

// proxyTLS is the configuration for proxies: that for servers, whose name is another.
func (d *UpgradeDialer) proxyTLS() *tls.Config {
	if d.TLSClientConfig == nil {
		return nil
	}
	c := d.TLSClientConfig.Clone()
	c.ServerName = ""
	return c
}

// switched says why the answer is no upgrade to what was offered, nil if it is.
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

// upgradeFailure makes an *UpgradeError of every failure.
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
