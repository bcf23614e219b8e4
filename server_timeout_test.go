package spdy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// synFrame is a whole SYN_STREAM for a GET of /.
func synFrame(t testing.TB) []byte {
	var b strings.Builder
	f := NewFramer(&b, nil, SPDY31)
	require.NoError(t, f.WriteFrame(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(SPDY31)}))
	return []byte(b.String())
}

// TestReadHeaderTimeout: clients that keep a server waiting are cut, and no others.
func TestReadHeaderTimeout(t *testing.T) {
	hello := func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }
	server := func() *Server {
		return &Server{Handler: http.HandlerFunc(hello), ReadHeaderTimeout: 10 * time.Second}
	}
	each := func(name string, f func(s *site)) {
		siteTest(t, name+"/plain", server(), false, f)
		siteTest(t, name+"/TLS", server(), true, f)
		configuredTest(t, name+"/http.Server", &http.Server{Handler: http.HandlerFunc(hello), ReadHeaderTimeout: 10 * time.Second}, nil, f)
		srv := server()
		srv.ReadHeaderTimeout, srv.ReadTimeout, srv.IdleTimeout = 0, 10*time.Second, -1
		siteTest(t, name+"/ReadTimeout", srv, false, f)
	}
	syn := synFrame(t)
	for name, first := range map[string][]byte{
		"nothing":              nil,
		"one byte":             syn[:1],
		"two bytes":            syn[:2],
		"less than a head":     syn[:7],
		"half a frame":         syn[:20],
		"all but the last one": syn[:len(syn)-1],
	} {
		each(name, func(s *site) {
			start, conn := time.Now(), s.dial("spdy/3.1")
			_, err := conn.Write(first)
			require.NoError(s.t, err)
			s.wantCut(name, conn, 10*time.Second-time.Since(start))
		})
	}
	each("a byte a second", func(s *site) {
		conn := s.dial("spdy/3.1")
		gone := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, conn)
			gone <- err
		}()
		for _, b := range syn[:10] {
			<-time.After(time.Second - 1)
			_, err := conn.Write([]byte{b})
			require.NoError(s.t, err)
		}
		<-time.After(10)
		synctest.Wait()
		require.Len(s.t, gone, 1)
		conn.Close()
	})
	for name, size := range map[string]int{"half a frame": 30, "half a head": 5} {
		each(name+", later", func(s *site) {
			f, conn := s.peer()
			require.NoError(s.t, f.WriteFrame(&SettingsFrame{}))
			<-time.After(5 * time.Second)
			_, err := conn.Write(syn[:size])
			require.NoError(s.t, err)
			s.wantCut("a frame that stops", conn, 10*time.Second)
		})
	}
	each("long frames in time, long bodies in pieces", func(s *site) {
		conn := s.dial("spdy/3.1")
		var frame bytes.Buffer
		f := NewFramer(&frame, conn, SPDY31)
		for id := uint32(1); id <= 3; id += 2 {
			require.NoError(s.t, f.WriteFrame(&SynStreamFrame{StreamID: id, Headers: plainGet(SPDY31, ":method", "POST")}))
			for _, part := range [][]byte{frame.Next(5), frame.Next(4), frame.Next(frame.Len())} {
				_, err := conn.Write(part)
				require.NoError(s.t, err)
				<-time.After(3 * time.Second)
			}
		}
		data := appendDataHeader(nil, 3, 0, 90)
		_, err := conn.Write(data[:6])
		require.NoError(s.t, err)
		<-time.After(3 * time.Second)
		_, err = conn.Write(data[6:])
		require.NoError(s.t, err)
		for range 9 { // less than ReadTimeout
			<-time.After(900 * time.Millisecond)
			_, err := conn.Write(make([]byte, 10))
			require.NoError(s.t, err)
		}
		require.NoError(s.t, f.WriteFrame(&PingFrame{ID: 1}))
		_, err = conn.Write(frame.Bytes())
		require.NoError(s.t, err)
		for alive := false; !alive; {
			frame, err := f.ReadFrame()
			require.NoError(s.t, err)
			_, alive = frame.(*PingFrame)
		}
		conn.Close()
	})
	siteTest(t, "HTTP/1.1", server(), false, func(s *site) {
		conn := s.dial()
		_, err := io.WriteString(conn, "GET / HTTP/1.1\r\n")
		require.NoError(s.t, err)
		s.wantCut("half a header", conn, 10*time.Second)
	})
	siteTest(t, "no limit", &Server{ReadTimeout: time.Second, ReadHeaderTimeout: -1, IdleTimeout: -1}, false, func(s *site) {
		silent := s.dial()
		<-time.After(time.Hour)
		_, err := silent.Write(syn)
		require.NoError(s.t, err)
		reply := NewFramer(silent, silent, SPDY31)
		for answered := false; !answered; {
			frame, err := reply.ReadFrame()
			require.NoError(s.t, err)
			_, answered = frame.(*SynReplyFrame)
		}
		silent.Close()
	})
	siteTest(t, "a handshake that stops", server(), true, func(s *site) {
		conn, err := s.ln.Dial()
		require.NoError(s.t, err)
		s.wantCut("no TLS", conn, 10*time.Second)
	})
}

// eachServer runs f with a Server and with an http.Server that have a field set by set.
func eachServer(t *testing.T, h http.HandlerFunc, set func(hs *http.Server), f func(s *site)) {
	var hs http.Server
	set(&hs)
	srv := &Server{
		Handler: h, ReadTimeout: hs.ReadTimeout, WriteTimeout: hs.WriteTimeout, IdleTimeout: hs.IdleTimeout,
		MaxHeaderBytes: hs.MaxHeaderBytes, ConnState: hs.ConnState,
	}
	siteTest(t, "Server", srv, false, f)
	siteTest(t, "http.Server", &Server{
		Handler: h, ReadTimeout: hs.ReadTimeout, WriteTimeout: hs.WriteTimeout, IdleTimeout: hs.IdleTimeout,
		MaxHeaderBytes: hs.MaxHeaderBytes, ConnState: hs.ConnState,
	}, true, f)
	hs.Handler = h
	configuredTest(t, "ConfigureServer", &hs, nil, f)
}

// TestReadTimeout: a body that comes too slowly is an error to its handler, and
// nothing else suffers.
func TestReadTimeout(t *testing.T) {
	eachServer(t, func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		if r.URL.Path == "/patient" {
			c := http.NewResponseController(w)
			assert.NoError(t, c.SetReadDeadline(start.Add(time.Minute)))
		}
		_, err := io.Copy(io.Discard, r.Body)
		want := 5 * time.Second
		if r.URL.Path == "/patient" {
			want = time.Minute
		}
		if r.Method == "POST" {
			assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.Equal(t, want, time.Since(start))
			http.Error(w, "too slow", http.StatusRequestTimeout)
		}
	}, func(hs *http.Server) { hs.ReadTimeout = 5 * time.Second }, func(s *site) {
		c := s.client()
		for _, path := range []string{"/", "/patient"} {
			body := newBlockedBody(10)
			req, err := http.NewRequest("POST", s.url(path), body)
			require.NoError(s.t, err)
			res, err := c.Do(req)
			require.NoError(s.t, err)
			require.Equal(s.t, http.StatusRequestTimeout, res.StatusCode)
			res.Body.Close()
			_, err = fetchURL(c, s.url("/other"))
			require.NoError(s.t, err, "the session lives on")
		}
		start := time.Now()
		<-c.Session().Done()
		require.Equal(s.t, 5*time.Second, time.Since(start), "it is the IdleTimeout too")
		require.NoError(s.t, c.Close())
	})
}

// TestWriteTimeoutOfServer: an answer that takes too long is cut off, whoever is slow.
func TestWriteTimeoutOfServer(t *testing.T) {
	var ended chan error
	eachServer(t, func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		switch r.URL.Path {
		case "/thinks":
			<-time.After(10 * time.Second)
			io.WriteString(w, "too late")
			ended <- c.Flush()
		case "/thinks in silence":
			<-r.Context().Done()
			ended <- context.Cause(r.Context())
		case "/talks": // to a client that does not listen
			_, err := w.Write(make([]byte, 1<<20))
			ended <- err
		case "/leaves":
			_, err := w.Write(make([]byte, defaultStreamWindow-1000))
			ended <- err
			_, err = w.Write(make([]byte, 2000)) // is kept back, and more than the client takes
			assert.NoError(t, err)
		case "/asks for more":
			assert.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Minute)))
			<-time.After(10 * time.Second)
			ended <- nil
		case "/asks for less":
			assert.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
			<-time.After(3 * time.Second)
			ended <- nil
		case "/asks for ever":
			assert.NoError(t, c.SetWriteDeadline(time.Time{}))
			<-time.After(time.Hour)
			ended <- nil
		}
	}, func(hs *http.Server) { hs.WriteTimeout = 5 * time.Second }, func(s *site) {
		ended = make(chan error, 1) // belongs to the bubble
		c := s.client()
		for _, path := range []string{"/thinks", "/thinks%20in%20silence"} {
			start := time.Now()
			_, err := fetchURL(c, s.url(path))
			requireReset(s.t, path, err, RstInternalError, true)
			require.Equal(s.t, 5*time.Second, time.Since(start), "nobody waits for the handler")
			require.ErrorIs(s.t, <-ended, os.ErrDeadlineExceeded, path)
		}
		for _, path := range []string{"/talks", "/leaves"} {
			res, err := c.Do(mustRequest(s.t, s.url(path)))
			require.NoError(s.t, err)
			if err := <-ended; path == "/talks" {
				require.ErrorIs(s.t, err, os.ErrDeadlineExceeded)
			} else {
				require.NoError(s.t, err)
			}
			<-time.After(5 * time.Second)
			synctest.Wait()
			_, err = io.Copy(io.Discard, res.Body)
			requireTruncated(s.t, err, path)
			requireReset(s.t, path, err, RstInternalError, true)
			res.Body.Close()
		}
		for _, path := range []string{"/asks%20for%20more", "/asks%20for%20less", "/asks%20for%20ever"} {
			_, err := fetchURL(c, s.url(path))
			require.NoError(s.t, err)
			require.NoError(s.t, <-ended)
		}
		require.NoError(s.t, c.Close())
	})
}

func TestIdleTimeoutOfServer(t *testing.T) {
	eachServer(t, func(w http.ResponseWriter, r *http.Request) { <-time.After(time.Hour) },
		func(hs *http.Server) { hs.IdleTimeout = time.Minute }, func(s *site) {
			c := s.client()
			for range 3 {
				_, err := fetchURL(c, s.url("/"))
				require.NoError(s.t, err)
				<-time.After(time.Minute - 1)
			}
			require.NoError(s.t, c.Session().Err())
			<-time.After(1)
			synctest.Wait()
			require.ErrorIs(s.t, c.Session().Err(), ErrSessionClosed, "a GOAWAY, and a clean end")
			c.Close()
		})
	siteTest(t, "the sessions' own", &Server{IdleTimeout: time.Second, Config: &Config{IdleTimeout: time.Minute}}, false, func(s *site) {
		c := s.client()
		start := time.Now()
		<-c.Session().Done()
		require.Equal(s.t, time.Minute, time.Since(start))
		c.Close()
	})
}

func TestMaxHeaderBytesOfServer(t *testing.T) {
	big := func(s *site, c *Client) error {
		req := mustRequest(s.t, s.url("/"))
		req.Header.Set("X-Big", strings.Repeat("x", 20_000))
		res, err := c.Do(req)
		if err == nil {
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				err = errors.New(res.Status)
			}
		}
		return err
	}
	ok := func(w http.ResponseWriter, r *http.Request) {}
	eachServer(t, ok, func(hs *http.Server) { hs.MaxHeaderBytes = 10_000 }, func(s *site) {
		c := s.client()
		require.EqualError(s.t, big(s, c), "431 Request Header Fields Too Large")
		_, err := fetchURL(c, s.url("/"))
		require.NoError(s.t, err)
		require.NoError(s.t, c.Close())
	})
	siteTest(t, "the sessions' own", &Server{
		Handler: http.HandlerFunc(ok), MaxHeaderBytes: 10_000, Config: &Config{MaxHeaderBytes: 100_000},
	}, false, func(s *site) {
		c := s.client()
		require.NoError(s.t, big(s, c))
		require.NoError(s.t, c.Close())
	})
}

// TestServingOptions: what http.Server fields mean for a session that is served by hand.
func TestServingOptions(t *testing.T) {
	hs := &http.Server{IdleTimeout: time.Minute, ReadTimeout: time.Hour, ReadHeaderTimeout: -1, MaxHeaderBytes: 5}
	d := (*Config)(nil).serving(hs)
	require.Equal(t, &Config{IdleTimeout: time.Minute, MaxHeaderBytes: blockBytes(5), FirstFrameTimeout: -1}, d)
	own := &Config{IdleTimeout: -1, MaxHeaderBytes: 7, Logger: quietConfig.Logger}
	d = own.serving(&http.Server{ReadTimeout: time.Hour, MaxHeaderBytes: 5, ErrorLog: quietLog})
	require.Equal(t, &Config{IdleTimeout: -1, MaxHeaderBytes: 7, Logger: quietConfig.Logger, FirstFrameTimeout: time.Hour}, d)
	require.Equal(t, &Config{IdleTimeout: -1, MaxHeaderBytes: 7, Logger: quietConfig.Logger}, own, "the user's is left alone")
	require.Equal(t, 10*time.Second, handshakeLimit(&http.Server{ReadTimeout: -1}))
	require.Equal(t, time.Second, handshakeLimit(&http.Server{ReadTimeout: time.Minute, WriteTimeout: time.Second}))
	var failure net.Error
	require.True(t, errors.As(errFrameTimeout, &failure) && failure.Timeout())
}
