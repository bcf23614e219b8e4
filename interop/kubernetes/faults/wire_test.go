package faults

import (
	"bytes"
	"net/http"
	"time"

	"github.com/moby/spdystream/spdy"
	"github.com/stretchr/testify/require"

	spdy31 "github.com/amahi/spdy"
)

// A wire is a peer that sends and sees frames, and does nothing by itself.
type wire struct {
	r *rig
	*spdy.Framer
	out  bytes.Buffer // what is sent together
	send func([]byte) error
	side side // what is on the other end

	isServer bool
}

// wire connects the end under test to a wire.
func (r *rig) wire(testedIsClient bool) *wire {
	client, server := tcpPair(r.t)
	mine, other := client, server
	if !testedIsClient {
		mine, other = server, client
	}
	s := r.side(r.pairing.tested, mine, testedIsClient, spdy31.FlowControlPeerUnaware)
	r.t.Cleanup(func() {
		other.Close()
		r.end(s)
	})
	require.NoError(r.t, other.SetReadDeadline(time.Now().Add(patience)))
	w := &wire{r: r, side: s, isServer: testedIsClient, send: func(p []byte) error { _, err := other.Write(p); return err }}
	var err error
	w.Framer, err = spdy.NewFramer(&w.out, other)
	require.NoError(r.t, err)
	return w
}

// say sends frames in one write.
func (w *wire) say(frames ...spdy.Frame) {
	for _, f := range frames {
		require.NoError(w.r.t, w.WriteFrame(f))
	}
	require.NoError(w.r.t, w.send(w.out.Bytes()))
	w.out.Reset()
}

// synStream opens a stream.
func synStream(id spdy.StreamId) *spdy.SynStreamFrame {
	return &spdy.SynStreamFrame{StreamId: id, Headers: http.Header{"Streamtype": {"data"}}}
}

// until reads frames until one satisfies f, and returns all.
func (w *wire) until(f func(spdy.Frame) bool) (seen []spdy.Frame) {
	for {
		frame, err := w.ReadFrame()
		require.NoError(w.r.t, err, "after %d frames", len(seen))
		seen = append(seen, frame)
		if f(frame) {
			return seen
		}
	}
}

// untilEcho has a PING echoed, and returns what came before the echo: all that the other
// end had to say to what it was sent before, if it says it without delay.
func (w *wire) untilEcho() []spdy.Frame {
	id := uint32(0x40000001) // a client's
	if w.isServer {
		id++
	}
	w.say(&spdy.PingFrame{Id: id})
	return w.until(func(f spdy.Frame) bool {
		p, ok := f.(*spdy.PingFrame)
		return ok && p.Id == id
	})
}
