package spdy

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// This file joins a tunnel of a session with the connection of a client that asked a proxy for
// it: by an upgrade, or by a CONNECT of HTTP/1.1.

// canHijack reports whether the connection under a chain of ResponseWriters can be hijacked.
func canHijack(w http.ResponseWriter) bool {
	for {
		if _, ok := w.(http.Hijacker); ok {
			return true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
}

// askTunnel has out, the request that is forwarded of r, ask for the tunnel that r asks for, if w
// can be hijacked for it. h2c is not forwarded: the requests in it would pass the proxy unseen. In
// HTTP/1.0 there are no upgrades (RFC 9110 §7.8).
func (st *Stream) askTunnel(w http.ResponseWriter, r, out *http.Request) {
	switch {
	case out.Body != http.NoBody || !canHijack(w):
	case r.Method == http.MethodConnect:
		st.tunnel = true
	default:
		protocol := upgradeIn(r)
		if protocol == "" || r.ProtoMajor == 1 && r.ProtoMinor == 0 {
			return
		}
		header := make(http.Header, len(out.Header)+2)
		for key, values := range out.Header {
			header[key] = values
		}
		header["Connection"], header["Upgrade"] = []string{"Upgrade"}, []string{protocol}
		out.Header = header
	}
}

// A junction is a tunnel and the connection of the client that it is joined with.
type junction struct {
	front net.Conn
	back  *tunnel

	mu     sync.Mutex
	err    error     // why both were cut off; nil if neither was
	last   time.Time // until when the client may go on sending to an origin that has ended both directions; zero before
	left   bool      // the client's connection, which has no half close, was closed at the origin's end
	lost   error     // why the client takes nothing any more; nil if it does
	upOver bool      // up has returned
}

// joinTunnel passes the answer that opened a tunnel to the client, and then the bytes of both
// directions, until both have ended. If either is cut off, so is the other.
func joinTunnel(w http.ResponseWriter, r *http.Request, res *http.Response, back *tunnel) error {
	if protocol := res.Header.Get("Upgrade"); protocol != "" && !offersAll(upgradeIn(r), protocol) {
		err := &messageError{"the answer switches to a protocol that the client has not offered"}
		back.cut(err)
		refuseProxied(w, err)
		return err
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		back.cut(err)
		refuseProxied(w, err)
		return causedError{"spdy: proxied tunnel", err}
	}
	j := &junction{front: conn, back: back}
	defer conn.Close()
	defer back.Close()
	stop := context.AfterFunc(r.Context(), func() { j.contextEnds(causeOf(r.Context())) })
	defer stop()
	if _, err := conn.Write(tunnelHead(res, w.Header())); err != nil {
		j.cut(err)
		return j.failure()
	}
	var up sync.WaitGroup
	up.Add(1)
	go func() { // ends with the connection, which is cut off, or has a deadline when the stream has ended
		defer up.Done()
		j.up(buffered.Reader)
		j.endUp()
	}()
	j.down()
	ends := wait{end: back.st.done} // by both FINs, or by an origin that reads no more
	ends.sleep(nil)
	j.linger()
	up.Wait()
	return j.failure()
}

// tunnelHead returns the head of the answer of HTTP/1.1 that opens a tunnel, with the headers
// that the handler has added.
func tunnelHead(res *http.Response, added http.Header) []byte {
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 " + res.Status + "\r\n")
	if protocol := res.Header.Get("Upgrade"); protocol != "" {
		head.WriteString("Connection: Upgrade\r\nUpgrade: " + protocol + "\r\n")
	}
	header := make(http.Header, len(added)+len(res.Header))
	copyForwarded(header, withoutLength(added))
	copyForwarded(header, withoutLength(res.Header))
	_ = header.Write(&head) // a buffer takes everything
	head.WriteString("\r\n")
	return head.Bytes()
}

// A clientReader reads from the client's connection. It tells its errors from those of the tunnel.
type clientReader struct {
	j   *junction
	err error
}

func (c *clientReader) Read(p []byte) (int, error) {
	n, err := c.j.front.Read(p)
	if err != io.EOF {
		c.err = err
	}
	if until := c.j.lastWord(); n > 0 && !until.IsZero() && !c.j.isLost() {
		c.j.expectSilence(until)
	}
	return n, err
}

// up passes what the client sends. An origin that has closed its connection reads no more, but
// its last bytes may still be on their way to the client: then the rest of what the client sends is
// dropped.
func (j *junction) up(read *bufio.Reader) {
	client := &clientReader{j: j}
	_, err := j.back.Write(peekAll(read))
	if err == nil {
		_, err = copyPooled(j.back, client)
	}
	if err == nil && !j.isLost() { // behind a failed write the kernel reports a reset as an end
		err = j.back.CloseWrite()
	}
	if err != nil && client.err == nil {
		_, _ = copyPooled(io.Discard, client) // down finds out how the tunnel has ended
	}
	if client.err != nil && j.lastWord().IsZero() {
		j.cut(client.err)
	}
}

// A clientWriter writes to the client's connection. It tells its errors from those of the tunnel.
type clientWriter struct {
	j   *junction
	err error
}

func (c *clientWriter) Write(p []byte) (int, error) {
	n, err := c.j.front.Write(p)
	c.err = err
	return n, err
}

// down passes what the origin sends. A client whose connection has no half close is left at the
// origin's end.
func (j *junction) down() {
	client := &clientWriter{j: j}
	_, err := io.Copy(client, j.back)
	switch {
	case client.err != nil:
		j.lose(client.err)
		_, _ = io.Copy(io.Discard, j.back) // until up has ended: an origin that waits for it would not read
	case err != nil:
		j.cut(err)
	case j.failed(): // the end is our own
	case !closeDirection(j.front):
		j.leave()
	}
}

// lose is called when the client takes nothing any more. What it sent before it left is still to
// be passed on, as far as the origin reads it within drainLimit: a client that closes its
// connection while it has unread bytes resets it, and may have said its last word just before.
// When up has ended, both sides are cut off.
func (j *junction) lose(reason error) {
	until := time.Now().Add(drainLimit)
	j.mu.Lock()
	first, over := j.lost == nil, j.upOver
	if first {
		j.lost = reason
		j.last = until
	}
	j.mu.Unlock()
	switch {
	case over:
		j.cut(reason)
	case first:
		_ = j.back.SetWriteDeadline(until) // these fail if they are closed
		_ = j.front.SetReadDeadline(until)
	}
}

func (j *junction) isLost() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lost != nil
}

// endUp is called when up has ended.
func (j *junction) endUp() {
	j.mu.Lock()
	j.upOver = true
	lost := j.lost
	j.mu.Unlock()
	if lost != nil {
		j.cut(lost)
	}
}

// contextEnds is called when the context of the client's request ends. That of a client of
// another session ends when its stream is reset, too, which may follow bytes that are unread.
func (j *junction) contextEnds(cause error) {
	if front, ok := j.front.(*tunnel); ok && clientLeft(front.st.endReason()) {
		j.lose(cause)
		return
	}
	j.cut(cause)
}

// linger waits for the client to close its connection behind the origin's end, within the limits of
// (*proxyFront).hangUp: the kernel would reset a connection that is closed while bytes of the client
// are unread, or on their way, and the client would lose what it has not read. A tunnel of another
// session loses nothing.
func (j *junction) linger() {
	until := time.Now().Add(drainLimit)
	j.mu.Lock()
	j.last = until
	j.mu.Unlock()
	if _, ok := j.front.(*tunnel); ok {
		j.front.Close()
		return
	}
	j.expectSilence(until)
}

// expectSilence ends reading from the client when it has been silent for drainTime, and at until.
func (j *junction) expectSilence(until time.Time) {
	next := time.Now().Add(drainTime)
	if next.After(until) {
		next = until
	}
	_ = j.front.SetReadDeadline(next) // fails if it is closed
}

func (j *junction) lastWord() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// leave closes the client's connection, which ends up, too.
func (j *junction) leave() {
	j.mu.Lock()
	j.left = true
	j.mu.Unlock()
	j.front.Close()
}

func (j *junction) failed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err != nil
}

// cut cuts both sides off. The first reason stays.
func (j *junction) cut(reason error) {
	j.mu.Lock()
	first := j.err == nil
	if first {
		j.err = reason
	}
	j.mu.Unlock()
	if first {
		j.back.cut(reason)
		cutConn(j.front)
	}
}

// failure is why the tunnel was cut off. That the client cannot go on sending on a connection
// without half close is no failure: all that the origin has sent has been passed.
func (j *junction) failure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil || j.left {
		return nil
	}
	return causedError{"spdy: proxied tunnel", j.err}
}
