package faults

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream/spdy"

	"github.com/amahi/spdy/interop/kubernetes/internal/workload"
)

// What experiments find.
const (
	allStops    = "PING and new streams stop"
	allGoesOn   = "both go on"
	partAsWhole = "a part, as if it were all"
	asAnError   = "an error"
)

// unread is E1: a stream is not read.
func unread(size int64) func(r *rig) string {
	return func(r *rig) string {
		tested, peer := r.connect(false)
		opened, accepted := r.pair(peer, tested)
		written := make(chan struct{})
		go func() { // ends with the stream
			defer close(written)
			_, _ = io.Copy(opened, workload.Content(1, size))
		}()
		if r.unlimited() {
			<-written // all of it is taken, and kept or thrown away
		} else {
			r.settle(written) // the writer is held up
		}
		if r.conf.ResetOverBudget && r.unlimited() {
			_, err := r.readAll(tested, accepted)
			require.Error(r.t, err)
		}
		if !r.alive(peer, tested) {
			return allStops
		}
		return allGoesOn
	}
}

// unlimited reports that the peer sends what it likes, and the end under test takes it.
func (r *rig) unlimited() bool { return r.pairing == (pairing{ours, moby}) && !*dropIn }

// settle waits for something that may not happen.
func (r *rig) settle(c <-chan struct{}) {
	timer := time.NewTimer(hangs / 2)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
	}
}

// lateReset is E2: the peer refuses a stream whose opener has stopped waiting.
func lateReset(r *rig) string {
	tested, peer := r.connect(true)
	opened, err := tested.open()
	require.NoError(r.t, err)
	accepted, err := peer.accept(patience)
	require.NoError(r.t, err)
	require.Error(r.t, opened.awaitReply(50*time.Millisecond))
	require.NoError(r.t, accepted.reset())
	for range 6 { // the sixth has the worker of the first
		if r.works(tested, peer) != nil {
			return "a later stream gets no reply"
		}
	}
	return "later streams work"
}

// goodbye is E3: the peer says GOAWAY and then the rest. The tested half stays open until
// that is sent: spdystream forgets a stream whose other half is closed before it writes the
// FIN, and after a GOAWAY may hang up in between.
func goodbye(r *rig) string {
	tested, peer := r.connect(true)
	opened, accepted := r.pair(tested, peer)
	_, err := accepted.Write([]byte("before, "))
	require.NoError(r.t, err)
	peer.bye()
	_, err = accepted.Write([]byte("after"))
	err = errors.Join(err, accepted.closeWrite(), opened.closeWrite())
	if r.pairing.tested == ours { // who hears a GOAWAY as moby does ends the connection
		require.NoError(r.t, err)
	}
	text, err := r.readAll(tested, opened)
	switch {
	case err != nil:
		return asAnError
	case text == "before, after":
		return "all of it"
	}
	return partAsWhole
}

// truncated is E4: the connection, or the stream, breaks off.
func truncated(r *rig) string {
	tested, peer := r.connect(true)
	opened, accepted := r.pair(tested, peer)
	_, err := accepted.Write([]byte("part"))
	require.NoError(r.t, err)
	_, err = io.ReadFull(opened, make([]byte, 4))
	require.NoError(r.t, err)
	cut(peer.conn())
	_, err = r.readAll(tested, opened)

	w := r.wire(true)
	opened, openErr := w.side.open()
	require.NoError(r.t, openErr)
	w.until(isSynStream)
	id := spdy.StreamId(opened.id())
	w.say(&spdy.SynReplyFrame{StreamId: id}, &spdy.DataFrame{StreamId: id, Data: []byte("part")})
	_, readErr := io.ReadFull(opened, make([]byte, 4))
	require.NoError(r.t, readErr)
	w.say(&spdy.RstStreamFrame{StreamId: id, Status: spdy.InternalError})
	_, resetErr := r.readAll(w.side, opened)
	if err == nil || resetErr == nil {
		return partAsWhole
	}
	return asAnError
}

func isSynStream(f spdy.Frame) bool {
	_, ok := f.(*spdy.SynStreamFrame)
	return ok
}

// deadline is E6: a read deadline on one stream passes.
func deadline(r *rig) string {
	tested, peer := r.connect(true)
	opened, _ := r.pair(tested, peer)
	require.NoError(r.t, opened.readBefore(time.Now().Add(20*time.Millisecond)))
	err := r.within(tested, func() error { _, err := opened.Read(make([]byte, 1)); return err })
	if r.pairing.tested == ours {
		require.ErrorIs(r.t, err, os.ErrDeadlineExceeded)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && r.alive(tested, peer) {
		return "it alone times out"
	}
	return "the connection is lost"
}

// lateStream is E8: the peer opens a stream after our GOAWAY.
func lateStream(r *rig) string {
	w := r.wire(false)
	w.say(synStream(1))
	accepted, err := w.side.accept(patience)
	require.NoError(r.t, err)
	require.NoError(r.t, accepted.reply())
	w.side.bye()
	for id := spdy.StreamId(3); id < 1000; id += 2 { // saying it takes its time
		w.say(synStream(id))
		for _, f := range w.untilEcho() {
			if rst, ok := f.(*spdy.RstStreamFrame); ok && rst.StreamId == id && rst.Status == spdy.RefusedStream {
				return "REFUSED_STREAM"
			}
		}
	}
	return "no answer"
}

// earlyData is E9: DATA and FIN follow the SYN_STREAM at once.
func earlyData(r *rig) string {
	w := r.wire(false)
	for i := range 20 {
		id := spdy.StreamId(2*i + 1)
		w.say(synStream(id), &spdy.DataFrame{StreamId: id, Data: []byte("early"), Flags: spdy.DataFlagFin})
		accepted, err := w.side.accept(patience)
		require.NoError(r.t, err)
		require.NoError(r.t, accepted.reply())
		if text, err := r.readAll(w.side, accepted); err != nil || text != "early" {
			return "they are lost"
		}
	}
	return "they arrive"
}

// unreadHeaders is E10: 60 HEADERS frames are not read.
func unreadHeaders(r *rig) string {
	tested, peer := r.connect(false)
	opened, _ := r.pair(peer, tested)
	for range 60 {
		_ = r.within(peer, opened.sendHeaders)
	}
	if !r.alive(peer, tested) {
		return allStops
	}
	return allGoesOn
}

// writeBeforeReply is E12: the connection is lost while somebody writes to a stream that
// he has not replied to.
func writeBeforeReply(r *rig) string {
	tested, peer := r.connect(false)
	_, err := peer.open()
	require.NoError(r.t, err)
	accepted, err := tested.accept(patience)
	require.NoError(r.t, err)
	begun := make(chan struct{})
	wrote := make(chan error, 1)
	go func() {
		close(begun)
		_, err := accepted.Write([]byte("x"))
		wrote <- err
	}()
	<-begun
	cut(peer.conn())
	if errors.Is(r.within(tested, func() error { return <-wrote }), errHangs) {
		return "Write never returns"
	}
	return "Write returns"
}

// waitForReply is E13: the connection is lost while somebody waits for a reply.
func waitForReply(r *rig) string {
	tested, peer := r.connect(true)
	opened, err := tested.open()
	require.NoError(r.t, err)
	_, err = peer.accept(patience)
	require.NoError(r.t, err)
	cut(peer.conn())
	err = r.within(tested, func() error { return opened.awaitReply(0) })
	if errors.Is(err, errHangs) {
		return "Wait never returns"
	}
	require.Error(r.t, err)
	return "Wait returns an error"
}

// conformant is X2: a peer sends 1 MiB as flow control allows, and all of it is read.
func conformant(r *rig) string {
	if r.pairing.tested == moby { // between two of them nobody does flow control
		r.pairing.peer = ours
	}
	r.conform = r.pairing.peer == ours
	tested, peer := r.connect(false)
	opened, accepted := r.pair(peer, tested)
	go func() { // ends with the stream
		_, _ = io.Copy(opened, workload.Content(1, 1<<20))
		_ = opened.closeWrite()
	}()
	var got string
	err := r.within(tested, func() (err error) {
		got, err = workload.Digest(accepted)
		return err
	})
	switch {
	case errors.Is(err, errHangs):
		return "stalls after 64 KiB"
	case got == workload.ContentDigest(1, 1<<20):
		return "arrives"
	}
	return partAsWhole
}

// afterFin is X3: a Write after Close, and then a Reset.
func afterFin(r *rig) string {
	w := r.wire(true)
	opened, err := w.side.open()
	require.NoError(r.t, err)
	w.until(isSynStream)
	id := spdy.StreamId(opened.id())
	w.say(&spdy.SynReplyFrame{StreamId: id})
	require.NoError(r.t, opened.awaitReply(patience))
	_, err = opened.Write([]byte("all"))
	require.NoError(r.t, err)
	require.NoError(r.t, opened.closeWrite())
	seen := w.until(func(f spdy.Frame) bool {
		d, ok := f.(*spdy.DataFrame)
		return ok && d.Flags&spdy.DataFlagFin != 0
	})
	_, writeErr := opened.Write([]byte("more"))
	require.NoError(r.t, opened.reset())
	seen = append(seen, w.untilEcho()...)
	data, reset := 0, false
	for _, f := range seen {
		switch f := f.(type) {
		case *spdy.DataFrame:
			data += len(f.Data)
		case *spdy.RstStreamFrame:
			reset = reset || f.StreamId == id
		}
	}
	if data == len("all") && reset && writeErr != nil {
		return "Write fails, RST_STREAM"
	}
	return "DATA after FIN, no RST_STREAM"
}
