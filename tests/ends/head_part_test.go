package ends

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/tests/bubble"
)

// TestHeadOfALongAnswer: the handler of a HEAD has written more than a buffer, and does not
// come to its end. The client has the headers all the same, as in net/http, in HTTP/2 at once.
func TestHeadOfALongAnswer(t *testing.T) {
	for _, protocol := range bodyProtocols {
		bubble.Run(t, protocol, func(t *testing.T) {
			more := make(chan struct{})
			p := newBodyPair(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
				for range 100 {
					n, err := w.Write(make([]byte, 1000))
					if protocol != "h2" && (n != 1000 || err != nil) { // its writes fail behind the headers
						t.Error(n, err)
					}
				}
				<-more
				panic(http.ErrAbortHandler)
			}, nil)
			req, err := http.NewRequest("HEAD", "http://ends.example/", nil)
			require.NoError(t, err)
			answers, failed := make(chan *http.Response, 1), make(chan error, 1)
			go func() {
				res, err := p.client.RoundTrip(req)
				answers <- res
				failed <- err
			}()
			synctest.Wait()
			if protocol != "HTTP/1.1" { // it sends no headers while there is room in the connection's buffer
				require.Len(t, answers, 1)
			}
			close(more)
			res := <-answers
			require.NoError(t, <-failed)
			defer res.Body.Close()
			require.Equal(t, http.StatusOK, res.StatusCode)
			require.EqualValues(t, -1, res.ContentLength)
			got, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Empty(t, got)
		})
	}
}

// TestHeadOfAFailedAnswer: the handler panics at once behind more than a buffer.
func TestHeadOfAFailedAnswer(t *testing.T) {
	for _, protocol := range bodyProtocols {
		bubble.Run(t, protocol, func(t *testing.T) {
			p := newBodyPair(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write(make([]byte, 4000))
				_, _ = w.Write(make([]byte, 4000))
				panic(http.ErrAbortHandler)
			}, nil)
			req, err := http.NewRequest("HEAD", "http://ends.example/", nil)
			require.NoError(t, err)
			res, err := p.client.RoundTrip(req)
			require.NoError(t, err)
			defer res.Body.Close()
			require.Equal(t, http.StatusOK, res.StatusCode)
		})
	}
}

// TestLateInvalidStatus shows that WriteHeader with an invalid status panics only before the headers
// are written: afterwards the call has no effect.
func TestLateInvalidStatus(t *testing.T) {
	for _, protocol := range bodyProtocols {
		for _, late := range []bool{false, true} {
			bubble.Run(t, fmt.Sprint(protocol, "/late=", late), func(t *testing.T) {
				panics := make(chan bool, 1)
				p := newBodyPair(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
					if late {
						_, _ = io.WriteString(w, "foo")
					}
					func() {
						defer func() { panics <- recover() != nil }()
						w.WriteHeader(0)
					}()
					_, _ = io.WriteString(w, "bar")
				}, nil)
				req, err := http.NewRequest("GET", "http://ends.example/", nil)
				require.NoError(t, err)
				res, err := p.client.RoundTrip(req)
				require.NoError(t, err)
				defer res.Body.Close()
				got, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				require.Equal(t, late, !<-panics)
				require.Equal(t, map[bool]string{false: "bar", true: "foobar"}[late], string(got))
			})
		}
	}
}
