package spdy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// httputil.ReverseProxy over SPDY, and what else net/http does with a RoundTripper.

// TestReverseProxyHangUp: the browser hangs up, the origin's request context ends at
// once, and one RST_STREAM is on the wire.
func TestReverseProxyHangUp(t *testing.T) {
	for _, rt := range []string{"Session", "Client", "Transport"} {
		for _, phase := range []string{"before the headers", "in the body"} {
			story(t, rt+"/"+phase, func(t *testing.T) {
				began, ended := make(chan struct{}), make(chan error, 1)
				var since time.Time
				origin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if phase == "in the body" {
						fmt.Fprint(w, "half of ")
						w.(http.Flusher).Flush()
					}
					close(began)
					<-r.Context().Done()
					since = time.Now()
					assert.Equal(t, context.Canceled, context.Cause(r.Context()))
					_, err := w.Write(make([]byte, 2*answerBuffer))
					ended <- err
				})
				cc, sc := testconn.Pair(testconn.First(testconn.Record()))
				server := (&Config{Version: SPDY31}).ServerSession(sc, &http.Server{Handler: origin})
				served := make(chan error, 1)
				go func() { served <- server.Serve() }()
				proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "origin.example"})
				proxy.ErrorLog = quietLog
				var stop func()
				switch rt {
				case "Session":
					s := NewClientSession(cc)
					go s.Serve()
					proxy.Transport, stop = s, s.Close
				case "Client":
					c, err := NewClientConn(cc)
					require.NoError(t, err)
					proxy.Transport, stop = c, func() { c.Close() }
				case "Transport":
					tr := &Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return cc, nil }}
					proxy.Transport, stop = tr, tr.CloseIdleConnections
				}
				front := &http.Server{Handler: proxy, ErrorLog: quietLog}
				ln := testconn.Listen()
				fronted := make(chan error, 1)
				go func() { fronted <- front.Serve(ln) }()

				browser, err := ln.Dial()
				require.NoError(t, err)
				_, err = io.WriteString(browser, "GET /film HTTP/1.1\r\nHost: front.example\r\n\r\n")
				require.NoError(t, err)
				<-began
				if phase == "in the body" {
					res, err := http.ReadResponse(bufio.NewReader(browser), nil)
					require.NoError(t, err)
					p := make([]byte, 8)
					_, err = io.ReadFull(res.Body, p)
					require.NoError(t, err)
					require.Equal(t, "half of ", string(p))
				}
				hungUp := time.Now()
				require.NoError(t, browser.Close())
				var reset *StreamError
				require.True(t, errors.As(<-ended, &reset))
				require.Equal(t, RstCancel, reset.Status)
				require.Zero(t, since.Sub(hungUp), "at once")
				synctest.Wait()
				require.Equal(t, 1, countFrames(t, cc.Sent(), FrameRstStream))
				stop()
				require.NoError(t, front.Close())
				require.ErrorIs(t, <-fronted, http.ErrServerClosed)
				server.Close()
				require.NoError(t, <-served)
			})
		}
	}
}

// countFrames counts the control frames of a type in what was written.
func countFrames(t *testing.T, b []byte, typ FrameType) (n int) {
	for len(b) >= frameHeaderSize {
		h := parseFrameHeader(b)
		if h.control && h.typ == typ {
			n++
		}
		b = b[frameHeaderSize+h.length:]
	}
	require.Empty(t, b)
	return n
}

// TestTransportClient: what http.Client adds works over a Transport.
func TestTransportClient(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/old":
			http.Redirect(w, r, "/new", http.StatusTemporaryRedirect)
		case "/slow":
			select {
			case <-time.After(time.Hour):
			case <-r.Context().Done():
			}
		default:
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
		}
	}
	poolTest(t, h, nil, func(t *testing.T, r *poolRig) {
		client := &http.Client{Transport: r.tr}
		req := r.request("POST", "http://a.example/old", nil)
		body := func() (io.ReadCloser, error) { return io.NopCloser(newPattern(1, 4)), nil }
		req.Body, _ = body()
		req.GetBody, req.ContentLength = body, 4
		res, err := client.Do(req)
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		want, _ := io.ReadAll(newPattern(1, 4))
		require.Equal(t, "POST /new "+string(want), string(text), "the body is sent again")

		client.Timeout = time.Second
		_, err = client.Get("http://a.example/slow")
		var timeout *url.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
		client.CloseIdleConnections()
		require.Zero(t, r.sessions())
	})
}

// TestTransportPings: a peer that has vanished is noticed by all callers within
// PingInterval and PingTimeout, and further requests go elsewhere.
func TestTransportPings(t *testing.T) {
	poolTest(t, slowHandler, func(r *poolRig) {
		r.tr.Config = &Config{PingInterval: 10 * time.Second, PingTimeout: 5 * time.Second, Logger: quietConfig.Logger}
	}, func(t *testing.T, r *poolRig) {
		var calls []*poolCall
		for range 2 {
			calls = append(calls, r.start(r.request("POST", "http://a.example/slow", nil))) // not sent again
		}
		synctest.Wait()
		start := time.Now()
		r.conns[0].SetBlackHole(true)
		r.conns[0].Peer().SetBlackHole(true)
		for _, c := range calls {
			<-c.end
			require.ErrorIs(t, c.err, ErrPingTimeout)
		}
		require.LessOrEqual(t, time.Since(start), 15*time.Second)
		require.Equal(t, "a.example/", r.get("http://a.example/"))
		require.Equal(t, 2, r.dials())
		r.conns[0].Peer().Close()
	})
}
