package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/amahi/spdy"
)

// tunnelVersions are the dialects of the tunnels that an origin keeps up. The first tunnel is never
// disturbed, so that the final windows reflect all bytes sent over the tunnel; the rest are
// replaced and cut.
var tunnelVersions = []spdy.Version{spdy.SPDY31, spdy.SPDY31, spdy.SPDY3, spdy.SPDY2}

// greetTime is the time limit for both ends of a tunnel before the session starts.
const greetTime = 10 * time.Second

// grace is the time for a replaced tunnel to end all streams.
const grace = 20 * time.Second

// An origin is a server that cannot be dialled: it dials the relay and serves requests.
type origin struct {
	set    settings
	site   http.Handler
	counts tally
	work   sync.WaitGroup
	done   chan struct{} // closed when all work has ended
	ctx    context.Context

	mu      sync.Mutex
	random  *rand.Rand
	tunnels map[*spdy.Session]window
	slots   []slot
}

// A slot holds the tunnel of a given number.
type slot struct {
	conn    *net.TCPConn  // the connection that accepts new requests; guarded by origin.mu
	replace chan struct{} // holds a token when a new tunnel is to replace the current one
}

func newOrigin(set settings) *origin {
	o := &origin{
		set: set, done: make(chan struct{}), random: rand.New(rand.NewPCG(set.Seed, 1)),
		tunnels: make(map[*spdy.Session]window), slots: make([]slot, len(tunnelVersions)),
	}
	o.site = newSite(&o.counts)
	for i := range o.slots {
		o.slots[i].replace = make(chan struct{}, 1)
	}
	return o
}

func (o *origin) start(ctx context.Context) error {
	o.ctx = ctx
	for i := range o.slots {
		o.work.Go(func() { o.keep(ctx, i) })
	}
	go func() { o.work.Wait(); close(o.done) }()
	return nil
}

func (o *origin) finished() <-chan struct{} { return o.done }

// keep maintains a tunnel in slot n until ctx ends.
func (o *origin) keep(ctx context.Context, n int) {
	current := o.dial(ctx, n)
	for current != nil {
		select {
		case <-current.Done():
			if !pause(ctx, 100*time.Millisecond) {
				return
			}
			current = o.dial(ctx, n)
		case <-o.slots[n].replace:
			old := current
			if current = o.dial(ctx, n); current == nil {
				current = old
			}
			o.work.Go(func() {
				limit, cancel := context.WithTimeout(context.Background(), grace)
				defer cancel()
				old.Shutdown(limit)
			})
		case <-ctx.Done():
			current.Close()
			return
		}
	}
}

// dial opens a tunnel, retrying until ctx ends.
func (o *origin) dial(ctx context.Context, n int) *spdy.Session {
	for {
		conn, err := o.connect(ctx, n)
		if err == nil {
			return o.serve(n, conn)
		}
		o.counts.add("tunnels that could not be dialled", 1)
		if !pause(ctx, 200*time.Millisecond) {
			return nil
		}
	}
}

// connect sends the tunnel's number and waits for the relay to confirm it, so that the relay's
// first frame is not mistaken for the confirmation.
func (o *origin) connect(ctx context.Context, n int) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", o.set.Inner)
	if err != nil {
		return nil, err
	}
	conn := c.(*net.TCPConn)
	conn.SetDeadline(time.Now().Add(greetTime))
	_, err = conn.Write([]byte{byte(n)})
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, 1))
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// serve runs the session of a tunnel.
func (o *origin) serve(n int, conn *net.TCPConn) *spdy.Session {
	conf := &spdy.Config{
		Version: tunnelVersions[n], PingInterval: o.set.Dwell / 2, PingTimeout: o.set.Dwell, WriteTimeout: 2 * o.set.Dwell,
		Logger: quiet,
	}
	s := conf.ServerSession(conn, &http.Server{Handler: o.site})
	stats := s.Stats()
	o.mu.Lock()
	o.tunnels[s] = window{Tunnel: n, SendFull: stats.SendWindow, RecvFull: stats.ReceiveWindow}
	o.slots[n].conn = conn
	o.mu.Unlock()
	o.counts.add("tunnels dialled", 1)
	o.work.Go(func() {
		err := s.Serve()
		o.counts.sessionEnded(fmt.Sprintf("tunnel %d at the origin", n), err)
		o.counts.add("tunnels ended: "+endOf(err), 1)
		o.mu.Lock()
		delete(o.tunnels, s)
		o.mu.Unlock()
	})
	return s
}

// do replaces a tunnel with a new one, or cuts one. The first tunnel is left alone.
func (o *origin) do(op string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	slot := &o.slots[1+o.random.IntN(len(o.slots)-1)]
	switch op {
	case "replace":
		select {
		case slot.replace <- struct{}{}:
		default: // a replacement is pending already
		}
	case "cut":
		if slot.conn != nil {
			slot.conn.SetLinger(0) // so that the relay receives a RST
			slot.conn.Close()
		}
	}
}

func (o *origin) sample(s *sample) {
	s.Counts, s.Notes = o.counts.all()
	o.mu.Lock()
	defer o.mu.Unlock()
	addTunnels(s, o.tunnels)
}

// addTunnels adds the resources in use by tunnel sessions. The caller holds the lock of the map.
func addTunnels(s *sample, tunnels map[*spdy.Session]window) {
	s.Gauges["tunnels"] = int64(len(tunnels))
	for session, w := range tunnels {
		stats := session.Stats()
		addGauges(s.Gauges, "tunnel", stats.Streams, stats.WaitingOpeners, stats.UnreadBytes, stats.UnsentBytes)
		w.Send, w.Recv, w.Unread = stats.SendWindow, stats.ReceiveWindow, stats.UnreadBytes
		s.Windows = append(s.Windows, w)
	}
}

// endOf names the way in which a session ended.
func endOf(err error) string {
	var conn *spdy.ConnError
	switch {
	case err == nil, errors.Is(err, spdy.ErrSessionClosed):
		return "in order"
	case errors.Is(err, spdy.ErrPingTimeout):
		return "no answer to a PING"
	case errors.Is(err, spdy.ErrWriteTimeout):
		return "the peer took no bytes"
	case errors.As(err, &conn):
		return "connection lost"
	}
	return "error of the protocol"
}
