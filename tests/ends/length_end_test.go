package ends

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/tests/bubble"
)

// lengthServer sends all of an answer that has a Content-Length, and then has something left to do
// for some time. It tells what its context says then.
func lengthServer(rest time.Duration, ended chan<- error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(abandonedSize))
		_, _ = w.Write(abandonedAnswer(5, abandonedSize))
		_ = http.NewResponseController(w).Flush()
		wait := time.NewTimer(rest)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
		}
		ended <- r.Context().Err()
	}
}

// TestCloseBehindTheLength: a client closes an answer when it has read all bytes that the
// Content-Length promises, and the handler goes on. Its context does not end, as over HTTP/1.1;
// HTTP/2 cancels it at once. A stream whose server does not end it is given up after a second.
func TestCloseBehindTheLength(t *testing.T) {
	for _, protocol := range bodyProtocols {
		for _, rest := range []time.Duration{0, 900 * time.Millisecond, time.Hour} {
			bubble.Run(t, protocol+"/"+rest.String(), func(t *testing.T) {
				ended := make(chan error, 1)
				pair := newBodyPair(t, protocol, lengthServer(rest, ended), nil)
				res, cancel := pair.ask(t, "GET", "/", nil)
				defer cancel()
				got := make([]byte, abandonedSize)
				_, err := io.ReadFull(res.Body, got)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				require.NoError(t, res.Body.Close())
				_, err = res.Body.Read(got)
				require.True(t, err != nil && err != io.EOF, err)
				began := time.Now()
				switch {
				case protocol == "h2":
					require.Zero(t, pair.openSpdyStreams())
				case rest < time.Second:
					require.NoError(t, <-ended)
				case protocol != "HTTP/1.1":
					require.Equal(t, context.Canceled, <-ended)
					require.Equal(t, time.Second, time.Since(began))
				}
				synctest.Wait()
				require.Zero(t, pair.openSpdyStreams())
			})
		}
	}
}

// TestCloseBeforeTheLength: a client that has not read all bytes does not want the rest, and says
// so at once, in each protocol.
func TestCloseBeforeTheLength(t *testing.T) {
	for _, protocol := range bodyProtocols {
		bubble.Run(t, protocol, func(t *testing.T) {
			ended := make(chan error, 1)
			pair := newBodyPair(t, protocol, lengthServer(time.Hour, ended), nil)
			res, cancel := pair.ask(t, "GET", "/", nil)
			defer cancel()
			_, err := io.ReadFull(res.Body, make([]byte, abandonedSize-1))
			require.NoError(t, err)
			synctest.Wait()
			began := time.Now()
			require.NoError(t, res.Body.Close())
			require.Equal(t, context.Canceled, <-ended)
			require.Zero(t, time.Since(began))
		})
	}
}
