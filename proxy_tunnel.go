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

// This file joins a tunnel of a session to the connection of the requesting client of a proxy: by
// an upgrade, or by a CONNECT of HTTP/1.1.

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

// askTunnel adds the tunnel request of r, if any, to the forwarded request out, if w can be
// hijacked. h2c is not forwarded: the proxy could not inspect the requests in it. HTTP/1.0 has no
// upgrades (RFC 9110 §7.8).
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

// A junction is a tunnel joined to the connection of the client.
type junction struct {
	front net.Conn
	back  *tunnel

	mu     sync.Mutex
	err    error     // why both were cut off; nil if neither was
	last   time.Time // how long the client may still send after the origin has ended both directions; zero before that
	left   bool      // the client's connection has no half close and is closed after the origin's end
	lost   error     // why the client reads no more; nil while it reads
	upOver bool      // up has returned
}

// joinTunnel writes the answer that opened the tunnel to the client, and then copies bytes in both
// directions until both have ended. If either side is cut off, so is the other.
func joinTunnel(w http.ResponseWriter, r *http.Request, res *http.Response, back *tunnel) error {
	if protocol := res.Header.Get("Upgrade"); protocol != "" && !offersAll(upgradeIn(r), protocol) {
		err := &messageError{"spdy: the answer switches to a protocol that the client has not offered"}
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
	if _, err := writeWhole(conn, tunnelHead(res, w.Header())); err != nil {
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
	ends := wait{end: back.st.done} // closed by both FINs, or by an origin that reads no more
	ends.sleep(nil)
	j.linger()
	up.Wait()
	return j.failure()
}

// tunnelHead returns the head of the HTTP/1.1 answer that opens a tunnel, with the headers added by
// the handler.
func tunnelHead(res *http.Response, added http.Header) []byte {
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 " + res.Status + "\r\n")
	if protocol := res.Header.Get("Upgrade"); protocol != "" {
		head.WriteString("Connection: Upgrade\r\nUpgrade: " + protocol + "\r\n")
	}
	header := make(http.Header, len(added)+len(res.Header))
	copyForwarded(header, withoutLength(added))
	copyForwarded(header, withoutLength(res.Header))
	_ = header.Write(&head) // a bytes.Buffer never fails
	head.WriteString("\r\n")
	return head.Bytes()
}

// A clientReader reads from the client's connection. It keeps client errors apart from tunnel
// errors.
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

// up copies bytes from the client to the origin. An origin reads no more once it has closed the
// connection, but the last bytes may still be in flight to the client: then the remaining bytes of
// the client are discarded.
func (j *junction) up(read *bufio.Reader) {
	client := &clientReader{j: j}
	_, err := j.back.Write(peekAll(read))
	if err == nil {
		_, err = copyPooled(j.back, client)
	}
	if err == nil && !j.isLost() { // after a failed write the kernel reports a reset as EOF
		err = j.back.CloseWrite()
	}
	if err != nil && client.err == nil {
		_, _ = copyPooled(io.Discard, client) // down reports how the tunnel has ended
	}
	switch {
	case client.err == nil:
	case j.hasLeft():
		j.front.Close() // before the cut, which would reset the connection
		j.cut(client.err)
	case j.lastWord().IsZero():
		j.cut(client.err)
	}
}

// A clientWriter writes to the client's connection. It keeps client errors apart from tunnel
// errors.
type clientWriter struct {
	j   *junction
	err error
}

func (c *clientWriter) Write(p []byte) (int, error) {
	n, err := c.j.front.Write(p)
	c.err = err
	return n, err
}

// down copies bytes from the origin to the client. If the client's connection has no half close,
// the connection is closed after the origin's end, see leave.
func (j *junction) down() {
	client := &clientWriter{j: j}
	_, err := io.Copy(client, j.back)
	switch {
	case client.err != nil:
		j.lose(client.err)
		_, _ = io.Copy(io.Discard, j.back) // until up has ended: an origin whose writes block would not read
	case err != nil:
		j.cut(err)
	case j.failed(): // we ended the tunnel ourselves
	case !closeDirection(j.front):
		j.leave()
	}
}

// lose is called when the client reads no more. Bytes sent by the client before are still
// forwarded, as far as the origin reads them within drainLimit: a client that closes a connection
// with unread bytes resets the connection, and may have sent the last bytes just before. When up
// has ended, both sides are cut off.
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
		_ = j.back.SetWriteDeadline(until) // these fail if the connections are closed
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

// contextEnds is called when the context of the client's request ends. The context of a client on
// another session also ends when the stream is reset, possibly with bytes still unread.
func (j *junction) contextEnds(cause error) {
	if front, ok := j.front.(*tunnel); ok && clientLeft(front.st.endReason()) {
		j.lose(cause)
		return
	}
	j.cut(cause)
}

// linger waits for the client to close the connection after the origin's end, within the limits of
// (*proxyFront).hangUp: if a connection is closed while bytes of the client are unread or in
// flight, the kernel resets it, and the client loses unread bytes. A tunnel of another session
// loses nothing.
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

// expectSilence stops reading from the client once it has sent nothing for drainTime, or at until.
func (j *junction) expectSilence(until time.Time) {
	next := time.Now().Add(drainTime)
	if next.After(until) {
		next = until
	}
	_ = j.front.SetReadDeadline(next) // fails if the connection is closed
}

func (j *junction) lastWord() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// leave is called at the origin's end if only closing the connection tells the client of the end.
// While bytes of the client are unread or in flight, the kernel would reset the connection, and the
// client lose unread bytes. So up continues within the limits of linger, and then closes.
func (j *junction) leave() {
	until := time.Now().Add(drainLimit)
	j.mu.Lock()
	j.left, j.last = true, until
	j.mu.Unlock()
	_ = j.back.SetWriteDeadline(until) // an origin may not read; fails if the tunnel is closed
	if j.front.SetReadDeadline(time.Now().Add(drainTime)) != nil {
		j.front.Close() // up may never return otherwise
	}
}

func (j *junction) hasLeft() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.left
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

// failure returns why the tunnel was cut off. The end of sending on a connection without half close
// is no failure: all bytes from the origin have been forwarded.
func (j *junction) failure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil || j.left {
		return nil
	}
	return causedError{"spdy: proxied tunnel", j.err}
}
