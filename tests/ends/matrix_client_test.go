package ends

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// How an answer ended.
const (
	endedClean     = "clean"     // as it should
	endedTruncated = "truncated" // with the connection
	endedReset     = "reset"     // by a reset of the stream or of the connection
	endedHung      = "hung"      // never
	endedLeft      = "left"      // the client did not stay
)

// An outcome is what a client got.
type outcome struct {
	status int // 0 without an answer
	body   received
	ended  string // how
	err    error  // why, unless the end was clean
	probe  error  // of the request behind it
}

// worth orders outcomes.
func (o outcome) worth(size int) int {
	switch {
	case o.status == 0:
		return 0
	case o.ended != endedClean:
		return 1
	case o.status != http.StatusOK:
		return 2
	case o.body.n == size:
		return 3
	}
	return -1 // a part is passed off as the whole
}

func (o outcome) String() string {
	s := fmt.Sprintf("%d, %d bytes, %s", o.status, o.body.n, o.ended)
	if o.err != nil {
		s += fmt.Sprintf(" (%v)", o.err)
	}
	if o.body.wrong {
		s += ", WRONG BYTES"
	}
	return s
}

// classOf sorts an error that ended an answer.
func classOf(err error) string {
	var reset resetError
	switch {
	case err == nil:
		return endedClean
	case errors.Is(err, os.ErrDeadlineExceeded):
		return endedHung
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.As(err, &reset):
		return endedReset
	}
	return endedTruncated
}

// A resetError is the reset of a stream.
type resetError string

func (e resetError) Error() string { return string(e) }

// A client makes the request of a cell.
type client struct {
	cell     cell
	conn     net.Conn
	once     sync.Once
	begun    chan struct{} // closed when the answer has begun
	uploaded chan struct{} // closed when the upload has ended
}

func newClient(c cell, conn net.Conn) *client {
	return &client{cell: c, conn: conn, begun: make(chan struct{}), uploaded: make(chan struct{})}
}

// A wire is a connection as one protocol uses it.
type wire interface {
	request(c cell) error           // sends the header
	send(p []byte, last bool) error // sends a piece of the body
	halfClose() error               // ends the body
	breakOff()                      // resets the connection or the stream
	answer(c *client) outcome       // receives the answer
	probe() error                   // makes another request; nil if that needs another connection
}

// dial connects to the front of a road.
func (r *road) dial(small bool) (net.Conn, error) {
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		return nil, err
	}
	if small {
		_ = conn.(*net.TCPConn).SetReadBuffer(smallBuffer)
	}
	_ = conn.SetDeadline(time.Now().Add(patience(r.cell)))
	conf := &tls.Config{InsecureSkipVerify: true}
	switch r.frontOf() {
	case frontTLS:
		return tls.Client(conn, conf), nil
	case frontHTTP2:
		conf.NextProtos = []string{"h2"}
		return tls.Client(conn, conf), nil
	}
	return conn, nil
}

// patience is the time after which a cell hangs.
func patience(c cell) time.Duration {
	if c.size() == huge {
		return 4 * time.Minute
	}
	return 30 * time.Second
}

// newWire returns a connection's protocol.
func newWire(front int, conn net.Conn) wire {
	switch front {
	case frontHTTP1, frontTLS:
		return &http1Wire{conn: conn, in: bufio.NewReader(conn)}
	case frontHTTP2:
		return newMux(newHTTP2Link(conn))
	}
	v, _ := spdyFront(front)
	return newMux(newSPDYLink(conn, v))
}

// frontOf returns the protocol of a road's front. That of the oracle for SPDY is HTTP/2.
func (r *road) frontOf() int {
	if front := r.cell[dimFront]; !r.oracle || front < frontSPDY2 {
		return front
	}
	return frontHTTP2
}

// run makes the request of a road's cell. It returns what the client got, and an error if
// something that belongs to the request does not end.
func (r *road) run() (o outcome, err error) {
	conn, err := r.dial(r.cell[dimReader] == readerPauses)
	if err != nil {
		return o, err
	}
	defer conn.Close()
	c, w := newClient(r.cell, conn), newWire(r.frontOf(), conn)
	if err := w.request(r.cell); err != nil {
		return o, err
	}
	go func() {
		defer close(c.uploaded)
		c.upload(w)
	}()
	u := r.cell.upload()
	if u.first {
		select {
		case <-c.uploaded:
		case <-time.After(stubborn): // both sides wait for each other
		}
	}
	o = w.answer(c)
	c.begin()
	<-c.uploaded
	if u.leaves() {
		o.ended = endedLeft
	}
	if u.end == endBreakOff {
		o.probe = w.probe()
	}
	err = r.settles(15 * time.Second)
	if o.probe == nil {
		o.probe = r.probe()
	}
	return o, err
}

// stubborn is how long a client that sends all before it reads waits for that.
const stubborn = 2 * time.Second

// begin notes that the answer has begun.
func (c *client) begin() { c.once.Do(func() { close(c.begun) }) }

// upload sends the body of the request as the cell says. A client whose upload fails goes on
// to read the answer.
func (c *client) upload(w wire) {
	u := c.cell.upload()
	size := 16 << 10
	if u.pause > 0 {
		size = u.sent / 8
	}
	for n := 0; n < u.sent; {
		p := piece(n, min(size, u.sent-n))
		n += len(p)
		if w.send(p, n == u.total) != nil {
			break
		}
		if u.pause > 0 {
			pass(u.pause)
		}
	}
	if u.end != endWhole && !u.late {
		select {
		case <-c.begun:
		case <-time.After(c.waits()):
		}
	}
	switch u.end {
	case endHalfClose:
		_ = w.halfClose()
	case endHangUp:
		c.conn.Close()
	case endBreakOff:
		w.breakOff()
	}
}

// read reads an answer's body.
func (c *client) read(body io.Reader) (got received, err error) {
	if c.cell[dimReader] == readerPauses {
		if _, err = io.CopyN(&got, body, 4<<10); err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		if m, ok := body.(*muxBody); ok {
			m.pause(2 * time.Second)
		} else {
			pass(2 * time.Second)
		}
		c.widen()
	}
	_, err = io.Copy(&got, body)
	return got, err
}

// waits is how long a client waits for the beginning of an answer before it ends its upload. A
// front of HTTP/1.1 with a ReverseProxy reads the upload before it forwards an answer.
func (c *client) waits() time.Duration {
	if c.cell[dimFront] <= frontTLS && c.cell[dimProxy] == proxyReverse {
		return 500 * time.Millisecond
	}
	return 10 * time.Second
}

// smallBuffer is the receive buffer of a client that pauses. With less 4 MiB take many
// seconds on a loopback interface. The client gives it up when it reads on.
const smallBuffer = 32 << 10

func (c *client) widen() {
	conn := c.conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(1 << 20)
}

// probe makes a request on another connection.
func (r *road) probe() error {
	conn, err := r.dial(false)
	if err != nil {
		return err
	}
	defer conn.Close()
	w := newWire(r.frontOf(), conn)
	if err := w.request(probeCell); err != nil {
		return err
	}
	if o := w.answer(newClient(probeCell, conn)); o.status != http.StatusOK || o.ended != endedClean {
		return fmt.Errorf("the next request: %v", o)
	}
	return nil
}

// probeCell stands for a request that reads nothing.
var probeCell = cell{-1}

func (c cell) isProbe() bool { return c == probeCell }

// header is the header of a cell's request, with the Content-Length if it has one.
func (c cell) header() (method string, length int) {
	if c.isProbe() || c.upload().total == 0 {
		return http.MethodGet, -1
	}
	if c[dimRequest] == withLength {
		return http.MethodPost, c.upload().total
	}
	return http.MethodPost, -1
}

// An http1Wire is a connection of HTTP/1.1.
type http1Wire struct {
	conn    net.Conn
	in      *bufio.Reader
	chunked bool
}

func (w *http1Wire) request(c cell) error {
	method, length := c.header()
	var b strings.Builder
	fmt.Fprintf(&b, "%s / HTTP/1.1\r\nHost: front.example\r\n", method)
	switch {
	case c.isProbe():
		fmt.Fprintf(&b, "%s: 1\r\n", probeHeader)
	case length >= 0:
		fmt.Fprintf(&b, "Content-Length: %d\r\n", length)
	case method == http.MethodPost:
		b.WriteString("Transfer-Encoding: chunked\r\n")
		w.chunked = true
	}
	b.WriteString("\r\n")
	_, err := io.WriteString(w.conn, b.String())
	return err
}

func (w *http1Wire) send(p []byte, last bool) (err error) {
	if !w.chunked {
		_, err = w.conn.Write(p)
		return err
	}
	b := fmt.Appendf(nil, "%x\r\n%s\r\n", len(p), p)
	if last {
		b = append(b, "0\r\n\r\n"...)
	}
	_, err = w.conn.Write(b)
	return err
}

func (w *http1Wire) halfClose() error {
	return w.conn.(interface{ CloseWrite() error }).CloseWrite()
}

func (w *http1Wire) breakOff() {
	conn := w.conn
	if c, ok := conn.(*tls.Conn); ok {
		conn = c.NetConn()
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

func (w *http1Wire) answer(c *client) (o outcome) {
	res, err := http.ReadResponse(w.in, nil)
	if err != nil {
		return outcome{ended: classOf(err), err: err}
	}
	o.status = res.StatusCode
	c.begin()
	o.body, o.err = c.read(res.Body)
	o.ended = classOf(o.err)
	return o
}

func (w *http1Wire) probe() error { return nil }
