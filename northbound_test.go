package spdy

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func newNorthbound(window int64) *northbound {
	b := new(northbound)
	b.init(window)
	b.nothingLocked() // as if somebody waited: from then on there is a bell
	return b
}

// put appends what admit lets in.
func (b *northbound) put(t testing.TB, text string) {
	t.Helper()
	ok, wanted := b.admit(int64(len(text)))
	require.True(t, ok)
	require.True(t, wanted)
	require.Zero(t, b.append([]byte(text), nil))
}

// rung takes the bell.
func (b *northbound) rung() bool {
	select {
	case <-b.bell:
		return true
	default:
		return false
	}
}

func requireBooks(t testing.TB, b *northbound) {
	t.Helper()
	require.Equal(t, b.flow.size, b.chargedLocked()+b.flow.avail+b.flow.owed, "unread %d, freed %t, %+v", b.unread, b.freed, b.flow)
	held := int64(0)
	for c := b.head; c != nil; c = c.next {
		require.Less(t, c.r, c.w, "no chunk is empty")
		held += int64(c.w - c.r)
		require.Equal(t, c.next == nil, c == b.tail)
	}
	require.Equal(t, b.unread, held)
	require.Equal(t, b.head == nil, b.tail == nil)
}

func TestNorthboundRead(t *testing.T) {
	b := newNorthbound(1000)
	p := make([]byte, 10)
	n, _, grant, err := b.read(p)
	require.True(t, n == 0 && grant == 0 && err == nil, "empty means wait")
	require.False(t, b.rung())

	b.put(t, "hello")
	require.True(t, b.rung(), "bytes ring")
	b.put(t, "world!!")
	require.True(t, b.rung(), "all bytes ring")
	n, _, grant, err = b.read(p)
	require.NoError(t, err)
	require.Zero(t, grant)
	require.Equal(t, "helloworld", string(p[:n]))
	require.True(t, b.rung(), "a second reader may wait for the rest")
	n, _, _, _ = b.read(p)
	require.Equal(t, "!!", string(p[:n]))
	require.False(t, b.rung(), "nothing is left to ring for")
	requireBooks(t, b)

	n, _, _, err = b.read(nil)
	require.True(t, n == 0 && err == nil)
}

func TestNorthboundBounded(t *testing.T) {
	b := newNorthbound(10)
	b.put(t, "0123456789")
	ok, _ := b.admit(1)
	require.False(t, ok, "the window is the bound")
	ok, wanted := b.admit(0)
	require.True(t, ok && wanted, "an empty frame passes")
	require.True(t, b.exhausted())
	n, _, grant, _ := b.read(make([]byte, 3))
	require.Equal(t, 3, n)
	require.EqualValues(t, 3, grant)
	require.False(t, b.exhausted())
	requireBooks(t, b)
}

func TestNorthboundFinish(t *testing.T) {
	t.Run("FIN after the last byte", func(t *testing.T) {
		b := newNorthbound(16)
		b.put(t, "0123456789")
		require.Zero(t, b.finish(io.EOF, false))
		require.True(t, b.rung())
		require.False(t, b.atEnd())
		n, _, grant, err := b.read(make([]byte, 20))
		require.NoError(t, err)
		require.Equal(t, 10, n)
		require.Zero(t, grant, "no credit once the peer has finished (SPEC W15)")
		require.True(t, b.rung(), "a second reader may wait for the end")
		require.True(t, b.atEnd())
		for range 3 {
			_, _, _, err = b.read(make([]byte, 1))
			require.Equal(t, io.EOF, err, "the end stays")
			require.True(t, b.rung(), "every reader hears of the end")
		}
		requireBooks(t, b)
	})
	t.Run("the first end stays", func(t *testing.T) {
		b := newNorthbound(16)
		b.finish(errTest, false)
		b.finish(io.EOF, false)
		_, _, _, err := b.read(make([]byte, 1))
		require.Equal(t, errTest, err)
		require.False(t, b.atEnd(), "an error is not the end")
	})
	t.Run("a lost connection leaves what has come", func(t *testing.T) {
		b := newNorthbound(16)
		b.put(t, "abc")
		require.Zero(t, b.finish(errTest, keepUnread))
		n, _, _, err := b.read(make([]byte, 9))
		require.True(t, n == 3 && err == nil)
		_, _, _, err = b.read(make([]byte, 9))
		require.Equal(t, errTest, err)
	})
	t.Run("a reset drops it", func(t *testing.T) {
		b := newNorthbound(16)
		b.put(t, "abc")
		require.EqualValues(t, 3, b.finish(errTest, dropUnread))
		_, _, _, err := b.read(make([]byte, 9))
		require.Equal(t, errTest, err)
		requireBooks(t, b)
	})
	t.Run("a reset after the FIN drops nothing", func(t *testing.T) {
		b := newNorthbound(16)
		b.put(t, "abc")
		b.finish(io.EOF, false)
		require.Zero(t, b.finish(errTest, dropUnread))
		n, _, _, err := b.read(make([]byte, 9))
		require.True(t, n == 3 && err == nil)
		_, _, _, err = b.read(make([]byte, 9))
		require.Equal(t, io.EOF, err)
	})
}

func TestNorthboundDiscard(t *testing.T) {
	b := newNorthbound(16)
	_, _, _, err := b.read(make([]byte, 1))
	require.NoError(t, err, "a reader that will wait")
	b.put(t, "abcdef")
	b.rung()
	require.EqualValues(t, 6, b.discard())
	require.True(t, b.rung(), "a waiting reader hears of it")
	_, _, _, err = b.read(make([]byte, 1))
	require.ErrorIs(t, err, ErrStreamClosed)
	_, err = b.view()
	require.ErrorIs(t, err, ErrStreamClosed)
	requireBooks(t, b)

	ok, wanted := b.admit(4)
	require.True(t, ok)
	require.False(t, wanted, "later frames are not wanted")
	requireBooks(t, b)
	require.False(t, b.exhausted())
	ok, _ = b.admit(7)
	require.False(t, ok, "but they still may not overrun the window")
	ok, _ = b.admit(6)
	require.True(t, ok)
	require.True(t, b.exhausted(), "credit is not renewed")
	require.Zero(t, b.discard(), "nothing is dropped twice")
}

// TestNorthboundUncharge: bytes that are uncharged stay readable, and their credit is returned
// once, whatever becomes of them.
func TestNorthboundUncharge(t *testing.T) {
	ended := func(end error) *northbound {
		b := newNorthbound(16)
		b.put(t, "abcdef")
		require.Zero(t, b.uncharge(), "more may come")
		b.finish(end, keepUnread)
		return b
	}
	for _, end := range []error{io.EOF, errTest} {
		b := ended(end)
		b.flow.avail -= 2 // for a view of two bytes, before the others
		first := getChunk(2)
		first.w, first.next = copy(first.data, "12"), b.head
		b.head, b.unread = first, b.unread+2
		p, err := b.view()
		require.NoError(t, err)
		require.EqualValues(t, 8, b.uncharge(), "what is in views counts, too")
		require.Zero(t, b.uncharge())
		require.Zero(t, b.buffered())
		requireBooks(t, b)
		require.Equal(t, "12", string(p.bytes()), "a view stays what it is")
		consumed, grant := b.advance(p)
		require.True(t, consumed == 0 && grant == 0)
		p, err = b.view()
		require.NoError(t, err)
		consumed, grant = b.advance(p)
		require.True(t, consumed == 0 && grant == 0, "nor does it when it was lent later")
		b = ended(end)
		require.EqualValues(t, 6, b.uncharge())
		q := make([]byte, 9)
		n, charged, grant, err := b.read(q[:1])
		require.NoError(t, err)
		require.True(t, n == 1 && charged == 0 && grant == 0)
		require.Zero(t, b.spoil(errTest), "they are in nobody's way")
		n, charged, _, err = b.read(q[1:])
		require.NoError(t, err)
		require.True(t, n == 5 && charged == 0)
		require.Equal(t, "abcdef", string(q[:6]))
		_, _, _, err = b.read(q)
		require.Equal(t, end, err)
		requireBooks(t, b)

		b = ended(end)
		require.EqualValues(t, 6, b.uncharge())
		require.Zero(t, b.discard(), "no credit for the second time")
		requireBooks(t, b)
		_, _, _, err = b.read(make([]byte, 1))
		require.ErrorIs(t, err, ErrStreamClosed)
	}
}

// TestNorthboundDiscardMidFrame closes the application's side between admit and
// append of one frame.
func TestNorthboundDiscardMidFrame(t *testing.T) {
	for _, how := range []string{"discard", "finish"} {
		t.Run(how, func(t *testing.T) {
			b := newNorthbound(16)
			ok, wanted := b.admit(10)
			require.True(t, ok && wanted)
			require.Zero(t, b.append([]byte("abcd"), nil))
			if how == "discard" {
				require.EqualValues(t, 4, b.discard())
			} else {
				require.EqualValues(t, 4, b.finish(errTest, dropUnread))
			}
			require.Equal(t, 6, b.append([]byte("efghij"), nil), "the rest of the frame")
			requireBooks(t, b)
		})
	}
}

func TestNorthboundView(t *testing.T) {
	b := newNorthbound(1 << 20)
	p, err := b.view()
	require.True(t, p.bytes() == nil && err == nil, "empty means wait")
	b.put(t, "abcdef")
	p, err = b.view()
	require.NoError(t, err)
	require.Equal(t, "abcdef", string(p.bytes()))
	b.put(t, "ghijk")
	require.Equal(t, "abcdef", string(p.bytes()), "what is lent does not change")
	require.EqualValues(t, 11, b.buffered(), "and counts until it comes back")
	q := make([]byte, 2)
	n, _, _, err := b.read(q)
	require.True(t, n == 2 && err == nil, "others read what comes behind it")
	require.Equal(t, "gh", string(q))
	second, err := b.view()
	require.NoError(t, err)
	require.Equal(t, "ijk", string(second.bytes()), "or are lent that")
	require.Equal(t, "abcdef", string(p.bytes()))
	consumed, _ := b.advance(second)
	require.EqualValues(t, 3, consumed)
	require.False(t, b.rests(), "something is lent")
	consumed, _ = b.advance(p)
	require.EqualValues(t, 6, consumed)
	requireBooks(t, b)

	b.finish(io.EOF, false)
	_, err = b.view()
	require.Equal(t, io.EOF, err)
	require.True(t, b.rung())
}

// TestNorthboundDropLent drops the buffer under a view: the bytes on loan stay
// as they are until they are returned, and their credit is counted once.
func TestNorthboundDropLent(t *testing.T) {
	for _, how := range []string{"discard", "finish"} {
		t.Run(how, func(t *testing.T) {
			b := newNorthbound(1 << 20)
			text := string(testBytes(40 << 10)) // more than one chunk
			b.put(t, text)
			p, err := b.view()
			require.NoError(t, err)
			want := bytes.Clone(p.bytes())
			if how == "discard" {
				require.EqualValues(t, len(text), b.discard())
			} else {
				require.EqualValues(t, len(text), b.finish(errTest, dropUnread))
			}
			var others []*chunk
			for range 50 { // whoever gets the freed chunks writes into them
				c := getChunk(32 << 10)
				for i := range c.data {
					c.data[i] = 0xee
				}
				others = append(others, c)
			}
			require.True(t, bytes.Equal(want, p.bytes()), "the lent chunk was handed to somebody else")
			for _, c := range others {
				putChunk(c)
			}
			consumed, grant := b.advance(p)
			require.True(t, consumed == 0 && grant == 0, "its credit was returned when it was dropped")
			requireBooks(t, b)
		})
	}
}

// TestNorthboundChunks checks that what is held follows what has come.
func TestNorthboundChunks(t *testing.T) {
	b := newNorthbound(1 << 20)
	chunks := func() (n, bytes int) {
		for c := b.head; c != nil; c = c.next {
			n++
			bytes += len(c.data)
		}
		return n, bytes
	}
	for range 512 {
		b.put(t, "x")
	}
	n, size := chunks()
	require.True(t, n == 1 && size == 512, "512 single bytes share a chunk: %d of %d bytes", n, size)
	b.put(t, string(testBytes(100<<10)))
	n, size = chunks()
	require.True(t, n <= 6 && size <= 512+136<<10, "100 KiB are held in %d chunks of %d bytes", n, size)
	_, _, _, _ = b.read(make([]byte, 100<<10+512))
	n, _ = chunks()
	require.Zero(t, n, "an empty buffer holds nothing")
}

// TestNorthboundProperty plays random operations against a plain byte slice and
// checks the books after each.
func TestNorthboundProperty(t *testing.T) {
	for seed := range uint64(60) {
		playNorthbound(t, rand.New(rand.NewPCG(seed, 1)))
	}
}

// A northboundModel is what a northbound buffer should hold.
type northboundModel struct {
	sent      byte   // number of bytes sent, as a running pattern
	unread    []byte // what is still to be read
	views     []lentView
	discarded bool
	uncharged bool
	end       error
	credit    int64 // what the session was given back
	taken     int64 // what the session was charged
}

// A lentView is a view that is out.
type lentView struct {
	view
	copy    []byte // what it was
	charged bool   // it still counts for the windows
}

func playNorthbound(t *testing.T, r *rand.Rand) {
	b := newNorthbound(int64(1 + r.IntN(100<<10)))
	var m northboundModel
	for range 150 {
		switch op := r.IntN(20); {
		case op < 8:
			m.receive(t, b, r)
		case op < 12:
			m.read(t, b, r)
		case op < 16:
			m.viewOrAdvance(t, b, r)
		case op == 16 && r.IntN(8) == 0:
			m.credit += b.discard()
			m.discarded, m.unread = true, nil
			m.freeViews()
		case op == 17 && r.IntN(8) == 0:
			end := []error{io.EOF, errTest}[r.IntN(2)]
			drop := r.IntN(2) == 0
			if m.end == nil {
				m.end = end
			}
			dropped := b.finish(end, drop)
			m.credit += dropped
			if drop && m.end != io.EOF {
				require.Equal(t, m.charged(), dropped)
				m.unread = nil
				m.freeViews()
			} else {
				require.Zero(t, dropped)
			}
		case op == 18 && r.IntN(4) == 0:
			want := m.charged()
			freed := b.uncharge()
			if m.end == nil {
				want = 0 // more may come
			} else {
				m.uncharged = true
				m.freeViews()
			}
			require.Equal(t, want, freed)
			m.credit += freed
		case op == 19 && r.IntN(8) == 0:
			before := m.charged()
			dropped := b.spoil(errTest)
			m.credit += dropped
			if m.end != nil && before > 0 {
				m.end, m.unread = b.end, nil
				m.freeViews()
			} else {
				before = 0
			}
			require.Equal(t, before, dropped)
		}
		for _, v := range m.views {
			require.True(t, bytes.Equal(v.copy, v.bytes()), "lent bytes do not change")
		}
		requireBooks(t, b)
		require.EqualValues(t, len(m.unread), b.unread)
		require.Equal(t, m.charged(), b.buffered())
		require.Equal(t, m.taken, m.credit+b.buffered(), "the session gets back what was charged and is not held")
		require.GreaterOrEqual(t, b.flow.avail, int64(0))
	}
}

// chargedOf is how many of n bytes that are unread, or have just been read, are charged.
func (m *northboundModel) chargedOf(n int) int64 {
	if m.uncharged {
		return 0
	}
	return int64(n)
}

func (m *northboundModel) charged() (n int64) {
	for _, v := range m.views {
		if v.charged {
			n += int64(len(v.copy))
		}
	}
	return n + m.chargedOf(len(m.unread))
}

// freeViews has the views that are out count no more.
func (m *northboundModel) freeViews() {
	for i := range m.views {
		m.views[i].charged = false
	}
}

// receive plays a DATA frame, in up to three pieces.
func (m *northboundModel) receive(t *testing.T, b *northbound, r *rand.Rand) {
	n := r.IntN(40 << 10)
	if r.IntN(3) > 0 {
		n = r.IntN(100)
	}
	fits := int64(n) <= b.flow.avail
	ok, wanted := b.admit(int64(n))
	require.Equal(t, fits, ok)
	if !ok {
		return
	}
	require.Equal(t, !m.discarded && m.end == nil, wanted)
	m.taken += int64(n)
	if !wanted {
		m.credit += int64(n)
		return
	}
	frame := make([]byte, n)
	for i := range frame {
		m.sent++
		frame[i] = m.sent
	}
	for len(frame) > 0 {
		k := min(len(frame), 1+r.IntN(20<<10))
		require.Zero(t, b.append(frame[:k], nil))
		m.unread = append(m.unread, frame[:k]...)
		frame = frame[k:]
	}
}

func (m *northboundModel) read(t *testing.T, b *northbound, r *rand.Rand) {
	p := make([]byte, r.IntN(50<<10))
	n, charged, grant, err := b.read(p)
	if n > 0 {
		require.NoError(t, err)
		require.True(t, bytes.Equal(m.unread[:n], p[:n]), "bytes come in order")
		require.True(t, n == min(len(p), len(m.unread)))
		m.unread = m.unread[n:]
		require.Equal(t, m.chargedOf(n), charged)
		m.credit += charged
		require.True(t, m.end == nil || grant == 0)
		return
	}
	m.nothing(t, len(p) == 0, err)
}

// nothing checks what a reader hears that gets no bytes.
func (m *northboundModel) nothing(t *testing.T, excused bool, err error) {
	switch {
	case m.discarded:
		require.ErrorIs(t, err, ErrStreamClosed)
	case len(m.unread) > 0:
		require.NoError(t, err)
		require.True(t, excused, "there are bytes to read")
	default:
		require.Equal(t, m.end, err)
	}
}

func (m *northboundModel) viewOrAdvance(t *testing.T, b *northbound, r *rand.Rand) {
	if len(m.views) < r.IntN(4) {
		p, err := b.view()
		if p.c == nil {
			m.nothing(t, false, err)
			return
		}
		require.NoError(t, err)
		n := len(p.bytes())
		require.True(t, bytes.HasPrefix(m.unread, p.bytes()), "bytes come in order")
		m.views = append(m.views, lentView{p, bytes.Clone(p.bytes()), !m.uncharged})
		m.unread = m.unread[n:]
		return
	}
	if len(m.views) == 0 {
		return
	}
	i := r.IntN(len(m.views))
	v := m.views[i]
	m.views = slices.Delete(m.views, i, i+1)
	consumed, _ := b.advance(v.view)
	if !v.charged {
		require.Zero(t, consumed)
		return
	}
	require.EqualValues(t, len(v.copy), consumed)
	m.credit += consumed
}
