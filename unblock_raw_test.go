package spdy

import (
	"io"
	"strings"
)

// The calls of raw streams that can wait, see unblock_test.go.

func rawApplication(*scene) application { return newAcceptQueue(nil) }

// rawOpened opens a stream, which the peer replies to if replied is set.
func (w *scene) rawOpened(replied bool) *RawStream {
	w.t.Helper()
	r := w.openRaw("a stream")
	if replied {
		w.sendSynReply(r.ID(), 0)
	}
	w.set(r)
	return r
}

// rawAccepted accepts a stream.
func (w *scene) rawAccepted() *RawStream {
	w.t.Helper()
	w.sendSynStream(w.peerID(), 0)
	r := w.acceptRaw("a stream", w.peerID())
	w.set(r)
	return r
}

func (w *scene) set(r *RawStream) {
	w.id, w.readDeadline, w.writeDeadline = r.ID(), r.SetReadDeadline, r.SetWriteDeadline
	w.giveUp = func() { r.Close() }
}

// onRaw starts a call on a stream of ours that the peer has replied to.
func onRaw(f func(r *RawStream) error) func(w *scene) *call {
	return func(w *scene) *call {
		r := w.rawOpened(true)
		return w.async("a call", func(c *call) { c.err = f(r) })
	}
}

// onAccepted starts a call on a stream of the peer.
func onAccepted(f func(r *RawStream) error) func(w *scene) *call {
	return func(w *scene) *call {
		r := w.rawAccepted()
		return w.async("a call", func(c *call) { c.err = f(r) })
	}
}

func rawRead(r *RawStream) error {
	_, err := r.Read(make([]byte, 10))
	return err
}

func rawWriteTo(r *RawStream) error {
	_, err := r.WriteTo(io.Discard)
	return err
}

func rawWriteBig(r *RawStream) error {
	_, err := r.Write([]byte(big))
	return err
}

func rawReadFrom(r *RawStream) error {
	_, err := r.ReadFrom(strings.NewReader(big))
	return err
}

// rawCloseWrite closes our half behind a Write that waits.
func rawCloseWrite(w *scene) *call {
	r := w.rawOpened(true)
	w.rawWrite(r, []byte(big)).pending("the window is closed")
	return w.async("CloseWrite", func(c *call) { c.err = r.CloseWrite() })
}

var (
	rawReadEnds  = join(bySession, byPeer, byReadDeadline, ends{"closed by our side": is(ErrStreamClosed)})
	rawWriteEnds = join(bySession, byPeer, byWriteDeadline, ends{"closed by our side": is(ErrStreamClosed)})
)

var waitingRaw = []waitingCall{
	{"Session.OpenStream", "for a stream", asClient, rawApplication,
		func(w *scene) *call {
			w.noSlots()
			return w.async("OpenStream", func(c *call) { _, c.err = w.s.OpenStream(w.ctx, nil, StreamOptions{}) })
		},
		noStream},
	{"Session.AcceptStream", "for a stream", asServer, rawApplication,
		func(w *scene) *call {
			return w.async("AcceptStream", func(c *call) { _, c.err = w.s.AcceptStream(w.ctx) })
		},
		join(byContext, bySession, ends{"peer hangs up": is(ErrSessionClosed),
			"GOAWAY": is(ErrSessionClosed), "GOAWAY with an error": as[*SessionError]})},
	{"RawStream.Read", "for bytes", asClient, rawApplication, onRaw(rawRead), rawReadEnds},
	{"RawStream.Read", "for bytes of the peer's stream", asServer, rawApplication, onAccepted(rawRead),
		without(rawReadEnds, "GOAWAY", "GOAWAY with an error")},
	{"RawStream.ReadFrame", "for a frame", asClient,
		func(w *scene) application {
			w.conf.KeepFrames = true
			return rawApplication(w)
		},
		onRaw(func(r *RawStream) error {
			_, err := r.ReadFrame()
			return err
		}), rawReadEnds},
	{"RawStream.WriteTo", "for bytes", asClient, rawApplication, onRaw(rawWriteTo), rawReadEnds},
	{"RawStream.Write", "for a window", asClient, rawApplication, onRaw(rawWriteBig), rawWriteEnds},
	{"RawStream.Write", "for a window of the peer's stream", asServer, rawApplication, onAccepted(rawWriteBig),
		without(rawWriteEnds, "GOAWAY", "GOAWAY with an error")},
	{"RawStream.ReadFrom", "for a window", asClient, rawApplication, onRaw(rawReadFrom), rawWriteEnds},
	{"RawStream.CloseWrite", "for a Write", asClient, rawApplication, rawCloseWrite,
		join(bySession, byPeer, ends{"closed by our side": is(ErrStreamClosed), "write deadline": fine, "write deadline in the past": fine})},
	{"RawStream.AwaitReply", "for the reply", asClient, rawApplication,
		func(w *scene) *call {
			r := w.rawOpened(false)
			return w.async("AwaitReply", func(c *call) { _, c.err = r.AwaitReply(w.ctx) })
		},
		join(byContext, bySession, byPeer, ends{"closed by our side": is(ErrStreamClosed)})},
	{"RawStream.ReceiveHeaders", "for HEADERS", asClient, rawApplication,
		func(w *scene) *call {
			r := w.rawOpened(true)
			return w.async("ReceiveHeaders", func(c *call) { _, c.err = r.ReceiveHeaders(w.ctx) })
		},
		join(byContext, bySession, byPeer, ends{"closed by our side": is(ErrStreamClosed)})},
}
