package spdy

import (
	"net"
	"net/http"
	"time"
)

// This file ends an HTTP/1 connection whose answer is cut off, and whose handler returns. If the
// handler panics instead, net/http ends the connection.

// showsCut reports whether the framing of an HTTP/1 answer with these headers shows a cut: the last
// chunk is missing, or the body is shorter than the Content-Length. Then the connection can be
// closed in an orderly way, and the client receives all bytes that were written.
func showsCut(r *http.Request, header http.Header) bool {
	if header.Get("Content-Length") != "" {
		return true
	}
	return r.ProtoAtLeast(1, 1) && header.Get("Transfer-Encoding") == "" // else net/http sends no chunks
}

// hangUp closes a hijacked connection after a partial answer. While bytes of the client are unread
// or in flight, closing would make the kernel reset the connection, and the partial answer would be
// lost. So hangUp closes our direction, and reads what the client still sends, the rest of the
// request or further requests, within the limits of linger.
func (f *proxyFront) hangUp(conn net.Conn) {
	defer conn.Close()
	b, ok := f.body.(*proxiedBody)
	if half := closeDirection(conn); !half && (!ok || b.isWhole()) {
		return // only the close ends the wait of the client
	}
	end := time.Now().Add(drainLimit)
	buf := make([]byte, readBufferSize)
	for left := drainBytes; left > 0; {
		next := time.Now().Add(drainTime)
		if next.After(end) || conn.SetReadDeadline(next) != nil {
			return
		}
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		left -= n
	}
}
