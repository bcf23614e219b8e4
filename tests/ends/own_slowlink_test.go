package ends

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// ownTestServers are servers for tests, the oracle first. Both listen at ln, and have a handler.
var ownTestServers = map[string]func(ln net.Listener, h http.Handler) (end func()){
	"httptest": func(ln net.Listener, h http.Handler) func() {
		srv := httptest.NewUnstartedServer(h)
		srv.Listener.Close()
		srv.Listener = ln
		srv.Start()
		return srv.Close
	},
	"spdytest": func(ln net.Listener, h http.Handler) func() {
		srv := spdytest.NewUnstartedServer(h)
		srv.Listener.Close()
		srv.Listener = ln
		srv.Start()
		return srv.Close
	},
}

// TestOwnTestServerSlowLink: an answer that was written when Close was called arrives, over a link of
// 32 KiB/s. Close of spdytest waits for it in its session; httptest leaves it to the kernel.
func TestOwnTestServerSlowLink(t *testing.T) {
	for server, serve := range ownTestServers {
		for _, protocol := range bodyProtocols {
			v := spdyVersion(protocol)
			if protocol == "h2" || v != 0 && server == "httptest" {
				continue
			}
			for _, size := range []int{100, 48 << 10, 200 << 10, 1 << 20} {
				bubble.Run(t, fmt.Sprint(server, "/", protocol, "/", size), func(t *testing.T) {
					ln := testconn.Listen()
					written := make(chan struct{})
					end := serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						_, err := w.Write(abandonedAnswer(1, size))
						assert.NoError(t, err)
						close(written)
					}))
					client := ownSlowClient(ln, v)
					got := make(chan error, 1)
					go func() {
						res, err := client.Get("http://ends.example/")
						if err == nil {
							got <- ownWantAnswer(res, size)
							return
						}
						got <- err
					}()
					<-written
					bubble.Pass(10 * time.Millisecond) // the handler returns
					began := time.Now()
					end()
					require.Less(t, time.Since(began), time.Duration(size)*time.Second/(32<<10)+3*time.Second)
					require.NoError(t, <-got)
					client.CloseIdleConnections()
					bubble.Pass(time.Minute)
				})
			}
		}
	}
}

// ownSlowClient is a client that dials at ln, over a slow link. v is 0 for HTTP/1.1.
func ownSlowClient(ln *testconn.Listener, v spdy.Version) *http.Client {
	dial := func(context.Context, string, string) (net.Conn, error) {
		conn, err := ln.Dial()
		if err != nil {
			return nil, err
		}
		conn.Peer().SetBandwidth(32 << 10)
		testconn.StrictClose()(conn)
		testconn.StrictClose()(conn.Peer())
		return conn, nil
	}
	if v == 0 {
		return &http.Client{Transport: &http.Transport{DialContext: dial}}
	}
	return &http.Client{Transport: &spdy.Transport{DialContext: dial, Config: bubble.Quiet(spdy.Config{}, v)}}
}

// ownWantAnswer reads an answer.
func ownWantAnswer(res *http.Response, size int) error {
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err == nil && sha256.Sum256(got) != sha256.Sum256(abandonedAnswer(1, size)) {
		err = fmt.Errorf("%d bytes, which are not those of the answer", len(got))
	}
	return err
}

// TestOwnTestServerMute: a client that has read a small answer, and neither confirms that nor hangs
// up, keeps Close waiting for a second.
func TestOwnTestServerMute(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		ln := testconn.Listen()
		end := ownTestServers["spdytest"](ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
		}))
		conn, err := ln.Dial()
		require.NoError(t, err)
		f := spdy.NewFramer(conn, conn, v)
		head := spdy.HeaderBlock{
			{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":host", Value: "ends.example"},
			{Name: ":path", Value: "/"}, {Name: ":version", Value: "HTTP/1.1"},
		}
		if v == spdy.SPDY2 {
			head = spdy.HeaderBlock{
				{Name: "method", Value: "GET"}, {Name: "scheme", Value: "http"}, {Name: "host", Value: "ends.example"},
				{Name: "url", Value: "/"}, {Name: "version", Value: "HTTP/1.1"},
			}
		}
		require.NoError(t, f.WriteFrame(&spdy.SynStreamFrame{StreamID: 1, Flags: spdy.FlagFin, Headers: head}))
		for {
			frame, err := f.ReadFrame()
			require.NoError(t, err)
			if d, ok := frame.(*spdy.DataFrame); ok {
				require.Equal(t, "hello", string(d.Data))
				break
			}
		}
		began := time.Now()
		end()
		require.Less(t, time.Since(began), 1500*time.Millisecond)
		conn.Close()
		bubble.Pass(time.Minute)
	})
}
