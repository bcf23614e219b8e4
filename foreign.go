package spdy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
)

// A NotSPDYError reports that the peer does not speak SPDY on this connection: the peer's first
// bytes belong to another protocol, or the peer has closed the connection, or has become silent,
// before the end of the first frame. Or the peer speaks another version, which a client learns when the server
// closes the connection. errors.As finds a NotSPDYError in errors of calls on a session, most often
// in a *ConnError; in errors of NewClientConn, of a Transport and of UpgradeDialer.Dial; and in the
// error of Framer.ReadFrame for the first frame.
type NotSPDYError struct {
	Addr     string // address of the peer, "" if there is none
	Protocol string // "HTTP/1.1", "HTTP/1.0", "HTTP/2", "TLS", "SSH", "SPDY/2" or "SPDY/3"; "" if unknown
	First    []byte // the first bytes that the peer has sent, 64 at most; empty if none were received
	Err      error  // error that ended the connection before the end of the peer's first frame; nil if the first bytes identify the protocol

	advice string // suggested remedy; "" for the remedy of adviceFor
	wanted string // the expected protocol, "" for SPDY
}

// Error returns the peer's protocol, if known, and the remedy.
func (e *NotSPDYError) Error() string {
	who := "the peer"
	if e.Addr != "" {
		who = e.Addr
	}
	text := "spdy: " + who
	switch {
	case e.Protocol != "":
		text += " speaks " + e.Protocol + ", not " + cmp.Or(e.wanted, "SPDY")
	case len(e.First) > 0 && e.Err != nil:
		text += " has not completed a frame and may not speak SPDY"
	case len(e.First) > 0:
		text += " does not speak SPDY"
	default:
		text += " has sent nothing and may not speak SPDY"
	}
	if line := firstWords(e.First); line != "" {
		text += fmt.Sprintf(" (it says %q)", line)
	}
	if e.Err != nil {
		text += ": " + bareText(e.Err)
	}
	advice := e.advice
	if advice == "" {
		advice = adviceFor(e.Protocol)
	}
	if advice != "" {
		text += "; " + advice
	}
	return text
}

// Unwrap returns the error that ended the connection; nil if the first bytes identified the
// protocol.
func (e *NotSPDYError) Unwrap() error { return e.Err }

// Timeout reports whether the peer was silent for too long. With Temporary it makes a NotSPDYError
// a net.Error.
func (e *NotSPDYError) Timeout() bool {
	t, ok := e.Err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// Temporary returns the result of Timeout.
func (e *NotSPDYError) Temporary() bool { return e.Timeout() }

// The values of NotSPDYError.Protocol that are compared.
const (
	protocolTLS   = "TLS"
	protocolHTTP2 = "HTTP/2"
	protocolSSH   = "SSH"
)

// adviceFor returns the remedy for a client whose server speaks another protocol.
func adviceFor(protocol string) string {
	switch protocol {
	case protocolTLS:
		return "use https, or a TLS connection below the session"
	case protocolSSH:
		return ""
	case protocolHTTP2, "HTTP/1.1", "HTTP/1.0":
		return "use http.Transport, which ConfigureTransport has speak SPDY with servers that negotiate it over TLS"
	}
	return "for a port of HTTP use http.Transport, for one of TLS https"
}

// adviceServer is the remedy for a server whose clients speak another protocol.
const adviceServer = "Server.Serve and ConfigureServer serve HTTP beside SPDY"

// mostFirst is the maximum number of the peer's first bytes that a NotSPDYError keeps.
const mostFirst = 64

// notSPDY returns the error for first bytes of another protocol.
func notSPDY(addr, protocol string, first []byte) *NotSPDYError {
	return &NotSPDYError{Addr: addr, Protocol: protocol, First: bytes.Clone(first[:min(len(first), mostFirst)])}
}

// firstWords returns the first line of the peer's bytes, or "" if the line is not text.
func firstWords(p []byte) string {
	line, _, _ := bytes.Cut(p, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if !isText(line) {
		return ""
	}
	return string(line)
}

// isText reports whether bytes are printable ASCII.
func isText(p []byte) bool {
	for _, b := range p {
		if (b < ' ' || b > '~') && b != '\t' && b != '\r' && b != '\n' {
			return false
		}
	}
	return true
}

// prefaceHTTP2 is the beginning of the HTTP/2 client preface (RFC 9113 §3.4).
const prefaceHTTP2 = "PRI * HTTP/2.0\r\n"

// A verdictOnFirst classifies the first bytes of a peer.
type verdictOnFirst int

const (
	firstUnclear verdictOnFirst = iota // too few bytes to decide
	firstSPDY                          // consistent with SPDY
	firstForeign                       // another protocol
)

// judgeFirst classifies the first bytes of a peer. SPDY starts with a control frame, whose first
// bit is 1. A DATA frame at the beginning is an error, which the session reports, unless no
// implementation would send such a frame: as SPDY, text is a frame of a stream above 2^29, TLS is a
// frame of a stream above 2^28, and the first frame of HTTP/2 is an empty frame of a stream that
// the server has not opened. last is true if no more bytes will follow.
func judgeFirst(p []byte, last bool) (verdict verdictOnFirst, protocol string) {
	switch {
	case len(p) == 0:
		return firstUnclear, ""
	case p[0] >= 0x80 && len(p) < frameHeaderSize:
		return firstUnclear, ""
	case p[0] >= 0x80:
		return firstSPDY, ""
	case p[0] >= 0x14 && p[0] <= 0x17: // a TLS record (RFC 8446 §5.1)
		if len(p) < 3 && !last {
			return firstUnclear, ""
		}
		if len(p) >= 3 && p[1] == 3 && p[2] <= 4 {
			return firstForeign, protocolTLS
		}
		return firstSPDY, ""
	case p[0] == 0:
		return judgeHTTP2(p, last)
	}
	head := p[:min(len(p), frameHeaderSize)]
	switch {
	case !isText(head) || p[0] < ' ':
		return firstSPDY, ""
	case len(p) < frameHeaderSize && !last:
		return firstUnclear, ""
	}
	return firstForeign, textProtocol(p)
}

// judgeHTTP2 recognizes the SETTINGS or GOAWAY that an HTTP/2 server sends first (RFC 9113 §4.1).
// judgeHTTP2 needs the whole frame header, one byte longer than a SPDY frame header. An empty
// SETTINGS without that byte is treated as a SPDY frame.
func judgeHTTP2(p []byte, last bool) (verdictOnFirst, string) {
	const head = frameHeaderSize + 1
	settings, goAway := byte(4), byte(7)
	switch {
	case len(p) > 1 && p[1] != 0:
		return firstSPDY, ""
	case len(p) > 3 && p[3] != settings && p[3] != goAway, len(p) > 4 && p[4] != 0:
		return firstSPDY, ""
	case len(p) > 5 && !bytes.Equal(p[5:min(len(p), head)], make([]byte, min(len(p), head)-5)):
		return firstSPDY, ""
	case len(p) < frameHeaderSize, len(p) == frameHeaderSize && !last && p[2] != 0:
		return firstUnclear, ""
	case len(p) == frameHeaderSize && p[2] == 0: // a session handles the frame without more bytes
		return firstSPDY, ""
	case p[3] == settings && p[2]%6 != 0, p[3] == goAway && p[2] < 8:
		return firstSPDY, ""
	}
	return firstForeign, protocolHTTP2
}

// textProtocol names a protocol that starts with text, "" if unknown.
func textProtocol(p []byte) string {
	line, _, _ := bytes.Cut(p, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case bytes.HasPrefix(p, []byte("SSH-")):
		return protocolSSH
	case bytes.HasPrefix(p, []byte("HTTP/1.0")), bytes.HasSuffix(line, []byte(" HTTP/1.0")):
		return "HTTP/1.0"
	case bytes.HasPrefix(p, []byte("HTTP/")), bytes.HasSuffix(line, []byte(" HTTP/1.1")):
		return "HTTP/1.1"
	case bytes.HasPrefix(p, []byte(prefaceHTTP2[:min(len(p), len(prefaceHTTP2))])):
		return protocolHTTP2
	}
	for _, method := range []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "CONNECT ", "PATCH ", "TRACE "} {
		if bytes.HasPrefix(p, []byte(method)) {
			return "HTTP/1.1"
		}
	}
	return ""
}

// isHangUp reports whether the peer has ended the connection: err is neither a timeout nor the
// error of a connection that this side has closed.
func isHangUp(err error) bool { return !isTimeout(err) && !errors.Is(err, net.ErrClosed) }

// addrText returns the remote address of a connection, or "" if there is none.
func addrText(conn net.Conn) string {
	if conn == nil || conn.RemoteAddr() == nil {
		return ""
	}
	return conn.RemoteAddr().String()
}
