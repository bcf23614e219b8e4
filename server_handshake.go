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

// This file handles failed TLS handshakes on a listener passed to Serve, where the Server itself
// performs the handshake. Where the http.Server performs it, net/http does the same.

// answerPlain sends an error response to a client that speaks plain HTTP on a TLS port, if that is
// why the handshake failed. The caller closes the connection.
func answerPlain(failure error) {
	var e tls.RecordHeaderError
	if !errors.As(failure, &e) || e.Conn == nil || !beginsHTTP(e.RecordHeader) {
		return
	}
	if e.Conn.SetWriteDeadline(time.Now().Add(linger)) == nil {
		_, _ = io.WriteString(e.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
	}
}

// beginsHTTP reports whether the bytes of a TLS record header are the start of an HTTP request,
// with a method that net/http checks for here.
func beginsHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// logHandshake logs a failed handshake, as net/http does, unless the server is closing.
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
