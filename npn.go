package spdy

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
)

// This file negotiates the dialect. TLS uses ALPN (RFC 7301); crypto/tls no longer supports NPN,
// which the specification names. Without TLS, both sides must know the dialect in advance. The
// names are the same in NPN, so any TLS stack with NPN works: the session asks the conn for the
// negotiated protocol.

// protocolHTTP11 is the protocol of HTTPS clients without SPDY.
const protocolHTTP11 = "http/1.1"

// protocols lists the offered and accepted dialects, best first (SPEC §7).
var protocols = []Version{SPDY31, SPDY3, SPDY2}

// versionOf returns the dialect for a protocol name.
func versionOf(protocol string) (Version, bool) {
	for _, v := range protocols {
		if v.String() == protocol {
			return v, true
		}
	}
	return 0, false
}

// agree completes the TLS handshake, if conn has one, and so selects the protocol. If the handshake
// is already complete, agree accepts any protocol: an upgraded HTTP/1.1 connection has negotiated
// http/1.1.
func (c *Config) agree(conn net.Conn) error {
	h, ok := conn.(interface{ HandshakeContext(context.Context) error })
	if state := connectionState(conn); !ok || state != nil && state.HandshakeComplete {
		return nil
	}
	if err := shakeHands(context.Background(), handshakeTimeout, h.HandshakeContext); err != nil {
		return err
	}
	state := connectionState(conn)
	if state == nil || state.NegotiatedProtocol == "" || c != nil && c.Version != 0 {
		return nil
	}
	if _, ok := versionOf(state.NegotiatedProtocol); !ok {
		return &NegotiationError{Addr: addrText(conn), Protocol: state.NegotiatedProtocol}
	}
	return nil
}

// dialect returns the dialect to speak on a connection: the dialect negotiated by TLS, else the
// configured version, else SPDY/3.1.
func (c *Config) dialect(conn net.Conn) Version {
	if state := connectionState(conn); state != nil {
		if v, ok := versionOf(state.NegotiatedProtocol); ok {
			return v
		}
	}
	if c != nil && c.Version != 0 {
		return c.Version
	}
	return SPDY31
}

// protocolNames returns the names of protocols.
func protocolNames() []string {
	names := make([]string, len(protocols))
	for i, v := range protocols {
		names[i] = v.String()
	}
	return names
}

// withProtocols returns a copy of c, which may be nil, that negotiates SPDY first, then the
// protocols already in c, then also. If c already names a dialect, the user's choice and order of
// dialects remain.
func withProtocols(c *tls.Config, also ...string) *tls.Config {
	if c == nil {
		c = &tls.Config{}
	}
	c = c.Clone()
	names := protocolNames()
	for _, name := range c.NextProtos {
		if _, ok := versionOf(name); ok {
			names = nil
		}
	}
	for _, name := range append(slices.Clone(c.NextProtos), also...) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	c.NextProtos = names
	return c
}
