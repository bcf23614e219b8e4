package spdy

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
)

// This file holds how a dialect is agreed on. TLS does it by ALPN (RFC 7301); NPN,
// which the specification names, is gone from crypto/tls. Without TLS both sides
// have to know. The names are the same in NPN, so that a TLS stack that still has
// it can be used: whatever conn it makes, ask it what was negotiated.

// protocolHTTP11 is what HTTPS clients without SPDY negotiate.
const protocolHTTP11 = "http/1.1"

// protocols lists the dialects that are offered and accepted, best first (SPEC §7).
var protocols = []Version{SPDY31, SPDY3, SPDY2}

// versionOf returns the dialect that a protocol name stands for.
func versionOf(protocol string) (Version, bool) {
	for _, v := range protocols {
		if v.String() == protocol {
			return v, true
		}
	}
	return 0, false
}

// agree completes the TLS handshake of a connection that has one, which says what to
// speak. Where it is complete already, the caller knows what he does: an HTTP/1.1
// connection that was upgraded has negotiated http/1.1.
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

// dialect says what to speak on a connection: what its TLS handshake has
// negotiated, else what the configuration says, else SPDY/3.1.
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

// withProtocols returns a copy of a TLS configuration, which may be nil, that
// negotiates SPDY before whatever it negotiated already, and then also. If it names a
// dialect already it stays the user's choice which ones there are, and in what order.
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
