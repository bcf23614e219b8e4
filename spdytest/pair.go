package spdytest

import (
	"net/http"
	"sync"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
)

// A Pair is a client session and a server session, or two sessions for raw streams, connected in
// memory. Its methods may be called by any number of goroutines, except Start.
type Pair struct {
	// Config serves the requests, see spdy.NewServerSession. It may be changed before
	// Start. With nil both sessions are raw, see spdy.NewRawSession.
	Config *http.Server

	// ClientConfig and ServerConfig configure the two sessions. They may be set before Start; nil
	// means the defaults.
	ClientConfig, ServerConfig *spdy.Config

	// Client and Server are the sessions, which Start creates and runs.
	Client, Server *spdy.Session

	conn    *testconn.Conn // the client's end; nil before Start
	running sync.WaitGroup // the goroutines of both sessions
}

// NewPair returns two running sessions, of which one serves the handler. A nil handler means
// http.DefaultServeMux. The caller should call Close when finished.
func NewPair(h http.Handler) *Pair {
	p := NewUnstartedPair(h)
	p.Start()
	return p
}

// NewUnstartedPair is NewPair without Start, for callers that change the configuration first.
func NewUnstartedPair(h http.Handler) *Pair {
	return &Pair{Config: &http.Server{Handler: h}}
}

// NewRawPair returns two running sessions without HTTP: both open and accept streams, see
// spdy.Session.OpenStream and AcceptStream. The caller should call Close when finished.
func NewRawPair() *Pair {
	p := new(Pair)
	p.Start()
	return p
}

// Start runs a pair from NewUnstartedPair. It panics if the pair has been started.
func (p *Pair) Start() {
	if p.conn != nil {
		panic("spdytest: the pair has been started")
	}
	client, server := testconn.Pair()
	p.conn = client
	if p.Config == nil {
		p.Client = p.ClientConfig.RawSession(client, true)
		p.Server = p.ServerConfig.RawSession(server, false)
	} else {
		p.Client = p.ClientConfig.ClientSession(client)
		p.Server = p.ServerConfig.ServerSession(server, p.Config)
	}
	for _, s := range [...]*spdy.Session{p.Client, p.Server} {
		p.running.Add(1)
		go func() { // ends with the session, whose Err holds the reason
			defer p.running.Done()
			_ = s.Serve()
		}()
	}
}

// HTTPClient returns an http.Client that sends all requests over the pair, for any host. It is not
// for raw pairs, which do not respond to requests.
func (p *Pair) HTTPClient() *http.Client { return &http.Client{Transport: p.Client} }

// Close ends both sessions at once and waits until they have ended. It does not wait for handlers.
func (p *Pair) Close() {
	p.Client.Close()
	p.Server.Close()
	p.running.Wait()
}

// SetLatency delays bytes sent from now on, in both directions, by d. Their order does not change.
func (p *Pair) SetLatency(d time.Duration) {
	p.conn.SetLatency(d)
	p.conn.Peer().SetLatency(d)
}

// SetBandwidth limits the rate of bytes sent from now on, in each direction. 0 removes the limit.
func (p *Pair) SetBandwidth(bytesPerSecond int) {
	p.conn.SetBandwidth(bytesPerSecond)
	p.conn.Peer().SetBandwidth(bytesPerSecond)
}

// SetBlackHole discards all bytes sent from now on, in both directions, as if the network had
// failed: neither side receives an error, and discarded bytes stay lost when the black hole is
// switched off.
func (p *Pair) SetBlackHole(on bool) {
	p.conn.SetBlackHole(on)
	p.conn.Peer().SetBlackHole(on)
}

// Break resets the connection: both sessions fail at once with a *spdy.ConnError that
// matches syscall.ECONNRESET.
func (p *Pair) Break() { p.conn.Reset() }
