package spdy

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"net/url"
	"strings"
)

// A NegotiationError reports that a server reached over TLS did not agree to speak SPDY.
type NegotiationError struct {
	Addr     string // host:port of the server
	Protocol string // the protocol chosen by ALPN, "" for none
	Err      error  // error of the TLS handshake, if the server aborted it for this reason
}

// Error names the server's protocol and suggests an alternative.
func (e *NegotiationError) Error() string {
	what := "spdy: " + e.Addr + " does not speak SPDY"
	switch {
	case e.Err != nil:
		what += ": " + e.Err.Error()
	case e.Protocol != "":
		what += ", it has chosen " + e.Protocol
	default:
		what += ", it has negotiated no protocol"
	}
	return what + "; " + adviceFor(protocolHTTP2)
}

// Unwrap returns the error of the handshake, if any.
func (e *NegotiationError) Unwrap() error { return e.Err }

// connect dials a session, which does not run yet.
func (t *Transport) connect(ctx context.Context, key originKey) (*Session, error) {
	if err := t.Config.check(t.Config.clientSending()); err != nil {
		return nil, err
	}
	if full := t.sessions().shared.admit(); full != nil {
		return nil, full
	}
	conn, err := t.dialOrigin(ctx, key)
	if err != nil {
		return nil, err
	}
	return t.sessionConfig(key).ClientSession(conn), nil
}

// dialOrigin opens the connection to an origin, through TLS and proxies.
func (t *Transport) dialOrigin(ctx context.Context, key originKey) (net.Conn, error) {
	if key.proxy != "" {
		proxy, err := url.Parse(key.proxy)
		if err != nil {
			return nil, err
		}
		conn, err := t.dialProxy(ctx, proxy, key.addr)
		if err != nil || key.scheme == "http" {
			return conn, err
		}
		return t.startTLS(ctx, conn, key.addr, true)
	}
	if key.scheme == "http" {
		return t.dialPlain(ctx, "tcp", key.addr)
	}
	return t.dialTLS(ctx, key.addr, true)
}

// dialPlain calls DialContext or the default dialer.
func (t *Transport) dialPlain(ctx context.Context, network, addr string) (net.Conn, error) {
	dial := new(net.Dialer).DialContext
	if t.DialContext != nil {
		dial = hookedDial(t.DialContext)
	}
	return t.dialWithin(ctx, dial, network, addr)
}

// dialWithin dials a connection within DialTimeout.
func (t *Transport) dialWithin(ctx context.Context, dial dialFunc, network, addr string) (conn net.Conn, err error) {
	late := timeoutError("dial of " + addr)
	err = within(ctx, cmp.Or(t.DialTimeout, dialTimeout), late, func(ctx context.Context) error {
		conn, err = checkDialled(dial(ctx, network, addr))
		return err
	})
	return conn, err
}

// checkDialled rejects hooks that return neither a connection nor an error.
func checkDialled(conn net.Conn, err error) (net.Conn, error) {
	if conn == nil && err == nil {
		return nil, &messageError{"spdy: a dial hook returned neither a connection nor an error"}
	}
	return conn, err
}

// dialTLS opens a TLS connection and completes the handshake: for SPDY, or for HTTP/1.1 with a
// proxy.
func (t *Transport) dialTLS(ctx context.Context, addr string, spdy bool) (net.Conn, error) {
	if t.DialTLSContext == nil {
		conn, err := t.dialPlain(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return t.startTLS(ctx, conn, addr, spdy)
	}
	conn, err := t.dialWithin(ctx, hookedDial(t.DialTLSContext), "tcp", addr)
	if err != nil {
		return nil, err
	}
	return t.handshake(ctx, conn, addr, spdy)
}

// startTLS starts TLS on a connection.
func (t *Transport) startTLS(ctx context.Context, conn net.Conn, addr string, spdy bool) (net.Conn, error) {
	conf := &tls.Config{}
	if t.TLSClientConfig != nil {
		conf = t.TLSClientConfig.Clone()
	}
	if conf.ServerName == "" {
		conf.ServerName, _, _ = net.SplitHostPort(addr)
	}
	conf.NextProtos = []string{protocolHTTP11}
	if spdy {
		conf.NextProtos = t.spdyProtocols()
	}
	return t.handshake(ctx, tls.Client(conn, conf), addr, spdy)
}

// spdyProtocols returns the dialects to offer by ALPN.
func (t *Transport) spdyProtocols() (names []string) {
	if t.TLSClientConfig != nil {
		for _, name := range t.TLSClientConfig.NextProtos {
			if _, ok := versionOf(name); ok {
				names = append(names, name)
			}
		}
	}
	if names == nil {
		names = protocolNames()
	}
	return names
}

// handshake completes the TLS handshake of a connection and checks the negotiated protocol. It
// closes the connection on an error.
func (t *Transport) handshake(ctx context.Context, conn net.Conn, addr string, spdy bool) (net.Conn, error) {
	if h, ok := conn.(interface{ HandshakeContext(context.Context) error }); ok {
		trace := httptrace.ContextClientTrace(ctx)
		if trace != nil && trace.TLSHandshakeStart != nil {
			trace.TLSHandshakeStart()
		}
		err := t.limitedHandshake(ctx, h.HandshakeContext)
		var state tls.ConnectionState
		if err == nil { // after an error the handshake may still run, and hold the lock of the state
			if known := connectionState(conn); known != nil {
				state = *known
			}
		}
		if trace != nil && trace.TLSHandshakeDone != nil {
			trace.TLSHandshakeDone(state, err)
		}
		if err != nil {
			conn.Close()
			// crypto/tls does not export the type of a peer's alert.
			if spdy && strings.HasSuffix(err.Error(), "no application protocol") {
				err = &NegotiationError{Addr: addr, Err: err}
			}
			return nil, err
		}
	}
	if !spdy {
		return conn, nil
	}
	if err := t.negotiated(conn, addr); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// limitedHandshake limits a handshake to TLSHandshakeTimeout.
func (t *Transport) limitedHandshake(ctx context.Context, handshake func(context.Context) error) error {
	return shakeHands(ctx, cmp.Or(t.TLSHandshakeTimeout, handshakeTimeout), handshake)
}

// negotiated reports why a connection over TLS does not carry SPDY.
func (t *Transport) negotiated(conn net.Conn, addr string) error {
	state := connectionState(conn)
	if state == nil { // the dial hook is responsible for the protocol
		return nil
	}
	if _, ok := versionOf(state.NegotiatedProtocol); ok {
		return nil
	}
	if state.NegotiatedProtocol == "" && t.Config != nil && t.Config.Version != 0 {
		return nil
	}
	return &NegotiationError{Addr: addr, Protocol: state.NegotiatedProtocol}
}

// errHandshakeTimeout is the error of a dial whose TLS handshake timed out.
const errHandshakeTimeout = timeoutError("TLS handshake")
