package spdy

import (
	"context"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// A lateContext lets everything that is on its way arrive while RoundTrip is about to wait
// for the answer, so that it finds answer, end of the stream and end of the context there
// all at once.
type lateContext struct {
	context.Context
	arrive func()
	ended  chan struct{} // nil for one that does not end
}

// AfterFunc keeps the context's end a secret from all but the one who waits.
func (c *lateContext) AfterFunc(func()) (stop func() bool) { return func() bool { return true } }

func (c *lateContext) Done() <-chan struct{} {
	if strings.Contains(string(debug.Stack()), "awaitReply") {
		c.arrive()
		if c.ended != nil {
			close(c.ended)
		}
		return c.ended
	}
	return make(chan struct{})
}

func (c *lateContext) Err() error {
	select {
	case <-c.ended:
		return context.Canceled
	default:
		return nil
	}
}

// TestUnseenAnswerIsCredited: what has come of an answer that RoundTrip then does not return
// is credited to the session: nobody else is going to read it. The soak has found that a
// stream which had ended by then kept it.
func TestUnseenAnswerIsCredited(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"complete": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "all of it") },
		"broken off": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
	}
	for name, answer := range answers {
		t.Run("cancelled when it is "+name, func(t *testing.T) {
			var awaited chan struct{} // the answer, which does not come before
			h := func(w http.ResponseWriter, r *http.Request) {
				<-awaited
				answer(w, r)
			}
			rigTest(t, h, rigSetup{}, func(t *testing.T, r *rig) {
				awaited = make(chan struct{}, 1)
				cancelled := 0
				for range 64 { // select takes either of what is there
					ctx := &lateContext{Context: t.Context(), ended: make(chan struct{}), arrive: func() {
						awaited <- struct{}{}
						synctest.Wait()
					}}
					res, err := r.client.RoundTrip(r.request("GET", "/", nil).WithContext(ctx))
					if err != nil {
						require.ErrorIs(t, err, context.Canceled)
						cancelled++
						continue
					}
					require.NoError(t, res.Body.Close())
				}
				require.NotZero(t, cancelled)
				r.requireBalanced()
			})
		})
	}
	story(t, "without a status", func(t *testing.T) {
		p := newPeer(t, asClient, peerOpts{app: newHTTPClientApp(new(Config))})
		req, err := http.NewRequest("GET", "http://example.com/", nil)
		require.NoError(t, err)
		ctx := &lateContext{Context: t.Context(), arrive: func() {
			p.wantSynStream("the request", 1)
			p.sendSynReply(1, 0)
			p.sendData(1, "nothing of it is HTTP", FlagFin)
			synctest.Wait()
		}}
		_, err = p.s.RoundTrip(req.WithContext(ctx))
		var wrong *StreamError
		require.ErrorAs(t, err, &wrong)
		size, avail, owed, streams := receiveWindow(p.s)
		require.Zero(t, streams)
		require.Equal(t, size, avail+owed)
	})
}
