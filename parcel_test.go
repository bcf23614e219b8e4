package spdy

import (
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// fullBuffer is the buffer of an upload, whose space is full of bytes that can be told apart.
func fullBuffer(st *Stream) (b *uploadBuffer, text string) {
	b = &uploadBuffer{st: st}
	text = string(testBytes(len(b.space())))
	copy(b.space(), text)
	return b, text
}

// TestParcel follows a buffer that is given to the sender, and what happens when it is
// not.
func TestParcel(t *testing.T) {
	enter := func(t *testing.T) (p *testPeer, st *Stream) {
		p = newPeer(t, asClient)
		st = p.open("an upload", 0)
		p.wantSynStream("the stream", 1)
		return p, st
	}
	start := func(p *testPeer, b *uploadBuffer, n int) *call {
		return p.async("put", func(c *call) { c.err = b.put(n, false, true) })
	}
	story(t, "alone", func(t *testing.T) {
		p, st := enter(t)
		b, text := fullBuffer(st)
		c := start(p, b, len(text))
		require.Equal(t, text, string(p.wantData("all of it in one frame", 1, len(text))))
		c.wait("the sender has it")
		require.Nil(t, b.parcel)
	})
	story(t, "in pieces", func(t *testing.T) {
		p, st := enter(t)
		p.sendSetting(SettingInitialWindowSize, 40_000)
		p.wantUnread("the window is 40,000")
		b, text := fullBuffer(st)
		c := start(p, b, len(text))
		require.Equal(t, text[:40_000], string(p.wantData("the first, copied", 1, 40_000)))
		c.pending("the rest is still the writer's")
		p.sendWindowUpdate(1, 100_000)
		require.Equal(t, text[40_000:], string(p.wantData("the rest", 1, len(text)-40_000)))
		c.wait("the sender has it")
		require.Nil(t, b.parcel)
	})
	story(t, "few bytes", func(t *testing.T) {
		p, st := enter(t)
		b, text := fullBuffer(st)
		c := start(p, b, leastParcel-1)
		require.Equal(t, text[:leastParcel-1], string(p.wantData("copied", 1, leastParcel-1)))
		c.wait("taken")
		require.NotNil(t, b.parcel, "the writer may use it again")
		b.release()
	})
	story(t, "beside another stream", func(t *testing.T) {
		p, st := enter(t)
		other := p.open("another", 0)
		p.wantSynStream("the other", 3)
		release := p.holdSender()
		b, text := fullBuffer(st)
		write := p.startWrite(other, []byte(text), 0)
		write.pending("it waits")
		c := start(p, b, maxDataFrame+1)
		c.pending("it waits too")
		release()
		p.wantData("in turn", 3, maxDataFrame)
		require.Equal(t, text[:maxDataFrame], string(p.wantData("copied", 1, maxDataFrame)))
		p.wantData("in turn", 3, maxDataFrame)
		require.Equal(t, text[maxDataFrame:maxDataFrame+1], string(p.wantData("copied", 1, 1)))
		c.wait("taken")
		require.NotNil(t, b.parcel)
		b.release()
	})
	story(t, "read on", func(t *testing.T) {
		p, st := enter(t)
		release := p.holdSender()
		b, text := fullBuffer(st)
		for range 3 {
			require.NoError(t, b.put(100, false, false), "it waits for nothing")
		}
		c := p.async("put", func(c *call) { c.err = b.put(0, true, true) })
		c.pending("the sender has not taken it")
		release()
		require.Equal(t, text[:300], string(p.wantData("all in one frame, with the FIN", 1, 300, FlagFin)))
		c.wait("taken")
		b.release()
	})
	story(t, "given back while it is lent", func(t *testing.T) {
		p, st := enter(t)
		release := p.holdSender()
		b, _ := fullBuffer(st)
		require.NoError(t, b.put(100, false, false))
		b.release()
		release()
		p.wantNothing("of that")
	})
	story(t, "a write deadline", func(t *testing.T) {
		p, st := enter(t)
		p.sendSetting(SettingInitialWindowSize, 0)
		p.wantUnread("no window")
		require.NoError(t, st.SetWriteDeadline(time.Now().Add(time.Second)))
		b, _ := fullBuffer(st)
		require.ErrorIs(t, b.put(100, false, false), os.ErrDeadlineExceeded)
		b.release()
	})
	story(t, "reset before it has left", func(t *testing.T) {
		p, st := enter(t)
		p.sendSetting(SettingInitialWindowSize, 0)
		p.wantUnread("no window")
		b, text := fullBuffer(st)
		c := start(p, b, len(text))
		c.pending("no window")
		p.sendRst(1, RstCancel)
		c.failsReset("with the stream", RstCancel, true)
		require.NotNil(t, b.parcel, "nobody else has it")
		b.release()
	})
}

// TestParcelOnTheWire: an upload goes out in writes of a batch's size each, and what is
// written stays as it is meanwhile, though the body is read on.
func TestParcelOnTheWire(t *testing.T) {
	const size = 1 << 20
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		check := &patternCheck{want: newPattern(1, size)}
		if _, err := io.Copy(check, r.Body); err != nil || check.whole() != nil {
			http.Error(w, "spoilt", http.StatusBadRequest)
		}
	}, rigSetup{conn: []testconn.Option{testconn.WriteCap(1000), testconn.ReadSize(777)}}, func(t *testing.T, r *rig) {
		res, _, err := r.fetch(r.request("PUT", "/", newPattern(1, size)))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, res.StatusCode)
		r.requireBalanced()
	})
}
