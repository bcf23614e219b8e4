package spdystream_test

import (
	"bufio"
	"net"
	"net/http"
	"testing"
	"time"

	amahi "github.com/amahi/spdy"
	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream"
)

// A slowReader reads as a peer does that is busy with what it reads.
type slowReader struct{ net.Conn }

func (r slowReader) Read(p []byte) (int, error) {
	limit := time.NewTimer(40 * time.Millisecond)
	<-limit.C
	return r.Conn.Read(p[:min(len(p), 8<<10)])
}

// Close waits for a slow reader: what it has not read yet is with the kernels, where
// nothing passes that can be seen of it, and a PING of the peer that met a closed socket
// would cost it all of that.
func TestCloseWithSlowReader(t *testing.T) {
	t.Run("its kernel takes little", func(t *testing.T) { closeWithSlowReader(t, 64<<10) })
	t.Run("its kernel takes more", func(t *testing.T) { closeWithSlowReader(t, 800<<10) })
}

func closeWithSlowReader(t *testing.T, buffer int) {
	t.Parallel()
	const size = 2400 << 10
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	theirs, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer theirs.Close()
	require.NoError(t, theirs.(*net.TCPConn).SetReadBuffer(buffer))
	ours, err := ln.Accept()
	require.NoError(t, err)
	require.NoError(t, ours.(*net.TCPConn).SetWriteBuffer(4<<20))
	server := newConnection(t, ours, true)
	go server.Serve(func(s *spdystream.Stream) {
		_ = s.SendReply(http.Header{}, false)
		_, _ = s.Write(make([]byte, size))
		_ = s.Close()
		_ = server.Close()
	})

	conn := slowReader{theirs}
	framer := amahi.NewFramer(theirs, bufio.NewReaderSize(conn, 8<<10), amahi.SPDY31)
	require.NoError(t, framer.WriteFrame(&amahi.SynStreamFrame{StreamID: 1})) // our half stays open
	got, whole, pinged := 0, false, time.Now()
	for !whole {
		frame, err := framer.ReadFrame()
		require.NoError(t, err, "after %d bytes", got)
		if time.Since(pinged) > 1700*time.Millisecond {
			pinged = time.Now()
			require.NoError(t, framer.WriteFrame(&amahi.PingFrame{ID: 1}))
		}
		switch f := frame.(type) {
		case *amahi.DataFrame:
			got += len(f.Data)
			whole = f.Flags&amahi.FlagFin != 0
		case *amahi.PingFrame:
			if f.ID%2 == 0 {
				require.NoError(t, framer.WriteFrame(f))
			}
		}
	}
	require.Equal(t, size, got)
	require.NoError(t, theirs.Close())
	require.NoError(t, server.Wait(patience))
}
