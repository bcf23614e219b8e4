package tunnel

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/strangers"
)

// No deed of strangers affects the honest users of the same tunnel.
func TestStrangers(t *testing.T) {
	relay := strangers.Way{Name: "the relay example", Library: spdy.SPDY31.String(), Open: openRelay}
	strangers.Run(t, "../../../docs/attacks.md", []strangers.Way{relay}, nil)
}

// openRelay connects an origin to a proxy over the link of the stage.
func openRelay(s *strangers.Stage) (*strangers.Road, error) {
	s.Link.Reverse()
	near, far := new(strangers.Watcher), new(strangers.Watcher)
	p := NewProxy(map[string]string{"home": testToken}, Replace)
	p.Config = near.Watch(spdy.SPDY31)
	tunnels := &http.Server{Handler: p.Tunnels(), ErrorLog: strangers.Quiet}
	front := strangers.NewFront(p)
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = tunnels.Serve(s.Link.Listener) })
	serving.Go(func() { strangersOrigin(ctx, s, far.Watch(spdy.SPDY31)) })
	return &strangers.Road{
		User:    front.User,
		Base:    "http://proxy.example/home",
		Ping:    near.Ping,
		Streams: func() int { return near.Streams() + far.Streams() },
		Ended:   near.Ended,
		Close: func() {
			cancel()
			front.Close()
			_ = p.Shutdown(ctx) // at once, since ctx has ended
			_ = tunnels.Close()
			serving.Wait()
		},
	}, nil
}

// strangersOrigin keeps a tunnel up on the link of the stage, as Origin.Run does on a network.
func strangersOrigin(ctx context.Context, s *strangers.Stage, config *spdy.Config) {
	endpoint := &Endpoint{Addr: "proxy.example", Name: "home", Token: testToken}
	for ctx.Err() == nil {
		conn, err := s.Link.Dial(ctx, "tcp", endpoint.Addr)
		if err != nil {
			return
		}
		br, err := endpoint.handshake(conn)
		if err != nil {
			conn.Close()
			return
		}
		session := config.ServerSession(withBuffered(conn, br), &http.Server{Handler: s.Handler, ErrorLog: strangers.Quiet})
		stop := context.AfterFunc(ctx, func() { session.Close() })
		go keepAlive(session, 30*time.Second, 15*time.Second) // ends with the session
		_ = session.Serve()
		stop()
	}
}
