// Package ends shows that the end of a message, a stream or a session is its true end.
package ends

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A waitPeer is the scripted end of a connection whose other end is a raw session of ours. It
// notes the frames of one stream, and grants credit for DATA as it arrives.
type waitPeer struct {
	t    *testing.T
	v    spdy.Version
	conn *testconn.Conn
	ours *testconn.Conn
	s    *spdy.Session

	writing sync.Mutex
	f       *spdy.Framer

	mu     sync.Mutex
	frames []spdy.Frame // of all streams
}

// newWaitPeer starts a raw session of ours, which ends with the test.
func newWaitPeer(t *testing.T, v spdy.Version, client bool) *waitPeer {
	return newWaitPeerWith(t, spdy.Config{}, v, client)
}

func newWaitPeerWith(t *testing.T, conf spdy.Config, v spdy.Version, client bool) *waitPeer {
	ours, conn := testconn.Pair()
	p := &waitPeer{t: t, v: v, conn: conn, ours: ours, s: bubble.Quiet(conf, v).RawSession(ours, client)}
	p.f = spdy.NewFramer(conn, conn, v)
	var running sync.WaitGroup
	running.Go(func() { _ = p.s.Serve() })
	running.Go(p.receive)
	t.Cleanup(func() {
		ours.SetHold(false)
		conn.Close()
		running.Wait()
	})
	return p
}

func (p *waitPeer) receive() {
	for {
		frame, err := p.f.ReadFrame()
		if err != nil {
			p.conn.Close()
			return
		}
		p.mu.Lock()
		p.frames = append(p.frames, frame)
		p.mu.Unlock()
		data, ok := frame.(*spdy.DataFrame)
		if !ok || len(data.Data) == 0 || p.v == spdy.SPDY2 {
			continue
		}
		p.send(&spdy.WindowUpdateFrame{StreamID: data.StreamID, Delta: uint32(len(data.Data))})
		if p.v == spdy.SPDY31 {
			p.send(&spdy.WindowUpdateFrame{Delta: uint32(len(data.Data))})
		}
	}
}

func (p *waitPeer) send(frame spdy.Frame) {
	p.writing.Lock()
	defer p.writing.Unlock()
	_ = p.f.WriteFrame(frame) // fails when the test is over
}

// open returns a stream that both sides know. A session that is a client has opened it, and
// the peer has replied; a server has accepted it.
func (p *waitPeer) open(client bool) *spdy.RawStream {
	ctx := context.Background()
	if client {
		r, err := p.s.OpenStream(ctx, nil, spdy.StreamOptions{})
		require.NoError(p.t, err)
		synctest.Wait()
		p.send(&spdy.SynReplyFrame{StreamID: r.ID()})
		synctest.Wait()
		return r
	}
	p.send(&spdy.SynStreamFrame{StreamID: 1})
	r, err := p.s.AcceptStream(ctx)
	require.NoError(p.t, err)
	return r
}

// of returns the frames that have come for a stream.
func (p *waitPeer) of(id uint32) (frames []spdy.Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, frame := range p.frames {
		if waitStreamOf(frame) == id {
			frames = append(frames, frame)
		}
	}
	return frames
}

func waitStreamOf(frame spdy.Frame) uint32 {
	switch f := frame.(type) {
	case *spdy.SynStreamFrame:
		return f.StreamID
	case *spdy.SynReplyFrame:
		return f.StreamID
	case *spdy.HeadersFrame:
		return f.StreamID
	case *spdy.DataFrame:
		return f.StreamID
	case *spdy.RstStreamFrame:
		return f.StreamID
	case *spdy.WindowUpdateFrame:
		return f.StreamID
	}
	return 0
}

// A waitCall is a call that runs in a goroutine of its own.
type waitCall struct {
	name string
	done chan struct{}
	n    int64
	err  error
}

func waitStart(name string, call func() (int64, error)) *waitCall {
	c := &waitCall{name: name, done: make(chan struct{})}
	go func() {
		c.n, c.err = call()
		close(c.done)
	}()
	return c
}

// ended reports whether the call has returned.
func (c *waitCall) ended() bool {
	synctest.Wait()
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// endsBy requires that the call returns after d at the latest.
func (c *waitCall) endsBy(t *testing.T, d time.Duration) {
	t.Helper()
	if !c.ended() && d > 0 {
		bubble.Pass(d)
	}
	require.True(t, c.ended(), "%s has not returned", c.name)
}

// waitRoles runs f for each side of a session and each version.
func waitRoles(t *testing.T, name string, f func(t *testing.T, v spdy.Version, client bool)) {
	for _, client := range []bool{true, false} {
		bubble.InVersions(t, fmt.Sprintf("%s/client %t", name, client), func(t *testing.T, v spdy.Version) { f(t, v, client) })
	}
}
