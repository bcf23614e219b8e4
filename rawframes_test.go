package spdy

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newFrames starts a raw server that keeps the ends of frames, with one stream.
func newFrames(t *testing.T) (*testPeer, *RawStream) {
	t.Helper()
	conf := Config{KeepFrames: true, StreamWindow: 1 << 20}
	p := newPeer(t, asServer, peerOpts{conf: conf, app: newAcceptQueue(&conf)})
	p.sendSynStream(1, 0)
	return p, p.acceptRaw("opened", 1)
}

func (p *testPeer) readFrame(r *RawStream) *call {
	return p.async("ReadFrame", func(c *call) { c.data, c.err = r.ReadFrame() })
}

func (p *testPeer) wantFrame(why string, r *RawStream, text string) {
	p.t.Helper()
	c := p.readFrame(r)
	c.ok(why)
	require.Equal(p.t, text, string(c.data), why)
}

func TestRawFrames(t *testing.T) {
	story(t, "frames come one by one, empty ones not at all", func(t *testing.T) {
		p, r := newFrames(t)
		for _, text := range []string{"one", "", "three", strings.Repeat("4", 70_000)} {
			p.sendData(1, text, 0)
		}
		p.sendData(1, "five", FlagFin)
		p.wantFrame("", r, "one")
		b := make([]byte, 100)
		n, err := r.Read(b[:2])
		require.NoError(t, err)
		require.Equal(t, "th", string(b[:n]))
		require.True(t, r.InFrame())
		p.wantFrame("the rest of it", r, "ree")
		require.False(t, r.InFrame())
		p.wantFrame("a large one", r, strings.Repeat("4", 70_000))
		n, err = r.Read(b)
		require.NoError(t, err)
		require.Equal(t, "five", string(b[:n]))
		p.readFrame(r).fails("the end", io.EOF)
	})
	story(t, "Read stops where a frame ends", func(t *testing.T) {
		p, r := newFrames(t)
		p.sendData(1, "ab", 0)
		p.sendData(1, "cde", 0)
		b := make([]byte, 100)
		for _, want := range []string{"ab", "cde"} {
			n, err := r.Read(b)
			require.NoError(t, err)
			require.Equal(t, want, string(b[:n]))
		}
	})
	story(t, "a frame is waited for to its end", func(t *testing.T) {
		p, r := newFrames(t)
		frame := appendDataHeader(nil, 1, 0, 6000)
		p.sendRaw(append(frame, testBytes(5000)...))
		c := p.readFrame(r)
		c.pending("a part of it is missing")
		p.sendRaw(testBytes(6000)[5000:])
		c.ok("whole")
		require.Equal(t, testBytes(6000), c.data)
	})
	story(t, "what breaks off comes with the reason", func(t *testing.T) {
		p, r := newFrames(t)
		frame := appendDataHeader(nil, 1, 0, 10_000)
		p.sendRaw(append(frame, testBytes(9000)...))
		require.NoError(t, r.SetReadDeadline(time.Now().Add(time.Second)))
		c := p.readFrame(r)
		p.advance(time.Second)
		c.fails("in the middle", os.ErrDeadlineExceeded)
		require.Equal(t, testBytes(10_000)[:len(c.data)], c.data)
		require.NotEmpty(t, c.data)
		require.True(t, r.InFrame())
	})
	story(t, "a flood of tiny frames loses their ends and nothing else", func(t *testing.T) {
		p, r := newFrames(t)
		const n = 2*maxMarks + 10
		for range n {
			p.sendData(1, "x", 0)
		}
		p.wantIdle("all of them have come")
		for range maxMarks - 1 {
			p.wantFrame("each by itself", r, "x")
		}
		require.LessOrEqual(t, cap(r.st.in.marks.ends), 2*maxMarks)
		c := p.readFrame(r).ok("all that followed")
		require.Len(t, c.data, n-maxMarks+1)
	})
	story(t, "marks of what is thrown away go with it", func(t *testing.T) {
		p, r := newFrames(t)
		p.sendData(1, "abc", 0)
		require.NoError(t, r.CloseRead())
		require.Empty(t, r.st.in.marks.ends)
	})
}

// Marks are kept in the same memory over and over.
func TestMarksAreReused(t *testing.T) {
	var m marks
	m.add(1)
	for i := range 10_000 {
		m.add(i + 2)
		require.Len(t, m.limit(make([]byte, 20_000)), i+1)
		m.pass(i + 1)
	}
	require.LessOrEqual(t, cap(m.ends), 16)
}
