package spdy

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// This file deals with TLS handshakes that fail where a Server makes them itself, on a listener
// given to Serve. Where the http.Server makes them, net/http does the same.

// answerPlain tells a client that speaks HTTP on a port of TLS what is wrong, if that is why the
// handshake failed. The caller closes the connection.
func answerPlain(failure error) {
	var e tls.RecordHeaderError
	if !errors.As(failure, &e) || e.Conn == nil || !beginsHTTP(e.RecordHeader) {
		return
	}
	if e.Conn.SetWriteDeadline(time.Now().Add(linger)) == nil {
		_, _ = io.WriteString(e.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
	}
}

// beginsHTTP reports whether what should be the header of a TLS record is the beginning of a
// request, of the methods that net/http knows in this place.
func beginsHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// logHandshake logs that a handshake failed, as net/http does. That the server is being closed
// is not logged.
func (srv *Server) logHandshake(hs *http.Server, conn net.Conn, failure error) {
	if srv.isClosing() {
		return
	}
	var e tls.RecordHeaderError
	if errors.As(failure, &e) && e.Conn != nil && beginsHTTP(e.RecordHeader) {
		failure = errPlainHTTP
	}
	print := log.Printf
	if hs.ErrorLog != nil {
		print = hs.ErrorLog.Printf
	}
	print("http: TLS handshake error from %s: %v", addrText(conn), failure)
}

var errPlainHTTP = errors.New("client sent an HTTP request to an HTTPS server")
