package spdystream_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream"
)

// What the original's own tests show of its behaviour holds here as well.

func TestStreams(t *testing.T) {
	var authenticated bool
	handler := func(s *spdystream.Stream) {
		if !authenticated {
			assert.NoError(t, s.Refuse())
			return
		}
		spdystream.MirrorStreamHandler(s)
	}
	rigTest(t, handler, func(t *testing.T, r *rig) {
		authenticated = true
		s, err := r.client.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		require.NoError(t, s.Wait())
		require.NoError(t, s.Wait(), "as often as one likes")

		require.NoError(t, s.WriteData([]byte("hello"), false))
		b := make([]byte, 10)
		n, err := s.Read(b)
		require.NoError(t, err)
		require.Equal(t, "hello", string(b[:n]))

		require.NoError(t, s.SendHeader(http.Header{"TestKey": {"TestVal"}}, false))
		h, err := s.ReceiveHeader()
		require.NoError(t, err)
		require.Equal(t, http.Header{"Testkey": {"TestVal"}}, h)

		require.False(t, s.IsFinished())
		require.NoError(t, s.WriteData([]byte("hello"), true))
		require.True(t, s.IsFinished())
		small := make([]byte, 3)
		n, err = s.Read(small)
		require.NoError(t, err)
		require.Equal(t, "hel", string(small[:n]))
		_, err = s.ReadData()
		require.Equal(t, spdystream.ErrUnreadPartialData, err)
		n, err = s.Read(small)
		require.NoError(t, err)
		require.Equal(t, "lo", string(small[:n]))
		_, err = s.Read(b)
		require.Equal(t, io.EOF, err)
		_, err = s.ReadData()
		require.Equal(t, io.EOF, err)
		_, err = s.ReceiveHeader()
		require.Error(t, err)

		require.Equal(t, spdystream.ErrWriteClosedStream, s.Close())
		require.NoError(t, s.Reset())
		require.NoError(t, s.Reset())

		authenticated = false
		bad, err := r.client.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		require.Equal(t, spdystream.ErrReset, bad.Wait())
		require.Equal(t, spdystream.ErrReset, bad.WaitTimeout(time.Second))
		require.Equal(t, spdystream.ErrWriteClosedStream, bad.Close())
		require.True(t, bad.IsFinished())

		require.NoError(t, r.client.CloseWait())
		require.True(t, isClosed(r.server))
	})
}

func TestPing(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		for _, c := range []*spdystream.Connection{r.client, r.server} {
			rtt, err := c.Ping()
			require.NoError(t, err)
			require.Positive(t, rtt)
		}
		require.NoError(t, r.server.CloseWait())
		_, err := r.client.Ping()
		require.Error(t, err)
	})
}

func TestHalfClose(t *testing.T) {
	rigTest(t, spdystream.MirrorStreamHandler, func(t *testing.T, r *rig) {
		s, err := r.client.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		_, err = s.Write([]byte("hello and will read after close"))
		require.NoError(t, err, "the reply is waited for")
		require.NoError(t, s.Close())
		got := <-readAll(s)
		require.Equal(t, ending{"hello and will read after close", nil}, got)
		require.NoError(t, r.client.CloseWait())
	})
}

// The numbers of streams are those of the protocol, and what is said of a stream reaches
// the handler.
func TestStreamsAreTold(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		require.EqualValues(t, 1, r.client.PeekNextStreamId())
		require.EqualValues(t, 2, r.server.PeekNextStreamId())
		header := http.Header{"StreamType": {"data"}, "Port": {"80", "81"}}
		parent, err := r.client.CreateStream(header, nil, false)
		require.NoError(t, err)
		require.Equal(t, header, parent.Headers(), "as they were given")
		require.EqualValues(t, 3, r.client.PeekNextStreamId())
		got := <-r.accepted
		require.EqualValues(t, 1, got.Identifier())
		require.Equal(t, "stream:1", got.String())
		require.Equal(t, http.Header{"Streamtype": {"data"}, "Port": {"80", "81"}}, got.Headers())
		require.Nil(t, got.Parent())
		require.NotNil(t, got.LocalAddr())
		require.NotNil(t, got.RemoteAddr())

		child, err := parent.CreateSubStream(http.Header{}, true)
		require.NoError(t, err)
		require.Same(t, parent, child.Parent())
		require.True(t, child.IsFinished())
		gotChild := <-r.accepted
		require.Same(t, got, gotChild.Parent())
		require.EqualValues(t, 3, gotChild.Identifier())
		require.Equal(t, ending{}, <-readAll(gotChild), "it was opened with FIN")
		require.Equal(t, spdystream.ErrWriteClosedStream, child.WriteData([]byte("x"), false))

		back, err := r.server.CreateStream(http.Header{}, got, false)
		require.NoError(t, err)
		require.EqualValues(t, 2, back.Identifier())
		require.NoError(t, back.Wait())
		require.Same(t, back, r.server.FindStream(2))
		require.Same(t, got, r.server.FindStream(1))
		child.SetPriority(3)

		_, err = r.client.CreateStream(http.Header{}, got, false)
		require.Error(t, err, "the parent is of another connection")
		_, err = r.client.CreateStream(http.Header{"bad\nname": {""}}, nil, false)
		require.Error(t, err)
	})
}

func TestFindStream(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		found := make(chan *spdystream.Stream, 3)
		for range 2 {
			go func() { found <- r.server.FindStream(3) }()
		}
		go func() { found <- r.client.FindStream(9) }()
		_, first := r.open()
		synctest.Wait()
		require.Empty(t, found, "it may come")
		ours, theirs := r.open()
		require.Same(t, theirs, <-found)
		require.Same(t, theirs, <-found)
		require.Same(t, ours, r.client.FindStream(3))
		require.Same(t, first, r.server.FindStream(1))
		require.NoError(t, ours.Reset())
		synctest.Wait()
		require.Nil(t, r.server.FindStream(3), "it has ended")
		require.Nil(t, r.client.FindStream(3))
		require.Nil(t, r.server.FindStream(0))
		require.NoError(t, first.Reset())
		require.NoError(t, r.client.CloseWait())
		require.Nil(t, <-found, "it will not come")
	})
}

// Streams that have ended are forgotten, however many there are.
func TestManyStreams(t *testing.T) {
	rigTest(t, spdystream.MirrorStreamHandler, func(t *testing.T, r *rig) {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				for j := range 50 {
					text := fmt.Sprint(i, j)
					s, err := r.client.CreateStream(http.Header{"N": {text}}, nil, false)
					if !assert.NoError(t, err) || !assert.NoError(t, s.Wait()) {
						return
					}
					assert.NoError(t, s.WriteData([]byte(text), true))
					assert.Equal(t, ending{text, nil}, <-readAll(s))
				}
			})
		}
		wg.Wait()
		require.NoError(t, r.client.CloseWait())
	})
}

// Large writes arrive whole, both ways at once.
func TestBulk(t *testing.T) {
	rigTest(t, spdystream.MirrorStreamHandler, func(t *testing.T, r *rig) {
		s, err := r.client.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
		go func() { assert.NoError(t, s.WriteData(data, true)) }()
		got := <-readAll(s)
		require.NoError(t, got.err)
		require.True(t, string(data) == got.data)
	})
}

// A frame is a message: WriteData makes one, ReadData returns it.
func TestReadData(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		ours, theirs := r.open()
		texts := []string{"one", "two", strings.Repeat("x", 16<<10), "four"}
		for _, text := range texts {
			require.NoError(t, ours.WriteData([]byte(text), false))
		}
		require.NoError(t, ours.WriteData(nil, false), "nothing")
		synctest.Wait()
		for _, text := range texts {
			data, err := theirs.ReadData()
			require.NoError(t, err)
			require.Equal(t, text, string(data))
		}
		got := make(chan error)
		go func() {
			data, err := theirs.ReadData()
			assert.Nil(t, data)
			got <- err
		}()
		require.NoError(t, ours.Close())
		require.Equal(t, io.EOF, <-got)
	})
}

func TestReplies(t *testing.T) {
	seen := make(chan *spdystream.Stream, 1)
	rigTest(t, func(s *spdystream.Stream) { seen <- s }, func(t *testing.T, r *rig) {
		seen := (<-chan *spdystream.Stream)(seen)
		ours, err := r.client.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		require.Error(t, ours.SendReply(http.Header{}, false), "it is not for the opener to reply")
		theirs := <-seen
		wrote := make(chan error, 3)
		go func() { wrote <- theirs.WriteData([]byte("early"), false) }()
		go func() { wrote <- theirs.SendHeader(http.Header{"A": {"b"}}, false) }()
		go func() { wrote <- theirs.Wait() }()
		synctest.Wait()
		require.Empty(t, wrote, "nothing leaves before the reply")
		require.Equal(t, spdystream.ErrTimeout, ours.WaitTimeout(time.Second))
		require.Equal(t, spdystream.ErrTimeout, theirs.WaitTimeout(time.Second))
		require.NoError(t, theirs.SendReply(http.Header{"Ok": {"1"}}, false))
		require.NoError(t, theirs.SendReply(http.Header{}, true), "the second one is not sent")
		require.NoError(t, theirs.Refuse(), "nor is this")
		for range 3 {
			require.NoError(t, <-wrote)
		}
		require.NoError(t, ours.Wait())
		b := make([]byte, 9)
		n, err := ours.Read(b)
		require.NoError(t, err)
		require.Equal(t, "early", string(b[:n]))
		h, err := ours.ReceiveHeader()
		require.NoError(t, err)
		require.Equal(t, "b", h.Get("A"))

		last, err := r.client.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		theirs = <-seen
		require.NoError(t, theirs.SendReply(http.Header{}, true))
		require.True(t, theirs.IsFinished())
		require.Equal(t, ending{}, <-readAll(last), "the reply was the end of that half")
	})
}

func TestSendHeaderFinishes(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		ours, theirs := r.open()
		require.NoError(t, ours.SendHeader(http.Header{"Last": {"1"}}, true))
		require.Equal(t, ending{}, <-readAll(theirs))
		require.Equal(t, spdystream.ErrWriteClosedStream, ours.SendHeader(http.Header{}, false))
		h, err := theirs.ReceiveHeader()
		require.NoError(t, err)
		require.Equal(t, "1", h.Get("Last"))
	})
}

func TestNoHandlerRefuses(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		_, theirs := r.open()
		_ = theirs
	})
	wireTest(t, false, nil, func(t *testing.T, w *wire) {})
}
