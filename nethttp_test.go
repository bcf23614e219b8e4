package spdy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// What net/http does, found by the suite in parity/, where a test of the package itself
// shows more.

// TestOptionsOfTheServer: as in net/http, "OPTIONS *" is answered for the handler,
// unless the server does not want that.
func TestOptionsOfTheServer(t *testing.T) {
	for disable, want := range map[bool]int{false: http.StatusOK, true: http.StatusTeapot} {
		synctest.Test(t, func(t *testing.T) {
			one, two := testconn.Pair()
			client := NewClientSession(one)
			server := NewServerSession(two, &http.Server{
				DisableGeneralOptionsHandler: disable,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(http.StatusTeapot)
				}),
			})
			go client.Serve()
			go server.Serve()
			defer server.Close()
			defer client.Close()
			status := func(method, path string) int {
				req, err := http.NewRequest(method, "http://example.com", nil)
				require.NoError(t, err)
				req.URL.Path = path
				res, err := client.RoundTrip(req)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				return res.StatusCode
			}
			require.Equal(t, want, status("OPTIONS", "*"))
			require.Equal(t, http.StatusTeapot, status("OPTIONS", "/"))
			require.Equal(t, http.StatusTeapot, status("GET", "/"))
		})
	}
}

// TestBodyAfterTheHandler: a body that somebody has kept says that it is closed,
// whatever was left of it.
func TestBodyAfterTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := make(chan io.ReadCloser, 1)
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { bodies <- r.Body }), rigSetup{})
		defer r.close()
		_, _, err := r.fetch(r.request("POST", "/", strings.NewReader("unread")))
		require.NoError(t, err)
		synctest.Wait()
		body := <-bodies
		_, err = body.Read(make([]byte, 1))
		require.Equal(t, http.ErrBodyReadAfterClose, err)
		require.NoError(t, body.Close())
	})
}

// TestHeadLikeGet: what an answer to HEAD says of its body is what one to GET would
// have said, and no trailer follows the body that is not there.
func TestHeadLikeGet(t *testing.T) {
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/trailer" {
			w.Header().Set("Trailer", "X-Sum")
			io.WriteString(w, "body")
			w.Header().Set("X-Sum", "42")
			return
		}
		_, _ = io.Copy(w, newPattern(1, int64(len(r.URL.RawQuery))))
	}, rigSetup{}, func(t *testing.T, r *rig) {
		for size, want := range map[int]int64{1: 1, answerBuffer: answerBuffer, answerBuffer + 1: -1} {
			for _, method := range []string{"GET", "HEAD"} {
				res, _, err := r.fetch(r.request(method, "/?"+strings.Repeat("x", size), nil))
				require.NoError(t, err)
				require.Equal(t, want, res.ContentLength, "%s of %d bytes", method, size)
			}
		}
		res, _, err := r.fetch(r.request("HEAD", "/trailer", nil))
		require.NoError(t, err)
		require.Equal(t, http.Header{"X-Sum": nil}, res.Trailer)
		require.EqualValues(t, -1, res.ContentLength)
	})
}

// TestLengthDoesNotDependOnTime: only a FIN on the SYN_REPLY says before the body is read
// that there is none. What has come by the time that RoundTrip looks makes no difference.
func TestLengthDoesNotDependOnTime(t *testing.T) {
	for name, c := range map[string]struct {
		reply *SynReplyFrame
		then  Frame
		want  int64
	}{
		"FIN with the reply":  {plainReply(1, FlagFin), nil, 0},
		"FIN by itself":       {plainReply(1, 0), &DataFrame{StreamID: 1, Flags: FlagFin}, -1},
		"FIN with trailers":   {plainReply(1, 0), &HeadersFrame{StreamID: 1, Flags: FlagFin, Headers: HeaderBlock{{"x-sum", "42"}}}, -1},
		"length and no bytes": {plainReply(1, 0, HeaderField{"content-length", "0"}), &DataFrame{StreamID: 1, Flags: FlagFin}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := loggedClient(t)
				req, err := http.NewRequest("GET", "http://example.com/", nil)
				require.NoError(t, err)
				up := &upload{st: s.newLocalStream(0), req: req}
				require.NoError(t, up.open())
				l.send(t, c.reply)
				if c.then != nil {
					l.send(t, c.then)
				}
				synctest.Wait()
				res, err := s.awaitResponse(up)
				require.NoError(t, err)
				require.Equal(t, c.want, res.ContentLength)
				require.Empty(t, res.Trailer, "before the body is read")
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				require.Empty(t, body)
				require.Equal(t, name == "FIN with trailers", res.Trailer.Get("X-Sum") == "42")
			})
		})
	}
}
