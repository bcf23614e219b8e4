package ends

import (
	"bytes"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// A waitDeed is a call that sends something on a stream, or ends it. Two deeds run at a time:
// who is 0 for the first and 1 for the second.
type waitDeed struct {
	name string
	do   func(r *spdy.RawStream, who int) (int64, error)
	fin  bool // FIN is on its way once the call has succeeded
	ends bool // the stream may be reset
}

const waitSize = 150 << 10 // more than a window, and more than two batches

// waitBytes are the bytes of a writer: each tells its writer and its place.
func waitBytes(who int) []byte {
	p := make([]byte, waitSize)
	for i := range p {
		p[i] = byte(who<<7 | i%113)
	}
	return p
}

var waitDeeds = []waitDeed{
	{name: "Write", do: func(r *spdy.RawStream, who int) (int64, error) {
		n, err := r.Write(waitBytes(who))
		return int64(n), err
	}},
	{name: "ReadFrom", do: func(r *spdy.RawStream, who int) (int64, error) {
		return r.ReadFrom(bytes.NewReader(waitBytes(who)))
	}},
	{name: "SendHeaders with FIN", fin: true, do: func(r *spdy.RawStream, _ int) (int64, error) {
		return 0, r.SendHeaders(spdy.HeaderBlock{{Name: "the", Value: "end"}}, true)
	}},
	{name: "SendHeaders", do: func(r *spdy.RawStream, _ int) (int64, error) {
		return 0, r.SendHeaders(spdy.HeaderBlock{{Name: "half", Value: "time"}}, false)
	}},
	{name: "Reply with FIN", fin: true, do: func(r *spdy.RawStream, _ int) (int64, error) {
		return 0, r.Reply(spdy.HeaderBlock{{Name: "the", Value: "end"}}, true)
	}},
	{name: "CloseWrite", fin: true, do: func(r *spdy.RawStream, _ int) (int64, error) { return 0, r.CloseWrite() }},
	{name: "Reset", ends: true, do: func(r *spdy.RawStream, _ int) (int64, error) { return 0, r.Reset(spdy.RstCancel) }},
	{name: "Close", ends: true, do: func(r *spdy.RawStream, _ int) (int64, error) { return 0, r.Close() }},
	{name: "SetWriteDeadline", do: func(r *spdy.RawStream, _ int) (int64, error) {
		return 0, r.SetWriteDeadline(time.Now().Add(-time.Second))
	}},
}

// waitTimings say when the second deed begins, and when the network takes bytes.
var waitTimings = []struct {
	name    string
	stalled bool // the network takes nothing before both have begun
	later   bool // the second deed begins when the first one waits or is through
}{
	{"first waits", true, true},
	{"together", true, false},
	{"flowing", false, false},
}

// TestOrderOnAStream runs two calls on one stream, in all pairs. The peer receives the bytes of
// each call in order, as many as the call has acknowledged. One FIN at most follows all bytes,
// only a reset follows the FIN, and nothing follows the reset.
func TestOrderOnAStream(t *testing.T) {
	for _, first := range waitDeeds {
		for _, second := range waitDeeds {
			for _, timing := range waitTimings {
				waitRoles(t, first.name+"/"+second.name+"/"+timing.name, func(t *testing.T, v spdy.Version, client bool) {
					p := newWaitPeer(t, v, client)
					r := p.open(client)
					if timing.stalled {
						p.ours.SetWriteCap(16 << 10)
						p.ours.SetHold(true)
					}
					one := waitStart(first.name, func() (int64, error) { return first.do(r, 0) })
					if timing.later {
						synctest.Wait()
					}
					two := waitStart(second.name, func() (int64, error) { return second.do(r, 1) })
					synctest.Wait()
					p.ours.SetHold(false)
					for _, c := range []*waitCall{one, two} {
						c.endsBy(t, time.Second)
					}
					waitCheckOrder(t, p.of(r.ID()), [2]waitDeed{first, second}, [2]*waitCall{one, two})
				})
			}
		}
	}
}

// TestOrderBeforeTheReply is TestOrderOnAStream for a stream on which nothing is sent before the
// peer's reply, because that peer may do no flow control. It replies when both calls have begun.
func TestOrderBeforeTheReply(t *testing.T) {
	conf := spdy.Config{FlowControl: spdy.FlowControlPeerUnaware}
	for _, first := range waitDeeds {
		for _, second := range waitDeeds {
			bubble.InVersions(t, first.name+"/"+second.name, func(t *testing.T, v spdy.Version) {
				p := newWaitPeerWith(t, conf, v, true)
				r := openWithoutReply(t, p, true, 0)
				one := waitStart(first.name, func() (int64, error) { return first.do(r, 0) })
				synctest.Wait()
				two := waitStart(second.name, func() (int64, error) { return second.do(r, 1) })
				synctest.Wait()
				p.send(&spdy.SynReplyFrame{StreamID: r.ID()})
				for _, c := range []*waitCall{one, two} {
					c.endsBy(t, time.Second)
				}
				waitCheckOrder(t, p.of(r.ID()), [2]waitDeed{first, second}, [2]*waitCall{one, two})
			})
		}
	}
}

// waitSeen sums up the frames of a stream that the peer has received.
type waitSeen struct {
	bytes    [2]int64 // of each writer
	changes  int      // of the writer
	last     int      // the writer of the last byte
	fin, rst bool
}

func (s *waitSeen) add(t *testing.T, frame spdy.Frame) {
	require.False(t, s.rst, "%T after RST_STREAM", frame)
	var flags spdy.FrameFlags
	switch f := frame.(type) {
	case *spdy.RstStreamFrame:
		s.rst = true
		return
	case *spdy.SynStreamFrame:
		flags = f.Flags
	case *spdy.SynReplyFrame:
		flags = f.Flags
	case *spdy.HeadersFrame:
		flags = f.Flags
	case *spdy.DataFrame:
		flags = f.Flags
		for _, b := range f.Data {
			who := int(b >> 7)
			if s.bytes[who]%113 != int64(b&127) {
				t.Fatalf("byte %d of writer %d is not in its place", s.bytes[who], who)
			}
			s.bytes[who]++
			if who != s.last {
				s.changes, s.last = s.changes+1, who
			}
		}
	}
	require.False(t, s.fin, "%T after FIN", frame)
	s.fin = flags&spdy.FlagFin != 0
}

func waitCheckOrder(t *testing.T, frames []spdy.Frame, deeds [2]waitDeed, calls [2]*waitCall) {
	var seen waitSeen
	for _, frame := range frames {
		seen.add(t, frame)
	}
	whole, reset, late := 0, false, false
	for i, d := range deeds {
		c := calls[i]
		reset = reset || d.ends
		late = late || d.name == "SetWriteDeadline"
		require.Equal(t, c.n, seen.bytes[i], "%s: acknowledged, and received", d.name)
		if c.err == nil && d.fin && !seen.rst {
			require.True(t, seen.fin, "%s has sent no FIN", d.name)
		}
		if d.name == "Write" {
			whole++
		}
		if c.err != nil && d.name != "Reply with FIN" { // the opener never replies, and others once
			require.True(t, errors.Is(c.err, net.ErrClosed) || errors.Is(c.err, os.ErrDeadlineExceeded), "%s: %v", d.name, c.err)
		}
	}
	require.True(t, reset || !seen.rst, "reset by neither")
	if whole == 2 {
		require.LessOrEqual(t, seen.changes, 2, "the bytes of each Write stay together")
	}
	if !reset && !late {
		for i, d := range deeds { // a writer that came before the FIN is whole
			if calls[i].err == nil && (d.name == "Write" || d.name == "ReadFrom") {
				require.EqualValues(t, waitSize, seen.bytes[i], d.name)
			}
		}
	}
}

// TestHeadersWithFinFollow: SendHeaders with FIN beside a Write returns at once, and its frame
// follows the bytes of the Write. A Write that is cut short has the stream reset without FIN. One that Close
// interrupts is sent as far as it fits the windows.
func TestHeadersWithFinFollow(t *testing.T) {
	end := spdy.HeaderBlock{{Name: "the", Value: "end"}}
	begin := func(t *testing.T, v spdy.Version, client bool) (p *waitPeer, r *spdy.RawStream, write *waitCall) {
		p = newWaitPeer(t, v, client)
		r = p.open(client)
		p.ours.SetWriteCap(16 << 10)
		p.ours.SetHold(true)
		write = waitStart("Write", func() (int64, error) { return waitDeeds[0].do(r, 0) })
		require.False(t, write.ended())
		require.NoError(t, r.SendHeaders(end, true))
		for _, err := range []error{r.SendHeaders(end, true), r.SendHeaders(end, false), r.CloseWrite()} {
			require.ErrorIs(t, err, spdy.ErrStreamClosed, "our half is closed")
		}
		require.False(t, write.ended())
		return p, r, write
	}
	seen := func(t *testing.T, p *waitPeer, r *spdy.RawStream, write *waitCall) (seen waitSeen) {
		p.ours.SetHold(false)
		synctest.Wait()
		for _, frame := range p.of(r.ID()) {
			seen.add(t, frame)
		}
		require.Equal(t, write.n, seen.bytes[0])
		return seen
	}
	waitRoles(t, "all is taken", func(t *testing.T, v spdy.Version, client bool) {
		p, r, write := begin(t, v, client)
		second := waitStart("Write", func() (int64, error) { return waitDeeds[0].do(r, 0) })
		require.False(t, second.ended(), "it waits for the first")
		p.ours.SetHold(false)
		write.endsBy(t, 0)
		second.endsBy(t, 0)
		require.NoError(t, write.err)
		require.ErrorIs(t, second.err, spdy.ErrStreamClosed)
		require.True(t, seen(t, p, r, write).fin)
		frames := p.of(r.ID())
		last, ok := frames[len(frames)-1].(*spdy.HeadersFrame)
		require.True(t, ok)
		require.Equal(t, end, last.Headers)
	})
	waitRoles(t, "write deadline", func(t *testing.T, v spdy.Version, client bool) {
		p, r, write := begin(t, v, client)
		require.NoError(t, r.SetWriteDeadline(time.Now().Add(time.Second)))
		require.False(t, write.ended())
		write.endsBy(t, time.Second)
		require.ErrorIs(t, write.err, os.ErrDeadlineExceeded)
		require.ErrorIs(t, r.Err(), os.ErrDeadlineExceeded)
		s := seen(t, p, r, write)
		require.True(t, s.rst && !s.fin, "a part is not the whole")
	})
	waitRoles(t, "Close", func(t *testing.T, v spdy.Version, client bool) {
		p, r, write := begin(t, v, client)
		require.NoError(t, r.Close())
		write.endsBy(t, 0)
		s := seen(t, p, r, write)
		require.True(t, s.rst)
		require.Error(t, r.Err())
		if write.err != nil {
			require.ErrorIs(t, write.err, spdy.ErrStreamClosed)
			require.False(t, s.fin, "not all was written")
			return
		}
		require.EqualValues(t, waitSize, write.n, "it fitted the windows")
		require.True(t, s.fin)
	})
	ends := map[string]func(p *waitPeer, r *spdy.RawStream) error{
		"Reset": func(_ *waitPeer, r *spdy.RawStream) error { return r.Reset(spdy.RstCancel) },
		"reset by the peer": func(p *waitPeer, r *spdy.RawStream) error {
			p.send(&spdy.RstStreamFrame{StreamID: r.ID(), Status: spdy.RstCancel})
			return nil
		},
		"lost connection": func(p *waitPeer, _ *spdy.RawStream) error {
			p.ours.Reset()
			return nil
		},
	}
	for name, how := range ends {
		waitRoles(t, name, func(t *testing.T, v spdy.Version, client bool) {
			p, r, write := begin(t, v, client)
			require.NoError(t, how(p, r))
			write.endsBy(t, 0)
			require.Error(t, write.err)
			require.Error(t, r.Err())
			if name != "lost connection" {
				require.False(t, seen(t, p, r, write).fin, "not all was written")
			}
		})
	}
}
