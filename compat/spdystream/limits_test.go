package spdystream_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amahi "github.com/amahi/spdy"
	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream"
	"github.com/moby/spdystream/spdy"
)

// limitedTest is wireTest for a server with limits.
func limitedTest(t *testing.T, f func(t *testing.T, w *wire), opts ...spdy.FramerOption) {
	t.Helper()
	wireTest(t, true, nil, f, opts...)
}

// refused wants a stream of this header refused, and the connection to go on.
func (w *wire) refused(id uint32, headers ...amahi.HeaderField) {
	w.t.Helper()
	w.syn(id, 0, headers...)
	require.EqualValues(w.t, id, want[*amahi.RstStreamFrame](w, "too large").StreamID)
	require.False(w.t, isClosed(w.c))
}

func (w *wire) accepted(id uint32, headers ...amahi.HeaderField) {
	w.t.Helper()
	w.syn(id, 0, headers...)
	require.EqualValues(w.t, id, want[*amahi.SynReplyFrame](w, "fits").StreamID)
}

func TestFieldLimit(t *testing.T) {
	field := func(n int) amahi.HeaderField { return amahi.HeaderField{Name: "a", Value: strings.Repeat("x", n)} }
	limitedTest(t, func(t *testing.T, w *wire) {
		w.accepted(1, field(100))
		w.refused(3, field(101))
		w.refused(5, amahi.HeaderField{Name: strings.Repeat("a", 101), Value: "x"})
		s := w.c.FindStream(1)
		w.send(&amahi.HeadersFrame{StreamID: 1, Headers: amahi.HeaderBlock{field(100)}})
		_, err := s.ReceiveHeader()
		require.NoError(t, err)
		w.send(&amahi.HeadersFrame{StreamID: 1, Headers: amahi.HeaderBlock{field(101)}})
		_, err = s.ReceiveHeader()
		require.Error(t, err)
		want[*amahi.RstStreamFrame](w, "it costs the stream")
	}, spdy.WithMaxHeaderFieldSize(100))
	limitedTest(t, func(t *testing.T, w *wire) { // the default
		w.accepted(1, field(1<<20))
		w.refused(3, field(1<<20+1))
	})
	limitedTest(t, func(t *testing.T, w *wire) { // more than that
		w.accepted(1, field(3<<20))
	}, spdy.WithMaxHeaderFieldSize(3<<20))
}

func TestCountLimit(t *testing.T) {
	fields := func(n int) (h amahi.HeaderBlock) {
		for i := range n {
			h = append(h, amahi.HeaderField{Name: fmt.Sprintf("h%d", i), Value: "x"})
		}
		return h
	}
	limitedTest(t, func(t *testing.T, w *wire) {
		w.accepted(1, fields(16)...)
		w.refused(3, fields(17)...)
	}, spdy.WithMaxHeaderCount(16))
	limitedTest(t, func(t *testing.T, w *wire) {
		w.accepted(1, fields(1000)...)
		w.refused(3, fields(1001)...)
	})
}

func TestControlFrameLimit(t *testing.T) {
	limitedTest(t, func(t *testing.T, w *wire) {
		w.accepted(1)
		w.send(&amahi.SettingsFrame{Entries: make([]amahi.Setting, 12)}) // 100 bytes
		require.False(t, isClosed(w.c))
		w.send(&amahi.SettingsFrame{Entries: make([]amahi.Setting, 13)})
		require.True(t, isClosed(w.c))
	}, spdy.WithMaxControlFramePayloadSize(100))
}

// E5: a header block that is large once it is inflated costs no memory.
func TestHeaderBomb(t *testing.T) {
	limitedTest(t, func(t *testing.T, w *wire) {
		headers := make(http.Header)
		for i := range 20 {
			headers[fmt.Sprint("h", i)] = []string{strings.Repeat("0", 1<<20)}
		}
		var bomb bytes.Buffer
		framer, err := spdy.NewFramer(&bomb, nil)
		require.NoError(t, err)
		require.NoError(t, framer.WriteFrame(&spdy.SynStreamFrame{StreamId: 1, Headers: headers}))
		require.Less(t, bomb.Len(), 40<<10)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = w.framer.WriteRaw(bomb.Bytes()) // it may hang up in the middle
		synctest.Wait()
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20))
		require.True(t, isClosed(w.c))
	})
}

// The header blocks of streams that the handler has are the program's, and take no stream away
// from a peer that keeps within the number of streams.
func TestHeadersOfAllStreams(t *testing.T) {
	limitedTest(t, func(t *testing.T, w *wire) {
		big := amahi.HeaderField{Name: "a", Value: strings.Repeat("x", 1000)}
		id, streams := uint32(1), 0
		for ; ; id += 2 {
			w.syn(id, 0, big)
			frame := w.next()
			if _, ok := frame.(*amahi.RstStreamFrame); ok {
				break
			}
			streams++
		}
		require.Equal(t, 16<<10, streams)
		w.send(&amahi.RstStreamFrame{StreamID: 1, Status: amahi.RstCancel})
		w.accepted(id+2, big)
	}, spdy.WithMaxHeaderFieldSize(1000), spdy.WithMaxHeaderCount(10))
}

// E14: what an idle connection costs each end. The original takes 12 goroutines and 853 KiB.
func TestFootprint(t *testing.T) {
	const pairs = 40
	goroutines, heap := runtime.NumGoroutine(), liveHeap()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	ends := make([]*spdystream.Connection, 0, 2*pairs)
	for range pairs {
		cc, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		sc, err := ln.Accept()
		require.NoError(t, err)
		client, server := newConnection(t, cc, false), newConnection(t, sc, true)
		go client.Serve(spdystream.NoOpStreamHandler) // ends with the connection
		go server.Serve(spdystream.MirrorStreamHandler)
		ends = append(ends, client, server)
		s, err := client.CreateStream(http.Header{"Streamtype": {"data"}}, nil, false)
		require.NoError(t, err)
		require.NoError(t, s.WriteData([]byte("hello"), true))
		require.Equal(t, ending{"hello", nil}, <-readAll(s))
	}
	perEnd := func(n int64) float64 { return float64(n) / (2 * pairs) }
	used := liveHeap() - heap
	t.Logf("%.1f goroutines, %.1f KiB", perEnd(int64(runtime.NumGoroutine()-goroutines)), perEnd(used)/1024)
	require.Less(t, perEnd(used), float64(20<<10))
	require.LessOrEqual(t, runtime.NumGoroutine()-goroutines, 3*2*pairs+5)
	for _, c := range ends {
		require.NoError(t, c.Close())
	}
	for _, c := range ends {
		require.NoError(t, c.Wait(patience))
	}
	for limit := time.Now().Add(patience); runtime.NumGoroutine() > goroutines && time.Now().Before(limit); {
		runtime.Gosched()
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines, "nothing is left")
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
