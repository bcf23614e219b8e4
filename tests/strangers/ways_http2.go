package strangers

import (
	"context"
	"net/http"
	"sync"

	"golang.org/x/net/http2"
)

// An http2Origin is the origin as an HTTP/2 server and the client's connection pool. The pool
// replaces the pool of http2.Transport, which does not expose connections.
type http2Origin struct {
	stage     *Stage
	transport *http2.Transport
	serving   sync.WaitGroup

	mu    sync.Mutex
	conns []*http2.ClientConn
}

func serveHTTP2(s *Stage) *http2Origin {
	// The client holds a mutex during a write, and time in a bubble stands still while a
	// goroutine waits for a mutex. The connection's window of 1 MiB bounds the buffer.
	s.Link.loose = true
	o := &http2Origin{stage: s}
	o.transport = &http2.Transport{AllowHTTP: true, DisableCompression: true, ConnPool: o}
	server, base := &http2.Server{}, &http.Server{Handler: s.Handler, ErrorLog: Quiet}
	// ConfigureServer prevents the server from sharing channels with other bubbles.
	if err := http2.ConfigureServer(base, server); err != nil {
		panic(err)
	}
	o.serving.Go(func() {
		for {
			conn, err := s.Link.Listener.Accept()
			if err != nil {
				return
			}
			o.serving.Go(func() {
				server.ServeConn(conn, &http2.ServeConnOpts{Handler: s.Handler, BaseConfig: base})
			})
		}
	})
	return o
}

// connection reserves a stream on a connection, and dials if all are full.
func (o *http2Origin) connection() (*http2.ClientConn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, cc := range o.conns {
		if cc.ReserveNewRequest() {
			return cc, nil
		}
	}
	conn, err := o.stage.Link.Dial(context.Background(), "tcp", "")
	if err != nil {
		return nil, err
	}
	cc, err := o.transport.NewClientConn(conn)
	if err != nil {
		return nil, err
	}
	o.conns = append(o.conns, cc)
	cc.ReserveNewRequest()
	return cc, nil
}

// GetClientConn implements http2.ClientConnPool.
func (o *http2Origin) GetClientConn(*http.Request, string) (*http2.ClientConn, error) {
	return o.connection()
}

// MarkDead implements http2.ClientConnPool. ReserveNewRequest fails on dead connections.
func (o *http2Origin) MarkDead(*http2.ClientConn) {}

func (o *http2Origin) latest() *http2.ClientConn {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.conns[len(o.conns)-1]
}

// streams returns the number of streams at the client; the server has no such counter.
func (o *http2Origin) streams() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, cc := range o.conns {
		n += cc.State().StreamsActive
	}
	return n
}

func (o *http2Origin) ended() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, cc := range o.conns {
		if cc.State().Closed {
			return http2.ConnectionError(http2.ErrCodeNo)
		}
	}
	return nil
}

func (o *http2Origin) close() {
	o.mu.Lock()
	for _, cc := range o.conns {
		_ = cc.Close()
	}
	o.mu.Unlock()
	_ = o.stage.Link.Listener.Close()
	o.serving.Wait()
}

func (o *http2Origin) road(user func() http.RoundTripper, base string) *Road {
	return &Road{
		User: user, Base: base, Streams: o.streams, Ended: o.ended, Close: o.close,
		Ping: func(ctx context.Context) error { return o.latest().Ping(ctx) },
	}
}

// openHTTP2 shares a connection among all users.
func openHTTP2(s *Stage) (*Road, error) {
	o := serveHTTP2(s)
	conn, err := s.Link.Dial(context.Background(), "tcp", "")
	if err != nil {
		return nil, err
	}
	cc, err := o.transport.NewClientConn(conn)
	if err != nil {
		return nil, err
	}
	o.conns = append(o.conns, cc)
	return o.road(func() http.RoundTripper { return cc }, "http://origin.example"), nil
}

// openReverseProxyHTTP2 forwards the requests of a front with http2.Transport.
func openReverseProxyHTTP2(s *Stage) (*Road, error) {
	o := serveHTTP2(s)
	front := NewFront(reverseProxy(o.transport))
	road := o.road(front.User, "http://front.example")
	road.Close = func() {
		front.Close()
		o.close()
	}
	return road, nil
}
