package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/spdystream"
)

// moby/spdystream is a library of streams without HTTP. This file adds as much HTTP as the
// conversations need: it writes out the pseudo headers, and the library's calls do the rest.

// A mobyServer is spdystream as a server.
type mobyServer struct {
	ln  net.Listener
	end context.CancelFunc
}

func (s *mobyServer) listen(context.Context) (string, error) {
	if s.ln != nil {
		return s.ln.Addr().String(), nil
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return "", err
	}
	s.ln = ln
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	go func() { // ends with the listener
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			m := &mobyConn{ctx: ctx}
			if m.conn, err = spdystream.NewConnection(conn, true); err != nil {
				conn.Close()
				continue
			}
			context.AfterFunc(ctx, func() { conn.Close() })
			go m.conn.Serve(func(st *spdystream.Stream) { go m.handle(st) }) // ends with the connection
		}
	}()
	return ln.Addr().String(), nil
}

func (s *mobyServer) log() string { return "" }

func (s *mobyServer) stop() {
	if s.ln != nil {
		s.ln.Close()
		s.end()
	}
}

// A mobyConn is a connection of a mobyServer.
type mobyConn struct {
	ctx  context.Context
	conn *spdystream.Connection

	mu      sync.Mutex
	waiting []*spdystream.Stream
}

func mobyReply(st *spdystream.Stream, fin bool, header ...string) {
	h := http.Header{":status": {"200 OK"}, ":version": {"HTTP/1.1"}}
	for i := 0; i+1 < len(header); i += 2 {
		h[header[i]] = append(h[header[i]], header[i+1])
	}
	_ = st.SendReply(h, fin)
}

func mobySay(st *spdystream.Stream, text string) {
	_, _ = st.Write([]byte(text))
}

// handle answers a request.
func (m *mobyConn) handle(st *spdystream.Stream) {
	h := st.Headers()
	path, query, _ := strings.Cut(h.Get(":path"), "?")
	switch path {
	case "/get":
		saw := []string{"x-saw", h.Get(":method") + " " + h.Get(":path"), "set-cookie", "a=1", "set-cookie", "b=2"}
		if h.Get(":method") == "HEAD" {
			mobyReply(st, true, saw...)
			return
		}
		mobyReply(st, false, saw...)
		mobySay(st, "hello from spdystream\n")
	case "/echo":
		mobyReply(st, false)
		_, _ = io.Copy(st, st)
	case "/gather":
		n, _ := strconv.Atoi(strings.TrimPrefix(query, "n="))
		m.gather(st, n)
		return
	case "/headers":
		mobyReply(st, false, "x-big", h.Get("X-Big"))
	case "/trailers":
		mobyReply(st, false, "trailer", "x-checksum")
		mobySay(st, "body\n")
		_ = st.SendHeader(http.Header{"x-checksum": {"deadbeef"}}, true)
		return
	case "/big":
		mobyReply(st, false)
		inPieces(st, pattern(windowBody))
	case "/push":
		m.push(st)
		mobyReply(st, false)
		mobySay(st, "page\n")
	case "/endless":
		mobyReply(st, false)
		m.endless(st)
		return
	case "/cut":
		mobyReply(st, false)
		inPieces(st, pattern(cutBody))
		_ = st.Reset() // with CANCEL, the only status that spdystream sends
		return
	case "/drip", "/goaway":
		m.inTwo(st, path == "/goaway")
	case "/ping":
		mobyReply(st, false)
		if _, err := m.conn.Ping(); err != nil {
			mobySay(st, err.Error())
		}
		mobySay(st, "pong\n")
	default:
		_ = st.SendReply(http.Header{":status": {"404"}, ":version": {"HTTP/1.1"}}, true)
		return
	}
	_ = st.Close()
}

// inPieces writes frames of 8 KiB: spdystream sends each Write as a single frame of any size.
func inPieces(st *spdystream.Stream, p []byte) {
	for len(p) > 0 {
		n := min(len(p), 8192)
		if _, err := st.Write(p[:n]); err != nil {
			return
		}
		p = p[n:]
	}
}

func (m *mobyConn) gather(st *spdystream.Stream, n int) {
	m.mu.Lock()
	m.waiting = append(m.waiting, st)
	var all []*spdystream.Stream
	if len(m.waiting) >= n {
		all, m.waiting = m.waiting, nil
	}
	m.mu.Unlock()
	for _, st := range all {
		mobyReply(st, false)
		inPieces(st, pattern(smallBody))
		_ = st.Close()
	}
}

// push opens a stream towards the client. spdystream cannot make the stream unidirectional.
func (m *mobyConn) push(parent *spdystream.Stream) {
	st, err := parent.CreateSubStream(http.Header{
		":method": {"GET"}, ":path": {"/pushed"}, ":host": {parent.Headers().Get(":host")}, ":scheme": {"http"},
		":status": {"200"}, ":version": {"HTTP/1.1"}, "x-pushed": {"yes"},
	}, false)
	if err == nil {
		mobySay(st, "pushed\n")
		_ = st.Close()
	}
}

func (m *mobyConn) endless(st *spdystream.Stream) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !st.IsFinished() {
		select {
		case <-tick.C:
			if _, err := st.Write(pattern(4096)); err != nil {
				return
			}
		case <-m.ctx.Done():
			return
		}
	}
}

func (m *mobyConn) inTwo(st *spdystream.Stream, goAway bool) {
	words := []string{"first ", "last\n"}
	if goAway {
		words = []string{"bye ", "now\n"}
	}
	mobyReply(st, false)
	mobySay(st, words[0])
	if goAway {
		_ = m.conn.Close() // GOAWAY; the connection ends after its streams
	}
	pause := time.NewTimer(150 * time.Millisecond)
	defer pause.Stop()
	select {
	case <-pause.C:
		mobySay(st, words[1])
	case <-m.ctx.Done():
	}
}

// A mobyClient is spdystream as a client.
type mobyClient struct {
	conn   *spdystream.Connection
	raw    net.Conn
	pushed chan *spdystream.Stream
}

func (*mobyClient) start(context.Context) error { return nil }
func (*mobyClient) log() string                 { return "" }
func (*mobyClient) stop()                       {}

func (*mobyClient) converse(ctx context.Context, c cell, addr string) error {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	m := &mobyClient{raw: raw, pushed: make(chan *spdystream.Stream, 1)}
	if m.conn, err = spdystream.NewConnection(raw, false); err != nil {
		return err
	}
	go m.conn.Serve(func(st *spdystream.Stream) { // ends with the connection
		select {
		case m.pushed <- st:
		default:
		}
	})
	result := make(chan error, 1)
	go func() { result <- m.hold(ctx, c) }() // spdystream may never return while it has queued frames
	select {
	case err = <-result:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if why := context.Cause(ctx); err != nil && why != nil && !errors.Is(err, why) {
		err = fmt.Errorf("%w (%w)", err, why)
	}
	if c.conversation != convGoAwayC {
		raw.Close()
	}
	return err
}

func (m *mobyClient) hold(ctx context.Context, c cell) error {
	switch c.conversation {
	case convGet:
		return m.expect("GET", "/get", "hello from the library\n")
	case convHead:
		return m.expect("HEAD", "/get", "")
	case convEcho:
		return m.post("/echo", pattern(bigBody), pattern(bigBody))
	case convStreams:
		return m.streams()
	case convHeaders:
		return m.expect("GET", "/headers", "headers\n", "x-big", bigHeader)
	case convTrailers:
		return m.trailers()
	case convWindow:
		return m.post("/hold", pattern(windowBody), fmt.Appendf(nil, "held %d\n", windowBody))
	case convPush:
		return m.push(ctx)
	case convCancel:
		return m.cancel()
	case convCut:
		return m.cut()
	case convGoAwayC:
		return m.sayGoAway()
	case convGoAwayS:
		return m.expect("GET", "/goaway", "bye now\n")
	case convPing:
		return m.ping()
	}
	return errNotHere
}

// open sends a request and waits for the response headers. spdystream does not expose these
// headers.
func (m *mobyClient) open(method, path string, fin bool, header ...string) (*spdystream.Stream, error) {
	h := http.Header{
		":method": {method}, ":path": {path}, ":version": {"HTTP/1.1"},
		":host": {m.raw.RemoteAddr().String()}, ":scheme": {"http"},
	}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return m.conn.CreateStream(h, nil, fin)
}

func (m *mobyClient) expect(method, path, want string, header ...string) error {
	st, err := m.open(method, path, true, header...)
	if err != nil {
		return err
	}
	if err := st.WaitTimeout(talkTime); err != nil {
		return fmt.Errorf("no reply: %w", err)
	}
	got, err := io.ReadAll(st)
	if err == nil && string(got) != want {
		err = fmt.Errorf("%s %s: %d bytes, %.40q", method, path, len(got), got)
	}
	return err
}

func (m *mobyClient) post(path string, body, want []byte) error {
	st, err := m.open("POST", path, false)
	if err != nil {
		return err
	}
	go func() { // ends with the connection
		inPieces(st, body)
		_ = st.Close()
	}()
	if err := st.WaitTimeout(talkTime); err != nil {
		return fmt.Errorf("no reply: %w", err)
	}
	got, err := io.ReadAll(st)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("POST %s: %d bytes came back, not %d", path, len(got), len(want))
	}
	return err
}

func (m *mobyClient) streams() error {
	want := string(pattern(smallBody))
	errs := make([]error, manyStreams)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = m.expect("GET", "/gather?n="+strconv.Itoa(manyStreams), want) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (m *mobyClient) trailers() error {
	st, err := m.open("GET", "/trailers", true)
	if err != nil {
		return err
	}
	if err := st.WaitTimeout(talkTime); err != nil {
		return err
	}
	if body, err := st.ReadData(); err != nil || string(body) != "body\n" {
		return fmt.Errorf("body %q: %w", body, err)
	}
	h, err := st.ReceiveHeader()
	if err == nil && h.Get("X-Checksum") != "deadbeef" {
		err = fmt.Errorf("trailers %v", h)
	}
	return err
}

func (m *mobyClient) push(ctx context.Context) error {
	if err := m.expect("GET", "/push", "page\n"); err != nil {
		return err
	}
	select {
	case st := <-m.pushed:
		if h := st.Headers(); h.Get(":path") != "/pushed" || h.Get("X-Pushed") != "yes" {
			return fmt.Errorf("pushed with %v", h)
		}
		return nil
	case <-ctx.Done():
		return errors.New("nothing was pushed")
	}
}

func (m *mobyClient) cancel() error {
	st, err := m.open("GET", "/endless", true)
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(st, make([]byte, 20000)); err != nil {
		return err
	}
	pause := time.NewTimer(settleTime) // until the server has exhausted its window, which shows M1
	defer pause.Stop()
	<-pause.C
	if err := st.Cancel(); err != nil { // Reset sends nothing after the end of the request
		return err
	}
	return m.expect("GET", "/get", "hello from the library\n")
}

const cutLooksComplete = "an answer that was cut off looks complete"

func (m *mobyClient) cut() error {
	st, err := m.open("GET", "/cut", true)
	if err != nil {
		return err
	}
	if _, err := io.ReadAll(st); err == nil {
		return errors.New(cutLooksComplete)
	}
	return m.expect("GET", "/get", "hello from the library\n")
}

func (m *mobyClient) sayGoAway() error {
	st, err := m.open("GET", "/drip", true)
	if err != nil {
		return err
	}
	first := make([]byte, len("first "))
	if _, err := io.ReadFull(st, first); err != nil {
		return err
	}
	if err := m.conn.Close(); err != nil {
		return err
	}
	rest, err := io.ReadAll(st)
	if err == nil && string(first)+string(rest) != "first last\n" {
		err = fmt.Errorf("body %q", string(first)+string(rest))
	}
	return err
}

func (m *mobyClient) ping() error {
	for range 3 {
		if _, err := m.conn.Ping(); err != nil {
			return err
		}
	}
	return m.expect("GET", "/ping", "pong\n")
}
