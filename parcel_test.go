package spdy

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// fullParcel is a parcel whose room is full of bytes that can be told apart.
func fullParcel() (parcel *[]byte, text string) {
	parcel = getBatch()
	text = string(testBytes(len(parcelRoom(parcel))))
	copy(parcelRoom(parcel), text)
	return parcel, text
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
	start := func(p *testPeer, st *Stream, parcel *[]byte, n int) (c *call, gone *bool) {
		gone = new(bool)
		return p.async("parcel", func(c *call) { *gone, c.err = st.writeParcel(parcel, n, false) }), gone
	}
	story(t, "alone", func(t *testing.T) {
		p, st := enter(t)
		parcel, text := fullParcel()
		c, gone := start(p, st, parcel, len(text))
		require.Equal(t, text, string(p.wantData("all of it in one frame", 1, len(text))))
		c.wait("the sender has it")
		require.True(t, *gone)
	})
	story(t, "in pieces", func(t *testing.T) {
		p, st := enter(t)
		p.sendSetting(SettingInitialWindowSize, 40_000)
		p.wantUnread("the window is 40,000")
		parcel, text := fullParcel()
		c, gone := start(p, st, parcel, len(text))
		require.Equal(t, text[:40_000], string(p.wantData("the first, copied", 1, 40_000)))
		c.pending("the rest is still the writer's")
		p.sendWindowUpdate(1, 100_000)
		require.Equal(t, text[40_000:], string(p.wantData("the rest", 1, len(text)-40_000)))
		c.wait("the sender has it")
		require.True(t, *gone)
	})
	story(t, "few bytes", func(t *testing.T) {
		p, st := enter(t)
		parcel, text := fullParcel()
		c, gone := start(p, st, parcel, leastParcel-1)
		require.Equal(t, text[:leastParcel-1], string(p.wantData("copied", 1, leastParcel-1)))
		c.wait("taken")
		require.False(t, *gone, "the writer may use it again")
		putBatch(parcel)
	})
	story(t, "beside another stream", func(t *testing.T) {
		p, st := enter(t)
		other := p.open("another", 0)
		p.wantSynStream("the other", 3)
		release := p.holdSender()
		parcel, text := fullParcel()
		write := p.startWrite(other, []byte(text), 0)
		write.pending("it waits")
		c, gone := start(p, st, parcel, maxDataFrame+1)
		c.pending("it waits too")
		release()
		p.wantData("in turn", 3, maxDataFrame)
		require.Equal(t, text[:maxDataFrame], string(p.wantData("copied", 1, maxDataFrame)))
		p.wantData("in turn", 3, maxDataFrame)
		require.Equal(t, text[maxDataFrame:maxDataFrame+1], string(p.wantData("copied", 1, 1)))
		c.wait("taken")
		require.False(t, *gone)
		putBatch(parcel)
	})
	story(t, "reset before it has left", func(t *testing.T) {
		p, st := enter(t)
		p.sendSetting(SettingInitialWindowSize, 0)
		p.wantUnread("no window")
		parcel, text := fullParcel()
		c, gone := start(p, st, parcel, len(text))
		c.pending("no window")
		p.sendRst(1, RstCancel)
		c.failsReset("with the stream", RstCancel, true)
		require.False(t, *gone, "nobody else has it")
		putBatch(parcel)
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
