package strangers

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"

	"github.com/amahi/spdy"
)

// Ways returns the ways of this package: a session, a front with NewStreamProxy, and a front
// with httputil.ReverseProxy and a Transport, in several dialects and over HTTP/2.
func Ways() []Way {
	dialects := []spdy.Version{spdy.SPDY2, spdy.SPDY3, spdy.SPDY31}
	var ways []Way
	for _, v := range dialects {
		ways = append(ways, spdyWay("a session", v, openSession))
	}
	ways = append(ways, Way{Name: "a session", Library: "x/net/http2", Open: openHTTP2})
	for _, v := range dialects {
		ways = append(ways, spdyWay("NewStreamProxy", v, openStreamProxy))
	}
	pooled := spdyWay("ReverseProxy", spdy.SPDY31, openReverseProxy)
	pooled.Dials = true
	return append(ways, pooled,
		Way{Name: "ReverseProxy", Library: "x/net/http2", Open: openReverseProxyHTTP2, Dials: true})
}

func spdyWay(name string, v spdy.Version, open func(*Stage, spdy.Version) (*Road, error)) Way {
	return Way{Name: name, Library: v.String(), Open: func(s *Stage) (*Road, error) { return open(s, v) }}
}

// A spdyOrigin is the origin as a SPDY server.
type spdyOrigin struct {
	server  *spdy.Server
	serving sync.WaitGroup
}

func serveSPDY(s *Stage, v spdy.Version) *spdyOrigin {
	o := &spdyOrigin{server: &spdy.Server{Handler: s.Handler, Config: new(Watcher).Watch(v), ErrorLog: Quiet}}
	o.serving.Go(func() { _ = o.server.Serve(s.Link.Listener) })
	return o
}

func (o *spdyOrigin) streams() int { return o.server.Stats().Streams.Total() }

func (o *spdyOrigin) close() {
	_ = o.server.Close()
	o.serving.Wait()
}

// dialSession connects to the origin.
func dialSession(s *Stage, w *Watcher, v spdy.Version) (*spdy.Session, error) {
	conn, err := s.Link.Dial(context.Background(), "tcp", "")
	if err != nil {
		return nil, err
	}
	return w.Watch(v).ClientSession(conn), nil
}

// openSession shares a session among all users.
func openSession(s *Stage, v spdy.Version) (*Road, error) {
	return sessionRoad(s, v, func(road *Road, session *spdy.Session) {
		road.User = func() http.RoundTripper { return session }
	})
}

// openStreamProxy forwards the requests of a front with NewStreamProxy.
func openStreamProxy(s *Stage, v spdy.Version) (*Road, error) {
	return sessionRoad(s, v, func(road *Road, session *spdy.Session) {
		front := NewFront(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = session.NewStreamProxy(r, w)
		}))
		behind := road.Close
		road.User = front.User
		road.Close = func() {
			front.Close()
			behind()
		}
	})
}

// sessionRoad opens a road with a single session; finish sets the users' transport.
func sessionRoad(s *Stage, v spdy.Version, finish func(*Road, *spdy.Session)) (*Road, error) {
	origin, watcher := serveSPDY(s, v), new(Watcher)
	session, err := dialSession(s, watcher, v)
	if err != nil {
		return nil, err
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = session.Serve() })
	road := &Road{
		Base:    "http://origin.example",
		Ping:    func(ctx context.Context) error { _, err := session.PingContext(ctx); return err },
		Streams: func() int { return session.Stats().Streams.Total() + origin.streams() },
		Ended:   watcher.Ended,
		Close: func() {
			session.Close()
			serving.Wait()
			origin.close()
		},
	}
	finish(road, session)
	return road, nil
}

// openReverseProxy forwards the requests of a front with httputil.ReverseProxy and a Transport.
func openReverseProxy(s *Stage, v spdy.Version) (*Road, error) {
	origin, watcher := serveSPDY(s, v), new(Watcher)
	transport := &spdy.Transport{Config: watcher.Watch(v), DialContext: s.Link.DialTCP}
	front := NewFront(reverseProxy(transport))
	return &Road{
		User:    front.User,
		Base:    "http://front.example",
		Ping:    watcher.Ping,
		Streams: func() int { return watcher.Streams() + origin.streams() },
		Ended:   watcher.Ended,
		Close: func() {
			front.Close()
			origin.close()
			transport.CloseIdleConnections()
		},
	}, nil
}

func reverseProxy(transport http.RoundTripper) http.Handler {
	to := &url.URL{Scheme: "http", Host: "origin.example"}
	return &httputil.ReverseProxy{
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(to); p.SetXForwarded() },
		Transport: transport,
		ErrorLog:  Quiet,
	}
}

// dial connects a user to the front, through sockets of 64 KiB.
func (f *Front) dial(context.Context, string, string) (net.Conn, error) {
	conn, err := f.ln.Dial(frontSocket)
	if err != nil {
		return nil, err
	}
	return conn, nil
}
