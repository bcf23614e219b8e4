package spdy

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// TestResetKeepsWhatCame: what had arrived before the peer's RST_STREAM can be read, and
// then the error, whoever comes first; as over HTTP/1.1 and HTTP/2.
func TestResetKeepsWhatCame(t *testing.T) {
	breaksOff := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	t.Run("of an answer", func(t *testing.T) {
		rigTest(t, breaksOff, rigSetup{}, func(t *testing.T, r *rig) {
			res, err := r.client.RoundTrip(r.request("GET", "/", nil))
			require.NoError(t, err)
			synctest.Wait() // for the reset
			body, err := io.ReadAll(res.Body)
			require.Equal(t, "begun", string(body))
			requireTruncated(t, err)
			var reset *StreamError
			require.ErrorAs(t, err, &reset)
			require.True(t, reset.Remote)
			require.NoError(t, res.Body.Close())
			r.requireBalanced()
		})
	})
	t.Run("of an answer that is closed", func(t *testing.T) {
		rigTest(t, breaksOff, rigSetup{}, func(t *testing.T, r *rig) {
			res, err := r.client.RoundTrip(r.request("GET", "/", nil))
			require.NoError(t, err)
			synctest.Wait()
			size, avail, owed, _ := receiveWindow(r.client)
			require.EqualValues(t, 5, size-avail-owed, "it counts until then")
			require.NoError(t, res.Body.Close())
			r.requireBalanced()
		})
	})
	t.Run("of a request", func(t *testing.T) {
		var body []byte
		var failure error
		rigTest(t, func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			body, failure = io.ReadAll(r.Body)
		}, rigSetup{}, func(t *testing.T, r *rig) {
			ctx, cancel := context.WithCancel(context.Background())
			out, in := io.Pipe()
			done := make(chan error, 1)
			go func() {
				_, err := r.client.RoundTrip(r.request("POST", "/", out).WithContext(ctx))
				done <- err
			}()
			io.WriteString(in, "begun")
			synctest.Wait()
			cancel()
			require.ErrorIs(t, <-done, context.Canceled)
			r.requireBalanced()
			require.Equal(t, "begun", string(body))
			requireTruncated(t, failure)
		})
	})
	story(t, "of a push that nobody has asked for", func(t *testing.T) {
		p := pushClient(t, SPDY31)
		p.send(p.pushFrame(2, 1, "/a"))
		p.sendBulk(2, 5, 0)
		p.sendRst(2, RstCancel)
		p.wantNothing("it is gone")
		size, avail, owed, _ := receiveWindow(p.s)
		require.Equal(t, size, avail+owed, "what nobody will read takes no room")
	})
}
