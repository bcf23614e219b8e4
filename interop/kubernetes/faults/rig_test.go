package faults

import (
	"cmp"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

const (
	// hangs is how long a call may take that is expected to hang.
	hangs = time.Second

	// patience is for what is expected to happen.
	patience = 30 * time.Second
)

var errHangs = errors.New("hangs")

// A pairing says whose the two ends of a connection are. The fault that an experiment is
// about is that of the end under test.
type pairing struct{ tested, peer kind }

// A rig is a connection with a side at each end.
type rig struct {
	t       testing.TB
	pairing pairing
	conf    spdy.Config // of our ends, besides FlowControl
	conform bool        // our end is the peer, and does what the protocol says
}

// limit is how long something may take that the end under test has a part in. If that is
// ours it is expected to happen, whatever the machine is busy with.
func (r *rig) limit() time.Duration {
	if r.pairing.tested == moby && !*dropIn {
		return hangs
	}
	return patience
}

// within calls a method of an end, and leaves it behind if it does not return. Ours have
// to return in any case: they have been told how long to wait.
func (r *rig) within(s side, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	limit := r.limit()
	_, isOurs := s.(*ourSide)
	if isOurs {
		limit = patience
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		if isOurs {
			r.t.Errorf("a call of ours does not return\n%s", stacksOfOurs())
		}
		return errHangs
	}
}

// tcpPair returns both ends of a connection.
func tcpPair(t testing.TB) (client, server *net.TCPConn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	s, err := ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		c.Close()
		s.Close()
	})
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// connect makes the ends: the one under test is the client, or the server.
func (r *rig) connect(testedIsClient bool) (tested, peer side) {
	client, server := tcpPair(r.t)
	mine, other := client, server
	if !testedIsClient {
		mine, other = server, client
	}
	tested = r.side(r.pairing.tested, mine, testedIsClient, spdy.FlowControlPeerUnaware)
	mode := spdy.FlowControlPeerUnaware
	if r.conform {
		mode = spdy.FlowControlStandard
	}
	peer = r.side(r.pairing.peer, other, !testedIsClient, mode)
	r.t.Cleanup(func() { r.end(tested, peer) })
	return tested, peer
}

// side makes an end of a connection.
func (r *rig) side(k kind, conn *net.TCPConn, client bool, mode spdy.FlowControl) side {
	if k == moby {
		m, err := newMoby(conn, client)
		require.NoError(r.t, err)
		return m
	}
	conf := r.conf
	conf.FlowControl = mode
	return newOurs(conn, client, &conf)
}

// end closes both ends. Whatever has happened, ours do close.
func (r *rig) end(sides ...side) {
	slices.SortStableFunc(sides, func(a, b side) int { // ours wait a moment for the peer to close
		_, aOurs := a.(*ourSide)
		_, bOurs := b.(*ourSide)
		return cmp.Compare(btoi(aOurs), btoi(bOurs))
	})
	for _, s := range sides {
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.close()
		}()
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
			if _, isOurs := s.(*ourSide); isOurs {
				r.t.Errorf("our end does not close\n%s", stacksOfOurs())
			}
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// pair opens a stream and has it accepted and replied to.
func (r *rig) pair(from, to side) (opened, accepted strm) {
	r.t.Helper()
	opened, err := from.open()
	require.NoError(r.t, err)
	accepted, err = to.accept(patience)
	require.NoError(r.t, err)
	require.NoError(r.t, accepted.reply())
	require.NoError(r.t, opened.awaitReply(patience))
	return opened, accepted
}

// works reports whether a new stream can be used.
func (r *rig) works(from, to side) error {
	var opened, accepted strm
	var b [1]byte
	for _, step := range []struct {
		by side
		do func() error
	}{
		{from, func() (err error) { opened, err = from.open(); return }},
		{to, func() (err error) { accepted, err = to.accept(r.limit()); return }},
		{to, func() error { return accepted.reply() }},
		{from, func() error { return opened.awaitReply(r.limit()) }},
		{from, func() error { _, err := opened.Write([]byte("x")); return err }},
		{to, func() error { _, err := io.ReadFull(accepted, b[:]); return err }},
	} {
		if err := r.within(step.by, step.do); err != nil {
			return err
		}
	}
	return nil
}

// alive reports whether a session still answers, and takes streams.
func (r *rig) alive(from, to side) bool {
	return r.within(from, func() error { return from.ping(r.limit()) }) == nil && r.works(from, to) == nil
}

// readAll reads a stream to what its library says is the end.
func (r *rig) readAll(s side, st strm) (text string, err error) {
	err = r.within(s, func() error {
		b, err := io.ReadAll(st)
		text = string(b)
		return err
	})
	return text, err
}

// cut ends a connection so that the other end sees a reset of TCP.
func cut(c *net.TCPConn) {
	_ = c.SetLinger(0)
	c.Close()
}

// stacksOfOurs are the goroutines that are in the code of this library.
func stacksOfOurs() string {
	buf := make([]byte, 8<<20)
	var b strings.Builder
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "github.com/amahi/spdy.") {
			b.WriteString(g + "\n\n")
		}
	}
	return b.String()
}

// nothingLeft waits until no goroutine of this library is left.
func nothingLeft(t testing.TB) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for stacksOfOurs() != "" {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Errorf("goroutines are left:\n%s", stacksOfOurs())
			return
		}
	}
}

// liveHeap is what is reachable.
func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers and pools held
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
