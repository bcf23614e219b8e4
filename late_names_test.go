package spdy

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// someHeaders returns n headers whose names begin with prefix.
func someHeaders(prefix string, n int) (h []HeaderField) {
	for i := range n {
		h = append(h, HeaderField{fmt.Sprintf("%s%d", prefix, i), "v"})
	}
	return h
}

// TestLateNames: late names of a stream are compared by means of a set as soon as they are
// many, so that the work does not grow with the square of their number. They are limited
// together.
func TestLateNames(t *testing.T) {
	storyBoth(t, "R11/few", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := p.repliedTo("a stream", 0)
		p.sendHeaders(st.id, 0, someHeaders("a", fewLateNames/2)...)
		p.sendHeaders(st.id, 0, someHeaders("b", fewLateNames/2)...)
		p.wantIdle("all are new")
		require.Nil(t, st.late.seen)
		p.sendHeaders(st.id, 0, HeaderField{"c", ""})
		p.wantIdle("this too")
		require.Len(t, st.late.seen, fewLateNames+1)
		p.sendHeaders(st.id, 0, someHeaders("b", 1)...)
		p.wantRst("it has come", st.id, RstProtocolError)
		p.wantUsable("afterwards", p.peerID())
	})
	storyBoth(t, "R11/one block", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := p.repliedTo("a stream", 0)
		p.sendHeaders(st.id, 0, someHeaders("a", 1000)...)
		p.wantIdle("as ordinary trailers")
		require.Nil(t, st.late.seen, "there is nothing to compare them with")
	})
	storyBoth(t, "H12/bounded together", func(t *testing.T, r role) {
		p := newPeer(t, r, peerOpts{conf: Config{MaxHeaderFields: 100}})
		st := p.repliedTo("a stream", 0)
		for i := range 10 {
			p.sendHeaders(st.id, 0, someHeaders(fmt.Sprint("n", i, "-"), 10)...)
		}
		p.wantIdle("a hundred")
		p.sendHeaders(st.id, 0, HeaderField{"one", "more"})
		p.wantRst("one more", st.id, RstFrameTooLarge)
		require.Zero(t, p.s.Stats().ChargedResets)
		p.wantUsable("afterwards", p.peerID())
	})
}
