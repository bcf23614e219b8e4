package spdy

import (
	"net"
	"net/http"
	"time"
)

// This file ends a connection of HTTP/1 whose answer is cut off, and whose handler returns: one
// that panics instead leaves that to net/http.

// showsCut reports whether the framing of an answer of HTTP/1 with these headers shows a cut:
// there are chunks without a last one, or fewer bytes than the Content-Length. Then the
// connection can end in an orderly way, and the client gets all that was written.
func showsCut(r *http.Request, header http.Header) bool {
	if header.Get("Content-Length") != "" {
		return true
	}
	return r.ProtoAtLeast(1, 1) && header.Get("Transfer-Encoding") == "" // else net/http sends no chunks
}

// hangUp closes a hijacked connection behind the part of an answer. While bytes of the client
// are unread, or on their way, the kernel would reset it, and the part would be lost. So the
// rest of the request is read, within the limits of linger.
func (f *proxyFront) hangUp(conn net.Conn) {
	defer conn.Close()
	b, ok := f.body.(*proxiedBody)
	if !ok || b.isWhole() {
		return
	}
	closeDirection(conn) // without it the client learns from the framing alone that this is all
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
