package spdytest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
)

// A Server is a SPDY server for tests, on a port of the loopback interface chosen by the system, or
// on any listener. Like every spdy.Server it serves HTTP/1.1 to clients that do not speak SPDY. Its
// methods may be called by any number of goroutines, except those that start it.
type Server struct {
	// URL is the base URL, of the form http://ipaddr:port, or https with TLS, without a trailing
	// slash. Start and StartTLS set it.
	URL string

	// Listener is the server's listener. It may be replaced before Start and StartTLS. If the type
	// has a method DialContext, like Listener, the client dials with DialContext.
	Listener net.Listener

	// TLS is the configuration of a server with TLS. If TLS is set before StartTLS, the server uses
	// a copy, and adds a certificate if there is none. StartTLS sets TLS to the copy.
	TLS *tls.Config

	// Config is the server. It may be changed before Start and StartTLS. The Handler is already
	// set, and StartTLS sets the TLSConfig.
	Config *spdy.Server

	certificate *x509.Certificate
	client      *http.Client
	transport   *spdy.Transport
	serving     sync.WaitGroup // the goroutine of Serve

	mu     sync.Mutex // guards the rest
	closed bool
	busy   time.Time                 // last known time at which a request was running
	conns  map[*trackedConn]struct{} // accepted and not closed
}

// NewServer starts a server without TLS. The caller should call Close when finished.
func NewServer(h http.Handler) *Server {
	s := NewUnstartedServer(h)
	s.Start()
	return s
}

// NewTLSServer starts a server with TLS. The caller should call Close when finished.
func NewTLSServer(h http.Handler) *Server {
	s := NewUnstartedServer(h)
	s.StartTLS()
	return s
}

// NewMemoryServer is NewServer on a Listener, for bubbles of testing/synctest.
func NewMemoryServer(h http.Handler) *Server {
	s := newServer(h, Listen())
	s.Start()
	return s
}

// NewMemoryTLSServer is NewTLSServer on a Listener, for bubbles of testing/synctest.
func NewMemoryTLSServer(h http.Handler) *Server {
	s := newServer(h, Listen())
	s.StartTLS()
	return s
}

// NewUnstartedServer returns a server that listens but does not serve yet. After changing the
// configuration the caller should call Start or StartTLS, and Close when finished.
// NewUnstartedServer panics if it cannot listen.
func NewUnstartedServer(h http.Handler) *Server {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		if ln, err = net.Listen("tcp6", "[::1]:0"); err != nil {
			panic(fmt.Sprintf("spdytest: cannot listen on a port: %v", err))
		}
	}
	return newServer(h, ln)
}

func newServer(h http.Handler, ln net.Listener) *Server {
	return &Server{Listener: ln, Config: &spdy.Server{Handler: h}, conns: make(map[*trackedConn]struct{})}
}

// Start serves without TLS. It panics if the server has been started.
func (s *Server) Start() {
	s.begin("http://", nil)
	s.serve(func(ln net.Listener) error { return s.Config.Serve(ln) })
}

// StartTLS serves with TLS. Unless TLS has a certificate, the server creates a certificate for the
// loopback addresses, example.com and its subdomains, and the address of Listener. It panics if the
// server has been started.
func (s *Server) StartTLS() {
	conf := &tls.Config{}
	if s.TLS != nil {
		conf = s.TLS.Clone()
	}
	if len(conf.Certificates) == 0 {
		conf.Certificates = []tls.Certificate{s.makeCertificate()}
	}
	leaf, err := x509.ParseCertificate(conf.Certificates[0].Certificate[0])
	if err != nil {
		panic(fmt.Sprintf("spdytest: the server's certificate: %v", err))
	}
	trust := x509.NewCertPool()
	trust.AddCert(leaf)
	s.begin("https://", &tls.Config{RootCAs: trust})
	s.TLS, s.Config.TLSConfig, s.certificate = conf, conf, leaf
	s.serve(func(ln net.Listener) error { return s.Config.ServeTLS(ln, "", "") })
}

func (s *Server) makeCertificate() tls.Certificate {
	hosts := append([]string{"example.com", "*.example.com"}, localcert.Hosts...)
	if host, _, err := net.SplitHostPort(s.Listener.Addr().String()); err == nil {
		hosts = append(hosts, host)
	}
	cert, _, err := localcert.New(hosts...)
	if err != nil {
		panic(fmt.Sprintf("spdytest: %v", err))
	}
	return cert
}

// begin sets the URL and creates the client.
func (s *Server) begin(scheme string, conf *tls.Config) {
	if s.URL != "" {
		panic("spdytest: the server has been started")
	}
	s.URL = scheme + s.Listener.Addr().String()
	s.transport = &spdy.Transport{DialContext: s.dial, TLSClientConfig: conf}
	s.client = &http.Client{Transport: s.transport}
	next := s.Config.ConnState
	s.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		s.note(conn, state)
		if next != nil {
			next(conn, state)
		}
	}
}

// note records the state of a connection.
func (s *Server) note(conn net.Conn, state http.ConnState) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if c, ok := conn.(*trackedConn); ok {
		s.mu.Lock()
		if c.state == http.StateActive && state == http.StateIdle {
			s.busy = time.Now()
		}
		c.state = state
		s.mu.Unlock()
	}
}

// dial connects the client to the server.
func (s *Server) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if ln, ok := s.Listener.(interface {
		DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	}); ok {
		return ln.DialContext(ctx, network, addr)
	}
	return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
}

// serve starts the server.
func (s *Server) serve(serve func(net.Listener) error) {
	s.serving.Add(1)
	go func() { // ends when Close closes the listener
		defer s.serving.Done()
		_ = serve(&trackingListener{Listener: s.Listener, server: s})
	}()
}

// hangTime is the time after which Close logs the connections it is waiting for.
const hangTime = 5 * time.Second

// Close checks every lookTime whether all requests are answered. It waits for clients to disconnect
// for settleTime after the last response, which may still be in transit. A response counts as in
// transit for as long as a link of slowLink bytes per second needs.
const (
	lookTime   = 5 * time.Millisecond
	settleTime = time.Second
	slowLink   = 8 << 10
)

// Close ends the server: it refuses new connections and requests, and waits until accepted requests
// are answered. After five seconds it logs the connections it is waiting for. The connections of
// Client are closed. Like httptest.Server.Close it does not wait for idle clients, and responses
// reach clients behind slow networks: for a client that does not confirm receipt by SPDY, Close
// waits a second, or the time that the responses need at 8 KiB/s if that is longer. Upgraded
// sessions, which are not requests, end with the last request.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if s.client == nil { // never started
		s.Listener.Close()
		return
	}
	hang := time.AfterFunc(hangTime, s.logHang)
	defer hang.Stop()
	s.transport.CloseIdleConnections()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.awaitAnswers(ctx, cancel)
	_ = s.Config.Shutdown(ctx)
	s.serving.Wait()
}

// awaitAnswers calls answered when all requests are answered, unless ctx ends first.
func (s *Server) awaitAnswers(ctx context.Context, answered func()) {
	look := time.NewTicker(lookTime)
	defer look.Stop()
	for !s.settled() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
	answered()
}

// settled reports whether no request is running or has been running for settleTime, and all written
// bytes have had time to arrive. A session ends by itself, along with the connection, when the
// client has confirmed everything.
func (s *Server) settled() bool {
	busy := s.Config.Stats().Streams != (spdy.StreamStates{})
	now, arrived := time.Now(), true
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		busy = busy || c.state == http.StateActive || c.writing > 0 && c.state != http.StateHijacked
		arrived = arrived && (c.state != http.StateIdle || !c.arrives.After(now))
	}
	if busy {
		s.busy = now
	}
	return arrived && now.Sub(s.busy) >= settleTime
}

func (s *Server) logHang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf("spdytest: Close has waited for %v, and waits for requests, or for their answers to arrive, on these connections:\n", hangTime)
	for c := range s.conns {
		text += fmt.Sprintf("  from %v\n", c.RemoteAddr())
	}
	log.Print(text)
}

// CloseClientConnections closes every connection to the server, including those with running
// requests.
func (s *Server) CloseClientConnections() {
	s.mu.Lock()
	conns := make([]*trackedConn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// Certificate returns the server's certificate, or nil without TLS.
func (s *Server) Certificate() *x509.Certificate { return s.certificate }

// Client returns an http.Client that speaks SPDY to the server, whatever the host of a request, and
// trusts the server's certificate. Its Transport is a *spdy.Transport, whose fields may be changed
// before the first request. Client returns nil before Start and StartTLS.
func (s *Server) Client() *http.Client { return s.client }

// A trackingListener registers the server's accepted connections.
type trackingListener struct {
	net.Listener
	server *Server
}

// Accept waits for a connection.
func (l *trackingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &trackedConn{Conn: conn, server: l.server}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.server.closed {
		conn.Close() // Close has not seen this connection
	} else {
		c.server.conns[c] = struct{}{}
	}
	return c, nil
}

// A trackedConn is unregistered when it is closed.
type trackedConn struct {
	net.Conn
	server *Server

	// Guarded by Server.mu.
	state   http.ConnState
	writing int       // number of running calls of Write
	arrives time.Time // when the last byte arrives, over a link of slowLink
}

// Write writes to the connection.
func (c *trackedConn) Write(p []byte) (int, error) {
	c.server.mu.Lock()
	c.writing++
	c.server.mu.Unlock()
	n, err := c.Conn.Write(p)
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.writing--
	if now := time.Now(); c.arrives.Before(now) {
		c.arrives = now
	}
	c.arrives = c.arrives.Add(time.Duration(n) * time.Second / slowLink)
	return n, err
}

// Close closes the connection.
func (c *trackedConn) Close() error {
	c.server.mu.Lock()
	delete(c.server.conns, c)
	c.server.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite closes the server's direction, if the underlying connection can.
func (c *trackedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}
