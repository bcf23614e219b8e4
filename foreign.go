package spdy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
)

// A NotSPDYError reports that the peer does not speak SPDY on this connection: its first
// bytes are those of another protocol, or it has ended the connection, or kept silent, before
// its first frame. Or it speaks another version, of which a client hears when the server hangs up. It is found with errors.As in what calls on a session return, most
// often in a *ConnError, in errors of NewClientConn, of a Transport and of
// UpgradeDialer.Dial, and in what Framer.ReadFrame returns for the first frame.
type NotSPDYError struct {
	Addr     string // address of the peer, "" if it has none
	Protocol string // "HTTP/1.1", "HTTP/1.0", "HTTP/2", "TLS", "SSH", "SPDY/2" or "SPDY/3"; "" if it is not known
	First    []byte // the first bytes that the peer has sent, 64 at most; empty if it has sent none
	Err      error  // what ended the connection before the peer's first frame; nil if its first bytes tell the protocol

	advice string // what to do, "" for what a client can do
	wanted string // what the peer should have spoken, "" for SPDY
}

// Error says what the peer speaks and what to use instead.
func (e *NotSPDYError) Error() string {
	who := "the peer"
	if e.Addr != "" {
		who = e.Addr
	}
	text := "spdy: " + who
	switch {
	case e.Protocol != "":
		text += " speaks " + e.Protocol + ", not " + cmp.Or(e.wanted, "SPDY")
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

// Unwrap returns what ended the connection, if that is how it was found out.
func (e *NotSPDYError) Unwrap() error { return e.Err }

// Timeout reports whether the peer was silent for too long. With Temporary it makes a
// NotSPDYError a net.Error.
func (e *NotSPDYError) Timeout() bool {
	t, ok := e.Err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// Temporary reports what Timeout does.
func (e *NotSPDYError) Temporary() bool { return e.Timeout() }

// The names of NotSPDYError.Protocol that are compared.
const (
	protocolTLS   = "TLS"
	protocolHTTP2 = "HTTP/2"
	protocolSSH   = "SSH"
)

// adviceFor is what a client can do about a server that speaks another protocol.
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

// adviceServer is what a server can do about clients that speak another protocol.
const adviceServer = "Server.Serve and ConfigureServer serve HTTP beside SPDY"

// mostFirst is how many of a peer's first bytes a NotSPDYError keeps.
const mostFirst = 64

// notSPDY makes the error for first bytes that are of another protocol.
func notSPDY(addr, protocol string, first []byte) *NotSPDYError {
	return &NotSPDYError{Addr: addr, Protocol: protocol, First: bytes.Clone(first[:min(len(first), mostFirst)])}
}

// firstWords is the text at the beginning of what a peer says, "" if it is not text.
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

// prefaceHTTP2 is how clients of HTTP/2 begin (RFC 9113 §3.4).
const prefaceHTTP2 = "PRI * HTTP/2.0\r\n"

// A verdictOnFirst says what the first bytes of a peer are.
type verdictOnFirst int

const (
	firstUnclear verdictOnFirst = iota // too few to tell
	firstSPDY                          // nothing speaks against SPDY
	firstForeign                       // another protocol
)

// judgeFirst looks at the first bytes of a peer. SPDY begins with a control frame, whose
// first bit is 1. DATA frames that come first are an error, which is left to the session
// unless no implementation would send them: as text they are frames of streams above 2^29,
// as TLS of streams above 2^28, and as the first frame of HTTP/2 an empty frame of a
// stream that the server has not opened. last says that no more bytes will come.
func judgeFirst(p []byte, last bool) (verdict verdictOnFirst, protocol string) {
	switch {
	case len(p) == 0:
		return firstUnclear, ""
	case p[0] >= 0x80 && len(p) < frameHeaderSize:
		return firstUnclear, ""
	case p[0] >= 0x80:
		return firstSPDY, ""
	case p[0] >= 0x14 && p[0] <= 0x17: // a record of TLS (RFC 8446 §5.1)
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

// judgeHTTP2 recognizes the SETTINGS or GOAWAY with which servers of HTTP/2 begin (RFC 9113
// §4.1), and it needs the whole head of the frame, one byte more than SPDY has.
// An empty SETTINGS without that byte is taken for a frame of SPDY.
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
	case len(p) == frameHeaderSize && p[2] == 0: // a session answers it without more bytes
		return firstSPDY, ""
	case p[3] == settings && p[2]%6 != 0, p[3] == goAway && p[2] < 8:
		return firstSPDY, ""
	}
	return firstForeign, protocolHTTP2
}

// textProtocol names a protocol that begins with text, "" if it is not known.
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

// isHangUp reports whether an error of a connection says that the peer has ended it: it is
// neither a deadline's nor that of a connection which this side has closed.
func isHangUp(err error) bool { return !isTimeout(err) && !errors.Is(err, net.ErrClosed) }

// addrText is the remote address of a connection, "" if it has none.
func addrText(conn net.Conn) string {
	if conn == nil || conn.RemoteAddr() == nil {
		return ""
	}
	return conn.RemoteAddr().String()
}
