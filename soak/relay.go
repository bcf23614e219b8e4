package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
)

const (
	// tunnelHeader selects the tunnel for a client's request.
	tunnelHeader = "X-Soak-Tunnel"

	// pushHeader selects the files pushed along with a client's response.
	pushHeader = "X-Soak-Push"

	// goodbyePath makes the relay shut down the session that carries the request, like a server
	// before a restart.
	goodbyePath = "/-/goodbye"
)

// quiet discards the messages of sessions about peers that we have cut ourselves.
var quiet = slog.New(slog.DiscardHandler)

// A relay forwards clients' requests to the tunnels that the origin has dialled.
type relay struct {
	set      settings
	front    *spdy.Server
	counts   tally
	cert     []byte
	done     chan struct{}  // closed when start's context has ended and everything is shut down
	handlers atomic.Int64   // running handlers
	conns    atomic.Int64   // open connections of clients, according to ConnState
	inner    net.Listener   // for the origin
	plain    net.Listener   // for clients
	secure   net.Listener   // for clients with TLS
	turn     atomic.Uint64  // selects the tunnel of the next request
	work     sync.WaitGroup // the tunnels

	mu      sync.Mutex
	random  *rand.Rand
	clients map[net.Conn]struct{}
	tunnels map[*spdy.Session]window
	newest  [4]*spdy.Session // newest session of each slot
}

func newRelay(set settings) *relay {
	return &relay{
		set: set, done: make(chan struct{}), random: rand.New(rand.NewPCG(set.Seed, 2)),
		clients: make(map[net.Conn]struct{}), tunnels: make(map[*spdy.Session]window),
	}
}

func (r *relay) start(ctx context.Context) error {
	cert, _, err := localcert.New()
	if err != nil {
		return err
	}
	r.cert = cert.Certificate[0]
	for _, ln := range []*net.Listener{&r.inner, &r.plain, &r.secure} {
		if *ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
	}
	r.front = &spdy.Server{
		Handler: http.HandlerFunc(r.serveClient), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		ReadHeaderTimeout: r.set.Dwell, IdleTimeout: time.Minute, ConnState: r.connState, Logger: quiet,
		Config: &spdy.Config{
			PingInterval: r.set.Dwell / 2, PingTimeout: r.set.Dwell, WriteTimeout: r.set.Dwell,
			Trace: &spdy.Trace{SessionEnd: func(_ *spdy.Session, err error) {
				r.counts.sessionEnded("client's session at the relay", err)
				r.counts.add("clients' sessions ended: "+endOf(err), 1)
			}},
		},
	}
	r.work.Go(func() { r.front.Serve(r.plain) })
	r.work.Go(func() { r.front.ServeTLS(r.secure, "", "") })
	r.work.Go(r.acceptTunnels)
	context.AfterFunc(ctx, func() {
		r.inner.Close()
		r.front.Close()
		r.closeTunnels()
		r.work.Wait()
		close(r.done)
	})
	return nil
}

func (r *relay) finished() <-chan struct{} { return r.done }

func (r *relay) connState(c net.Conn, state http.ConnState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch state {
	case http.StateNew:
		r.conns.Add(1)
		r.clients[c] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		r.conns.Add(-1)
		delete(r.clients, c)
	}
}

func (r *relay) acceptTunnels() {
	for {
		conn, err := r.inner.Accept()
		if err != nil {
			return
		}
		r.work.Go(func() { r.serveTunnel(conn) })
	}
}

// serveTunnel runs the session of a tunnel. The relay is the session's client although it accepted
// the connection.
func (r *relay) serveTunnel(conn net.Conn) {
	var number [1]byte
	conn.SetDeadline(time.Now().Add(greetTime))
	_, err := io.ReadFull(conn, number[:])
	n := int(number[0])
	if err != nil || n >= len(tunnelVersions) {
		conn.Close()
		return
	}
	conf := &spdy.Config{
		Version: tunnelVersions[n], PingInterval: r.set.Dwell / 2, PingTimeout: r.set.Dwell, WriteTimeout: 2 * r.set.Dwell,
		Logger: quiet,
	}
	s := conf.ClientSession(conn)
	stats := s.Stats()
	if _, err = conn.Write(number[:]); err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		s.Close()
		return
	}
	r.mu.Lock()
	r.tunnels[s] = window{Tunnel: n, SendFull: stats.SendWindow, RecvFull: stats.ReceiveWindow}
	r.newest[n] = s
	r.mu.Unlock()
	err = s.Serve()
	r.counts.sessionEnded("tunnel "+strconv.Itoa(n)+" at the relay", err)
	r.mu.Lock()
	delete(r.tunnels, s)
	if r.newest[n] == s {
		r.newest[n] = nil
	}
	r.mu.Unlock()
}

func (r *relay) closeTunnels() {
	r.mu.Lock()
	var all []*spdy.Session
	for s := range r.tunnels {
		all = append(all, s)
	}
	r.mu.Unlock()
	for _, s := range all {
		s.Close()
	}
}

// pick returns the tunnel that a request names, or the next tunnel that accepts requests.
func (r *relay) pick(req *http.Request) *spdy.Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n, err := strconv.Atoi(req.Header.Get(tunnelHeader)); err == nil && n >= 0 && n < len(r.newest) {
		return r.newest[n]
	}
	for range r.newest {
		s := r.newest[r.turn.Add(1)%uint64(len(r.newest))]
		if s != nil && s.CanTakeNewRequest() {
			return s
		}
	}
	return nil
}

// serveClient forwards requests to the origin, alternately with NewStreamProxy and with the reverse
// proxy of net/http, which needs only a RoundTripper.
func (r *relay) serveClient(w http.ResponseWriter, req *http.Request) {
	r.handlers.Add(1)
	defer r.handlers.Add(-1)
	if req.URL.Path == goodbyePath {
		r.goodbye(w, req)
		return
	}
	if req.URL.Path == rawPath {
		r.serveRaw(w, req)
		return
	}
	push(w, req)
	s := r.pick(req)
	if s == nil {
		http.Error(w, "the origin is not connected", http.StatusServiceUnavailable)
		return
	}
	if r.turn.Load()%2 == 0 {
		if err := s.NewStreamProxy(req, w); err != nil {
			r.counts.add("answers broken off by NewStreamProxy", 1)
		}
		return
	}
	(&httputil.ReverseProxy{
		Transport:     s,
		Rewrite:       func(p *httputil.ProxyRequest) { p.Out.URL.Scheme, p.Out.URL.Host = "http", req.Host },
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler:  r.noAnswer,
	}).ServeHTTP(w, req)
}

// push pushes the files that a client names. The client may refuse, claim, abandon or ignore them.
func push(w http.ResponseWriter, req *http.Request) {
	paths := req.Header.Values(pushHeader)
	if p, ok := w.(http.Pusher); ok {
		for _, path := range paths {
			p.Push(path, &http.PushOptions{Header: http.Header{pushHeader: nil}})
		}
	}
}

func (r *relay) noAnswer(w http.ResponseWriter, _ *http.Request, err error) {
	r.counts.add("requests not answered through ReverseProxy", 1)
	status := http.StatusBadGateway
	if errors.Is(err, spdy.ErrSessionClosed) {
		status = http.StatusServiceUnavailable
	}
	w.WriteHeader(status)
}

// goodbye ends the session of the request gracefully.
func (r *relay) goodbye(w http.ResponseWriter, req *http.Request) {
	if s := spdy.SessionFromContext(req.Context()); s != nil {
		r.work.Go(func() {
			limit, cancel := context.WithTimeout(context.Background(), grace)
			defer cancel()
			s.Shutdown(limit)
		})
	}
	w.WriteHeader(http.StatusNoContent)
}

// do cuts a client's connection.
func (r *relay) do(op string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if op != "cut" || len(r.clients) == 0 {
		return
	}
	skip := r.random.IntN(len(r.clients))
	for c := range r.clients {
		if skip--; skip < 0 {
			cut(c)
			return
		}
	}
}

// cut closes a connection, or the connection under TLS, so that the peer receives a RST.
func cut(c net.Conn) {
	for {
		under, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = under.NetConn()
	}
	if t, ok := c.(interface{ SetLinger(int) error }); ok {
		t.SetLinger(0)
	}
	c.Close()
}

func (r *relay) sample(s *sample) {
	s.Counts, s.Notes = r.counts.all()
	s.Plain, s.Secure, s.Inner, s.Cert = r.plain.Addr().String(), r.secure.Addr().String(), r.inner.Addr().String(), r.cert
	front := r.front.Stats()
	addGauges(s.Gauges, "client", front.Streams, front.WaitingOpeners, front.UnreadBytes, front.UnsentBytes)
	s.Gauges["client sessions"] = int64(front.Sessions)
	s.Gauges["client greetings"] = int64(front.Greeting)
	s.Gauges["client connections"] = r.conns.Load()
	s.Gauges["handlers"] = r.handlers.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	addTunnels(s, r.tunnels)
}
