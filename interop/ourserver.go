package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/amahi/spdy"
)

// A serverTalk is a conversation with the library as the server. It holds a server for a single
// connection, and the errors detected by the handlers.
type serverTalk struct {
	ctx  context.Context
	cell cell
	tap  *tap
	addr string

	server  *spdy.Server  // for all conversations except ping
	session *spdy.Session // for ping, guarded by mu
	ended   chan struct{} // latch: the server has stopped

	shut     chan struct{} // latch: Shutdown has returned
	shutdown error         // result of Shutdown

	mu      sync.Mutex
	noticed []error       // errors detected by handlers
	gone    chan struct{} // latch: the context of /endless has ended
	waiting []chan struct{}
}

// serve starts a server for one conversation.
func serve(ctx context.Context, c cell, t *tap, cert tls.Certificate, logger *slog.Logger, host string) (*serverTalk, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	talk := &serverTalk{
		ctx: ctx, cell: c, tap: t, addr: ln.Addr().String(),
		ended: make(chan struct{}), gone: make(chan struct{}), shut: make(chan struct{}),
	}
	conf := &spdy.Config{Version: c.version, Logger: logger}
	if c.auto {
		conf.Version = 0
	}
	talk.server = &spdy.Server{Handler: talk.mux(), Config: conf}
	tlsConf := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{c.version.String(), "http/1.1"}}
	run := func() error { return talk.server.Serve(&tappedListener{Listener: ln, tap: t}) }
	switch {
	case c.tls && c.conversation == convGet: // the usual way to serve TLS; its plaintext cannot be tapped
		talk.server.TLSConfig = tlsConf
		run = func() error { return talk.server.ServeTLS(ln, "", "") }
	case c.tls:
		run = func() error {
			return talk.server.Serve(&tappedListener{Listener: tls.NewListener(ln, tlsConf), tap: t})
		}
	}
	if c.conversation == convPing { // a handler cannot ping; the owner of the session can
		run = func() error { return talk.serveOne(ln, conf, tlsConf) }
	}
	go func() { // ends with close
		defer close(talk.ended)
		if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			talk.notice(fmt.Errorf("the server ended: %w", err))
		}
	}()
	return talk, nil
}

// serveOne serves one connection as a session without a Server.
func (t *serverTalk) serveOne(ln net.Listener, conf *spdy.Config, tlsConf *tls.Config) error {
	defer ln.Close()
	stop := context.AfterFunc(t.ctx, func() { ln.Close() })
	defer stop()
	conn, err := ln.Accept()
	if err != nil {
		return err
	}
	if t.cell.tls {
		c := tls.Server(conn, tlsConf)
		if err := c.HandshakeContext(t.ctx); err != nil {
			return err
		}
		conn = c
	}
	if t.cell.auto {
		conf = &spdy.Config{Version: t.cell.version, Logger: conf.Logger} // a session without a Server cannot detect the version
	}
	s := conf.ServerSession(tapped(conn, t.tap), &http.Server{Handler: t.mux()})
	t.mu.Lock()
	t.session = s
	t.mu.Unlock()
	return s.Serve()
}

// close ends the server and returns the errors detected by handlers.
func (t *serverTalk) close() error {
	t.mu.Lock()
	if t.session != nil {
		go t.session.Close()
	}
	t.mu.Unlock()
	_ = t.server.Close()
	<-t.ended
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.noticed...)
}

func (t *serverTalk) notice(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.noticed = append(t.noticed, err)
	}
}

// mux returns the paths common to all servers of the suite.
func (t *serverTalk) mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/get", t.get)
	mux.HandleFunc("/echo", t.echo)
	mux.HandleFunc("/gather", t.gather)
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Big") != bigHeader {
			t.notice(fmt.Errorf("X-Big came as %d bytes", len(r.Header.Get("X-Big"))))
		}
		w.Header().Set("X-Big", r.Header.Get("X-Big"))
		fmt.Fprint(w, "headers\n")
	})
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Checksum")
		fmt.Fprint(w, "body\n")
		w.Header().Set("X-Checksum", "deadbeef")
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(pattern(windowBody)) })
	mux.HandleFunc("/hold", t.hold)
	mux.HandleFunc("/push", t.push)
	mux.HandleFunc("/pushed", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Pushed", "yes")
		fmt.Fprint(w, "pushed\n")
	})
	mux.HandleFunc("/endless", t.endless)
	mux.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(pattern(cutBody))
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/drip", func(w http.ResponseWriter, r *http.Request) {
		t.inTwo(w, r, "first ", "last\n", nil)
	})
	mux.HandleFunc("/goaway", func(w http.ResponseWriter, r *http.Request) {
		t.inTwo(w, r, "bye ", "now\n", func() {
			go func() { // ends with the connection, or with ctx
				t.shutdown = t.server.Shutdown(t.ctx)
				close(t.shut)
			}()
		})
	})
	mux.HandleFunc("/ping", t.ping)
	return mux
}

func (t *serverTalk) get(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Saw", r.Method+" "+r.URL.RequestURI())
	w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
	fmt.Fprintln(w, "hello from the library")
}

// echo sends the request body back while reading it.
func (t *serverTalk) echo(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(w, r.Body)
	if err != nil {
		t.notice(fmt.Errorf("/echo after %d bytes: %w", n, err))
	}
}

// gather answers when n requests are waiting.
func (t *serverTalk) gather(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.FormValue("n"))
	go_ := make(chan struct{})
	t.mu.Lock()
	t.waiting = append(t.waiting, go_)
	if len(t.waiting) >= n {
		for _, c := range t.waiting {
			close(c)
		}
		t.waiting = nil
	}
	t.mu.Unlock()
	select {
	case <-go_:
		_, _ = w.Write(pattern(smallBody))
	case <-r.Context().Done():
	}
}

// hold reads its request only after the client has stopped sending.
func (t *serverTalk) hold(w http.ResponseWriter, r *http.Request) {
	if err := t.tap.awaitQuiet(t.ctx, settleTime); err != nil {
		t.notice(err)
	}
	if n := t.tap.trace(t.cell.version).dataBytes(theirs, 1); n != streamWindow {
		t.notice(fmt.Errorf("the peer sent %d bytes of DATA into a window of %d", n, streamWindow))
	}
	got, err := io.ReadAll(r.Body)
	if err != nil || !bytes.Equal(got, pattern(windowBody)) {
		t.notice(fmt.Errorf("/hold read %d bytes: %w", len(got), err))
	}
	fmt.Fprintf(w, "held %d\n", len(got))
}

// endless writes until its client resets the stream.
func (t *serverTalk) endless(w http.ResponseWriter, r *http.Request) {
	defer close(t.gone)
	for {
		if _, err := w.Write(pattern(4096)); err != nil {
			var reset *spdy.StreamError
			if !errors.As(err, &reset) || reset.Status != spdy.RstCancel || !reset.Remote {
				t.notice(fmt.Errorf("/endless: %w, not a reset with CANCEL", err))
			}
			if r.Context().Err() == nil {
				t.notice(errors.New("/endless: the request's context has not ended"))
			}
			return
		}
	}
}

// inTwo sends a response in two parts, with a pause and an event between the parts.
func (t *serverTalk) inTwo(w http.ResponseWriter, r *http.Request, first, second string, between func()) {
	fmt.Fprint(w, first)
	_ = http.NewResponseController(w).Flush()
	if between != nil {
		between()
	}
	pause := time.NewTimer(150 * time.Millisecond)
	defer pause.Stop()
	select {
	case <-pause.C:
		fmt.Fprint(w, second)
	case <-r.Context().Done():
		t.notice(fmt.Errorf("%s: the client has gone: %w", r.URL.Path, context.Cause(r.Context())))
	}
}

func (t *serverTalk) ping(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	s := t.session
	t.mu.Unlock()
	if _, err := s.PingContext(r.Context()); err != nil {
		t.notice(fmt.Errorf("ping: %w", err))
		return
	}
	fmt.Fprint(w, "pong\n")
}

// push pushes /pushed before it answers.
func (t *serverTalk) push(w http.ResponseWriter, r *http.Request) {
	p, ok := w.(http.Pusher)
	if !ok {
		t.notice(errors.New("the ResponseWriter is no http.Pusher"))
		return
	}
	if err := p.Push("/pushed", nil); err != nil {
		t.notice(fmt.Errorf("push: %w", err))
	}
	fmt.Fprint(w, "page\n")
}

// check returns the server's errors at the end of a conversation: errors detected by handlers, and
// missing frames on the wire.
func (t *serverTalk) check() error {
	switch t.cell.conversation {
	case convCancel:
		select {
		case <-t.gone:
		case <-t.ctx.Done():
			return errors.New("/endless never noticed that its client left")
		}
	case convGoAwayC:
		select {
		case <-t.tap.ended():
		case <-t.ctx.Done():
			return errors.New("the client never closed the connection")
		}
		if !has[*spdy.GoAwayFrame](t.tap.trace(t.cell.version), theirs, nil) {
			return errors.New("the client said no GOAWAY")
		}
	case convGoAwayS:
		<-t.shut
		if t.shutdown != nil {
			return fmt.Errorf("shutting down: %w", t.shutdown)
		}
		if !has(t.tap.trace(t.cell.version), ours, func(f *spdy.GoAwayFrame) bool { return f.LastGoodStreamID == 1 }) {
			return errors.New("no GOAWAY was sent that covers the request")
		}
	}
	return nil
}
