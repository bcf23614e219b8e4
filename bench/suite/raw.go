package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
	"github.com/moby/spdystream"
	"github.com/xtaci/smux"

	"github.com/amahi/spdy"
)

// A muxer opens streams on one connection, and returns both ends of each stream.
type muxer struct {
	open  func() (ours, theirs net.Conn, err error)
	close func()
}

// muxers make a multiplexer from the two ends of a connection.
var muxers = map[string]func(client, server net.Conn) (*muxer, error){
	"spdy":         func(c, s net.Conn) (*muxer, error) { return spdyMuxer(c, s, spdy.FlowControlStandard) },
	"spdy-unaware": func(c, s net.Conn) (*muxer, error) { return spdyMuxer(c, s, spdy.FlowControlPeerUnaware) },
	"moby":         mobyMuxer,
	"yamux":        yamuxMuxer,
	"smux":         smuxMuxer,
	"tcp":          nil, // a connection is a stream
}

// newMuxer makes a multiplexer over loopback.
func newMuxer(target string) (*muxer, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	dial := func() (client, server net.Conn, err error) {
		if client, err = net.Dial("tcp", ln.Addr().String()); err == nil {
			server, err = ln.Accept()
		}
		return client, server, err
	}
	if target == "tcp" {
		return &muxer{open: dial, close: func() { ln.Close() }}, nil
	}
	defer ln.Close()
	client, server, err := dial()
	if err != nil {
		return nil, err
	}
	return muxers[target](client, server)
}

func spdyMuxer(client, server net.Conn, fc spdy.FlowControl) (*muxer, error) {
	conf := &spdy.Config{FlowControl: fc}
	c, s := conf.RawSession(client, true), conf.RawSession(server, false)
	go c.Serve()
	go s.Serve()
	open := func() (net.Conn, net.Conn, error) {
		ctx := context.Background()
		ours, err := c.OpenStream(ctx, nil, spdy.StreamOptions{})
		if err != nil {
			return nil, nil, err
		}
		theirs, err := s.AcceptStream(ctx)
		if err != nil {
			return nil, nil, err
		}
		if err := theirs.Reply(nil, false); err != nil {
			return nil, nil, err
		}
		_, err = ours.AwaitReply(ctx)
		return ours, theirs, err
	}
	return &muxer{open: open, close: func() { c.Close(); s.Close() }}, nil
}

// A mobyConn is a stream of moby/spdystream, which is nearly a net.Conn.
type mobyConn struct{ *spdystream.Stream }

func mobyMuxer(client, server net.Conn) (*muxer, error) {
	c, err := spdystream.NewConnection(client, false)
	if err != nil {
		return nil, err
	}
	s, err := spdystream.NewConnection(server, true)
	if err != nil {
		return nil, err
	}
	accepted := make(chan *spdystream.Stream, 64)
	go s.Serve(func(st *spdystream.Stream) {
		if st.SendReply(http.Header{}, false) == nil {
			accepted <- st
		}
	})
	go c.Serve(spdystream.NoOpStreamHandler)
	open := func() (net.Conn, net.Conn, error) {
		ours, err := c.CreateStream(http.Header{}, nil, false)
		if err != nil {
			return nil, nil, err
		}
		if err := ours.WaitTimeout(10 * time.Second); err != nil {
			return nil, nil, err
		}
		return mobyConn{ours}, mobyConn{<-accepted}, nil
	}
	return &muxer{open: open, close: func() { c.Close(); s.Close() }}, nil
}

func yamuxMuxer(client, server net.Conn) (*muxer, error) {
	conf := yamux.DefaultConfig()
	conf.LogOutput = io.Discard
	c, err := yamux.Client(client, conf)
	if err != nil {
		return nil, err
	}
	s, err := yamux.Server(server, conf)
	if err != nil {
		return nil, err
	}
	return &muxer{
		open: func() (net.Conn, net.Conn, error) {
			return bothEnds(func() (net.Conn, error) { return c.Open() }, func() (net.Conn, error) { return s.Accept() })
		},
		close: func() { c.Close(); s.Close() },
	}, nil
}

func smuxMuxer(client, server net.Conn) (*muxer, error) {
	conf := smux.DefaultConfig()
	conf.Version = 2 // with flow control for each stream
	c, err := smux.Client(client, conf)
	if err != nil {
		return nil, err
	}
	s, err := smux.Server(server, conf)
	if err != nil {
		return nil, err
	}
	return &muxer{
		open: func() (net.Conn, net.Conn, error) {
			return bothEnds(func() (net.Conn, error) { return c.OpenStream() }, func() (net.Conn, error) { return s.AcceptStream() })
		},
		close: func() { c.Close(); s.Close() },
	}, nil
}

func bothEnds(open, accept func() (net.Conn, error)) (ours, theirs net.Conn, err error) {
	ours, oerr := open()
	theirs, aerr := accept()
	return ours, theirs, errors.Join(oerr, aerr)
}

// rawBulk moves bytes over n streams at once, in writes of 32 KiB.
func rawBulk(streams int, total int64) func(string, float64) (metrics, error) {
	return func(target string, scale float64) (metrics, error) {
		m, err := newMuxer(target)
		if err != nil {
			return nil, err
		}
		defer m.close()
		each := int64(float64(total)*scale) / int64(streams) &^ (32<<10 - 1)
		ours, theirs := make([]net.Conn, streams), make([]net.Conn, streams)
		for i := range ours {
			if ours[i], theirs[i], err = m.open(); err != nil {
				return nil, err
			}
		}
		if err := move(ours, theirs, 8<<20/int64(streams)); err != nil { // warm up
			return nil, err
		}
		meter := startMeter()
		if err := move(ours, theirs, each); err != nil {
			return nil, err
		}
		return meter.bulk(each * int64(streams)), nil
	}
}

// move sends n bytes on each stream and reads them at the other end.
func move(from, to []net.Conn, n int64) error {
	var wg sync.WaitGroup
	errs := make([]error, 2*len(from))
	for i := range from {
		wg.Go(func() { errs[2*i] = send(from[i], n) })
		wg.Go(func() { errs[2*i+1] = receive(to[i], n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func send(w io.Writer, n int64) error {
	buf := make([]byte, 32<<10)
	for n > 0 {
		k, err := w.Write(buf[:min(n, int64(len(buf)))])
		if err != nil {
			return err
		}
		n -= int64(k)
	}
	return nil
}

func receive(r io.Reader, n int64) error {
	buf := make([]byte, 32<<10)
	for n > 0 {
		k, err := r.Read(buf)
		n -= int64(k)
		if err != nil && n > 0 {
			return err
		}
	}
	return nil
}

// rawByte sends a byte back and forth, as a terminal does.
func rawByte(total int64) func(string, float64) (metrics, error) {
	return func(target string, scale float64) (metrics, error) {
		m, err := newMuxer(target)
		if err != nil {
			return nil, err
		}
		defer m.close()
		ours, theirs, err := m.open()
		if err != nil {
			return nil, err
		}
		go echo(theirs)
		n := int64(float64(total) * scale)
		if err := bounce(ours, n/10); err != nil {
			return nil, err
		}
		meter := startMeter()
		if err := bounce(ours, n); err != nil {
			return nil, err
		}
		return meter.each(n), nil
	}
}

// echo sends each byte back. It ends with the connection.
func echo(conn net.Conn) {
	var b [1]byte
	for {
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			return
		}
		if _, err := conn.Write(b[:]); err != nil {
			return
		}
	}
}

// bounce sends a byte and waits for the echo, n times.
func bounce(conn net.Conn, n int64) error {
	var b [1]byte
	for range n {
		if _, err := conn.Write(b[:]); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			return err
		}
	}
	return nil
}

// rawIdle measures the cost of an end of a connection without streams, after a first stream.
func rawIdle(target string, scale float64) (metrics, error) {
	n := max(int(100*scale), 10)
	muxers := make([]*muxer, n)
	var err error
	if muxers[0], err = newMuxer(target); err != nil { // fills shared state
		return nil, err
	}
	if err := useOnce(muxers[0]); err != nil {
		return nil, err
	}
	before := settled()
	for i := 1; i < n; i++ {
		if muxers[i], err = newMuxer(target); err != nil {
			return nil, err
		}
		if err := useOnce(muxers[i]); err != nil {
			return nil, err
		}
	}
	after := settled()
	for _, m := range muxers {
		defer m.close()
	}
	return after.since(before, float64(2*(n-1))), nil
}

func useOnce(m *muxer) error {
	ours, theirs, err := m.open()
	if err != nil {
		return err
	}
	if err := move([]net.Conn{ours}, []net.Conn{theirs}, 1<<10); err != nil {
		return err
	}
	ours.Close()
	theirs.Close()
	return nil
}
