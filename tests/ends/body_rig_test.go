// Package ends shows that the end of a message, a stream or a session is its true end.
package ends

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// bodyProtocols are the protocols of the tests of this file's prefix: the oracles first.
var bodyProtocols = []string{"HTTP/1.1", "h2", "spdy/2", "spdy/3", "spdy/3.1"}

// spdyVersion is the version of a protocol, 0 for the oracles.
func spdyVersion(protocol string) spdy.Version {
	for _, v := range bubble.Versions {
		if v.String() == protocol {
			return v
		}
	}
	return 0
}

// A bodyPair is a client and a server of a protocol, in fake time.
type bodyPair struct {
	client http.RoundTripper
	server interface {
		Shutdown(context.Context) error
		Close() error
	}
	idle    func() // closes idle connections of the client
	timeout func(time.Duration)

	mu       sync.Mutex
	conns    []*testconn.Conn // of the server
	sessions []*spdy.Session  // of the client
}

// Accepted connections of the server are recorded.
type recordingListener struct {
	*testconn.Listener
	p *bodyPair
}

func (l recordingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.p.mu.Lock()
		l.p.conns = append(l.p.conns, c.(*testconn.Conn))
		l.p.mu.Unlock()
	}
	return c, err
}

// newBodyPair starts a server for h. setup may change it, and is nil for no change.
func newBodyPair(t *testing.T, protocol string, h http.HandlerFunc, setup func(*http.Server)) *bodyPair {
	p := new(bodyPair)
	listener := testconn.Listen()
	ln := recordingListener{listener, p}
	dial := func(context.Context, string, string) (net.Conn, error) {
		return listener.Dial(testconn.WriteCap(256 << 10))
	}
	hs := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0), Protocols: new(http.Protocols)}
	if setup != nil {
		setup(hs)
	}
	served := make(chan struct{})
	if v := spdyVersion(protocol); v != 0 {
		server := &spdy.Server{Handler: h, ErrorLog: hs.ErrorLog, Config: bubble.Quiet(spdy.Config{}, v),
			ReadTimeout: hs.ReadTimeout, WriteTimeout: hs.WriteTimeout}
		go func() { defer close(served); _ = server.Serve(ln) }()
		client := &spdy.Transport{DialContext: dial, Config: &spdy.Config{Version: v, Logger: slog.New(slog.DiscardHandler),
			Trace: &spdy.Trace{SessionStart: func(s *spdy.Session) {
				p.mu.Lock()
				p.sessions = append(p.sessions, s)
				p.mu.Unlock()
			}}}}
		p.client, p.server, p.idle = client, server, client.CloseIdleConnections
		p.timeout = func(d time.Duration) { client.ResponseHeaderTimeout = d }
		t.Cleanup(func() { p.closeSessions(); server.Close(); <-served; bubble.Pass(10 * time.Second) })
		return p
	}
	client := &http.Transport{DialContext: dial, Protocols: new(http.Protocols)}
	for _, protocols := range []*http.Protocols{hs.Protocols, client.Protocols} {
		protocols.SetHTTP1(protocol == "HTTP/1.1")
		protocols.SetUnencryptedHTTP2(protocol == "h2")
	}
	go func() { defer close(served); _ = hs.Serve(ln) }()
	p.client, p.server, p.idle = client, hs, client.CloseIdleConnections
	p.timeout = func(d time.Duration) { client.ResponseHeaderTimeout = d }
	t.Cleanup(func() {
		hs.Close()
		p.lose()
		client.CloseIdleConnections()
		<-served
		bubble.Pass(10 * time.Second)
	})
	return p
}

// lose ends all connections as a network does.
func (p *bodyPair) lose() {
	p.mu.Lock()
	conns := p.conns
	p.mu.Unlock()
	for _, c := range conns {
		c.Reset()
	}
}

// closeSessions closes the client's sessions.
func (p *bodyPair) closeSessions() {
	p.mu.Lock()
	sessions := p.sessions
	p.mu.Unlock()
	for _, s := range sessions {
		s.Close()
	}
}

// A trait is a property of an error that callers ask for.
type trait struct {
	name string
	has  func(error) bool
}

// errMine is the cause of the tests.
var errMine = errors.New("the caller's own cause")

var traits = []trait{
	{"nil", func(err error) bool { return err == nil }},
	{"== io.EOF", func(err error) bool { return err == io.EOF }},
	{"== context.Canceled", func(err error) bool { return err == context.Canceled }},
	{"== context.DeadlineExceeded", func(err error) bool { return err == context.DeadlineExceeded }},
	{"== the cause", func(err error) bool { return err == errMine }},
	{"== http.ErrBodyReadAfterClose", func(err error) bool { return err == http.ErrBodyReadAfterClose }},
	{"== spdy.ErrSessionClosed", func(err error) bool { return err == spdy.ErrSessionClosed }},
	{"is context.Canceled", func(err error) bool { return errors.Is(err, context.Canceled) }},
	{"is context.DeadlineExceeded", func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
	{"is os.ErrDeadlineExceeded", func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }},
	{"is net.Error with Timeout", func(err error) bool {
		var e net.Error
		return errors.As(err, &e) && e.Timeout()
	}},
	{"os.IsTimeout", os.IsTimeout},
	{"is io.ErrUnexpectedEOF", func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
}

// traitsOf lists the traits of an error. "other" stands for an error without any.
func traitsOf(err error) string {
	var has []string
	for _, t := range traits {
		if t.has(err) {
			has = append(has, t.name)
		}
	}
	if len(has) == 0 {
		return "other"
	}
	return strings.Join(has, ", ")
}
