package faults

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/moby/spdystream"

	"github.com/amahi/spdy"
)

// A side is one end of a connection. Calls with a duration are given up after it, if the
// library has a way to; if it has none they may never return, see within.
type side interface {
	open() (strm, error)                  // sends a SYN_STREAM and does not wait for the reply
	accept(d time.Duration) (strm, error) // takes a stream of the peer, and does not reply
	ping(d time.Duration) error           // waits for the echo
	bye()                                 // what a program says that wants to end: a GOAWAY, in the end
	close()                               // gives up
	conn() *net.TCPConn                   // beneath
}

// A strm is one end of a stream.
type strm interface {
	io.ReadWriter
	id() uint32
	reply() error
	awaitReply(d time.Duration) error // 0: as long as it takes
	closeWrite() error
	reset() error
	sendHeaders() error
	readBefore(t time.Time) error // sets the deadline of this stream
}

// A kind says whose a side is.
type kind int

const (
	moby kind = iota // what github.com/moby/spdystream is in this build
	ours
)

func (k kind) String() string { return [...]string{"moby", "ours"}[k] }

// streamHeader is what streams are opened with: some headers, none of HTTP's.
var streamHeader = http.Header{"Streamtype": {"data"}, "Port": {"80"}}

// A mobySide is spdystream.
type mobySide struct {
	tcp      *net.TCPConn
	c        *spdystream.Connection
	accepted chan *spdystream.Stream

	// eager replies in the handler, as Kubernetes does: otherwise spdystream drops what
	// comes between the sending of its reply and its knowing of it.
	eager atomic.Bool
}

func newMoby(conn *net.TCPConn, client bool) (*mobySide, error) {
	c, err := spdystream.NewConnection(conn, !client)
	if err != nil {
		return nil, err
	}
	m := &mobySide{tcp: conn, c: c, accepted: make(chan *spdystream.Stream, 100)}
	go c.Serve(func(st *spdystream.Stream) {
		if m.eager.Load() {
			_ = st.SendReply(http.Header{}, false)
		}
		m.accepted <- st
	})
	return m, nil
}

func (m *mobySide) conn() *net.TCPConn { return m.tcp }

func (m *mobySide) open() (strm, error) {
	st, err := m.c.CreateStream(streamHeader, nil, false)
	return mobyStream{st}, err
}

func (m *mobySide) accept(d time.Duration) (strm, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case st := <-m.accepted:
		return mobyStream{st}, nil
	case <-timer.C:
		return nil, context.DeadlineExceeded
	}
}

func (m *mobySide) ping(time.Duration) error {
	_, err := m.c.Ping()
	return err
}

func (m *mobySide) bye() { _ = m.c.Close() }

func (m *mobySide) close() {
	m.tcp.Close()
	_ = m.c.Close()
}

type mobyStream struct{ *spdystream.Stream }

func (s mobyStream) id() uint32                       { return s.Identifier() }
func (s mobyStream) reply() error                     { return s.SendReply(http.Header{}, false) }
func (s mobyStream) awaitReply(d time.Duration) error { return s.WaitTimeout(d) }
func (s mobyStream) closeWrite() error                { return s.Close() }
func (s mobyStream) reset() error                     { return s.Reset() }
func (s mobyStream) sendHeaders() error               { return s.SendHeader(streamHeader, false) }
func (s mobyStream) readBefore(t time.Time) error     { return s.SetReadDeadline(t) }

// An ourSide is a raw session.
type ourSide struct {
	tcp    *net.TCPConn
	s      *spdy.Session
	served chan struct{}
}

func newOurs(conn *net.TCPConn, client bool, conf *spdy.Config) *ourSide {
	o := &ourSide{tcp: conn, s: conf.RawSession(conn, client), served: make(chan struct{})}
	go func() { // ends with the session
		defer close(o.served)
		_ = o.s.Serve()
	}()
	return o
}

func (o *ourSide) conn() *net.TCPConn { return o.tcp }

// upTo is a context for a call that must not take longer.
func upTo(d time.Duration) (context.Context, context.CancelFunc) {
	if d == 0 {
		return context.Background(), func() {}
	}
	return context.WithTimeout(context.Background(), d)
}

func (o *ourSide) open() (strm, error) {
	h, err := spdy.NewHeaderBlock(streamHeader)
	if err != nil {
		return nil, err
	}
	ctx, cancel := upTo(hangs)
	defer cancel()
	st, err := o.s.OpenStream(ctx, h, spdy.StreamOptions{})
	if err != nil {
		return nil, err
	}
	return ourStream{st}, nil
}

func (o *ourSide) accept(d time.Duration) (strm, error) {
	ctx, cancel := upTo(d)
	defer cancel()
	st, err := o.s.AcceptStream(ctx)
	if err != nil {
		return nil, err
	}
	return ourStream{st}, nil
}

func (o *ourSide) ping(d time.Duration) error {
	ctx, cancel := upTo(d)
	defer cancel()
	_, err := o.s.PingContext(ctx)
	return err
}

// bye leaves the waiting to a goroutine, as spdystream does.
func (o *ourSide) bye() {
	go func() { // ends with the session
		ctx, cancel := upTo(patience)
		defer cancel()
		_ = o.s.Shutdown(ctx)
	}()
}

func (o *ourSide) close() {
	o.s.Close()
	<-o.served
}

type ourStream struct{ *spdy.RawStream }

func (s ourStream) id() uint32   { return s.ID() }
func (s ourStream) reply() error { return s.Reply(nil, false) }

func (s ourStream) awaitReply(d time.Duration) error {
	ctx, cancel := upTo(d)
	defer cancel()
	_, err := s.AwaitReply(ctx)
	return err
}

func (s ourStream) closeWrite() error { return s.CloseWrite() }
func (s ourStream) reset() error      { return s.Reset(spdy.RstCancel) }
func (s ourStream) sendHeaders() error {
	h, err := spdy.NewHeaderBlock(streamHeader)
	return errors.Join(err, s.SendHeaders(h, false))
}
func (s ourStream) readBefore(t time.Time) error { return s.SetReadDeadline(t) }
