package spdystream_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	amahi "github.com/amahi/spdy"
	"github.com/stretchr/testify/require"
)

// The handler is called with every stream that has arrived, even if the peer ends the connection
// right behind the streams. Such a stream has no clean end.
func TestStreamsRightBeforeTheEnd(t *testing.T) {
	for name, server := range map[string]bool{"server": true, "client": false} {
		t.Run(name, func(t *testing.T) {
			caught, handler := catch()
			wireTest(t, server, handler, func(t *testing.T, w *wire) {
				const streams = 50
				for i := range uint32(streams) {
					w.send(&amahi.SynStreamFrame{StreamID: 2*i + map[bool]uint32{true: 1, false: 2}[server]})
				}
				require.NoError(t, w.conn.Close())
				synctest.Wait()
				require.Len(t, caught, streams)
				for range streams {
					s := <-caught
					require.Error(t, s.SendReply(http.Header{}, false))
					_, err := s.Read(make([]byte, 1))
					require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				}
			})
		})
	}
}
