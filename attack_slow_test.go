package spdy

import (
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A slowStart is a peer that takes its time to begin with. It does so until it has
// nothing left to send or the connection ends, and then for ever.
type slowStart struct {
	name string
	send func(syn []byte) [][]byte // one a second
}

var slowStarts = []slowStart{
	{"says nothing", func([]byte) [][]byte { return nil }},
	{"a byte", func(syn []byte) [][]byte { return [][]byte{syn[:1]} }},
	{"half a frame", func(syn []byte) [][]byte { return [][]byte{syn[:20]} }},
	{"a byte a second", func(syn []byte) (each [][]byte) {
		for i := range syn {
			each = append(each, syn[i:i+1])
		}
		return each
	}},
	{"all but one of the first frame, at a byte a second", func(syn []byte) (each [][]byte) {
		each = [][]byte{syn[:len(syn)-1]}
		for range 30 {
			each = append(each, nil)
		}
		return append(each, syn[len(syn)-1:])
	}},
}

// trickle sends pieces to conn, one a second, until it is closed, and returns how long
// that took: at most an hour.
func trickle(t *testing.T, conn net.Conn, pieces [][]byte) time.Duration {
	start, gone := time.Now(), make(chan time.Duration, 1)
	go func() {
		for b := make([]byte, 4096); ; {
			if _, err := conn.Read(b); err != nil {
				gone <- time.Since(start)
				return
			}
		}
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for time.Since(start) < time.Hour {
		if len(pieces) > 0 {
			if _, err := conn.Write(pieces[0]); err != nil {
				pieces = nil
			} else {
				pieces = pieces[1:]
			}
		}
		synctest.Wait()
		select {
		case after := <-gone:
			return after
		case <-tick.C:
		}
	}
	conn.Close()
	<-gone
	return time.Hour
}

// firstSyn is the first frame of a client in a version.
func firstSyn(t testing.TB, v Version) []byte {
	mine, theirs := testconn.Pair(testconn.Record())
	defer theirs.Close()
	require.NoError(t, NewFramer(mine, nil, v).WriteFrame(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v)}))
	return mine.Sent()
}

// A23, slowloris: a server gives a client ten seconds for its first frame and for every
// frame with headers, whatever limits it has been given or not.
func TestAttackA23SlowStart(t *testing.T) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})
	for _, v := range everyVersion {
		syn := firstSyn(t, v)
		for _, slow := range slowStarts {
			wantCut := func(name string) func(s *site) {
				return func(s *site) {
					start := time.Now()
					conn := s.dial(v.String())
					require.Equal(s.t, defaultFirstFrameTimeout, trickle(s.t, conn, slow.send(syn))+start.Sub(start), name)
				}
			}
			name := "server/" + versionElement(v) + "/" + slow.name
			siteTest(t, name+"/plain", &Server{Handler: hello, Config: &Config{Version: v}}, false, wantCut(name))
			siteTest(t, name+"/TLS", &Server{Handler: hello}, true, wantCut(name))
			configuredTest(t, name+"/http.Server", &http.Server{Handler: hello}, nil, wantCut(name))
			story(t, name+"/session by hand", func(t *testing.T) {
				ours, conn := testconn.Pair()
				s := (&Config{Version: v, Logger: quietConfig.Logger}).ServerSession(ours, &http.Server{Handler: hello})
				ended := make(chan error, 1)
				go func() { ended <- s.Serve() }()
				after := trickle(t, conn, slow.send(syn))
				require.InDelta(t, defaultFirstFrameTimeout, after, float64(linger), "it says GOAWAY, and has a second to see it")
				conn.Close()
				var failure net.Error
				require.ErrorAs(t, <-ended, &failure)
				require.True(t, failure.Timeout())
			})
		}
	}
	testSlowHandshake(t, hello)
	testSlowRaw(t)
	testSlowLater(t)
}

// testSlowHandshake is about clients that do not get as far as to say what they speak.
func testSlowHandshake(t *testing.T, hello http.Handler) {
	for name, first := range map[string]string{"says nothing": "", "half a hello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc"} {
		siteTest(t, "server/handshake/"+name, &Server{Handler: hello}, true, func(s *site) {
			conn, err := s.ln.Dial()
			require.NoError(s.t, err)
			require.Equal(s.t, defaultFirstFrameTimeout, trickle(s.t, conn, [][]byte{[]byte(first)}))
			require.Empty(s.t, s.srv.(*Server).strangers.timers)
		})
	}
	siteTest(t, "server/handshake/and then silence, in HTTP/1.1", &Server{Handler: hello}, true, func(s *site) {
		require.Equal(s.t, defaultFirstFrameTimeout, trickle(s.t, s.dial("http/1.1"), nil))
	})
	siteTest(t, "server/handshake/idle later", &Server{Handler: hello}, true, func(s *site) {
		tr := s.http1("http/1.1")
		for range 3 {
			_, err := fetchURL(tr, s.url("/"))
			require.NoError(s.t, err)
			<-time.After(time.Hour)
		}
		c := s.client()
		_, err := fetchURL(c, s.url("/"))
		require.NoError(s.t, err)
		<-time.After(time.Hour)
		_, err = fetchURL(c, s.url("/"))
		require.NoError(s.t, err, "an idle session is up to IdleTimeout")
		require.NoError(s.t, c.Close())
		tr.CloseIdleConnections()
	})
	for name, limits := range map[string]*Server{
		"of the sessions": {Config: &Config{FirstFrameTimeout: 3 * time.Second}},
		"of the server":   {Config: &Config{FirstFrameTimeout: time.Hour}, ReadHeaderTimeout: 3 * time.Second},
		"for all reading": {ReadTimeout: 3 * time.Second},
	} {
		for kind, secure := range map[string]bool{"plain": false, "TLS": true} {
			srv := &Server{Handler: hello, Config: limits.Config, ReadHeaderTimeout: limits.ReadHeaderTimeout, ReadTimeout: limits.ReadTimeout}
			siteTest(t, "server/limit "+name+"/"+kind, srv, secure, func(s *site) {
				require.Equal(s.t, 3*time.Second, trickle(s.t, s.dial("spdy/3.1"), nil))
			})
		}
	}
	siteTest(t, "server/no limit", &Server{Handler: hello, Config: &Config{FirstFrameTimeout: -1}}, false, func(s *site) {
		require.Equal(s.t, time.Hour, trickle(s.t, s.dial(), nil))
	})
}

// testSlowRaw: raw sessions, whose peers may have nothing to say for long, and sessions
// that ask have the limit if they are given one.
func testSlowRaw(t *testing.T) {
	attackStory(t, "raw", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		for limit, want := range map[time.Duration]time.Duration{0: time.Hour, -1: time.Hour, 20 * time.Second: 20 * time.Second} {
			ours, conn := testconn.Pair()
			s := (&Config{Version: v, FirstFrameTimeout: limit, Logger: quietConfig.Logger}).RawSession(ours, r == asClient)
			ended := make(chan error, 1)
			go func() { ended <- s.Serve() }()
			require.InDelta(t, want, trickle(t, conn, nil), float64(linger), "limit %v", limit)
			conn.Close()
			<-ended
		}
	})
	attackStory(t, "asks", victimClient, everyVersion, func(t *testing.T, r role, v Version) {
		p := newPeer(t, r, peerOpts{version: v, conf: Config{FirstFrameTimeout: 5 * time.Second}, app: newHTTPClientApp(nil)})
		g := p.startGet("/")
		p.wantSynStream("a request", 1)
		p.advance(5*time.Second - 1)
		g.pending("it waits for the server")
		p.advance(1)
		g.wait("not for ever")
		require.ErrorIs(t, g.err, errFrameTimeout)
	})
}

// testSlowLater: a frame with headers has its time whenever it begins, a body takes as
// long as it takes.
func testSlowLater(t *testing.T) {
	for _, v := range everyVersion {
		syn := firstSyn(t, v)
		conf := &Config{Version: v, Logger: quietConfig.Logger}
		srv := func() *Server {
			return &Server{Config: conf, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := copyByRead(discardWriter{}, r.Body, 100)
				assert.NoError(t, err)
			})}
		}
		siteTest(t, "server/"+versionElement(v)+"/a later frame", srv(), false, func(s *site) {
			conn := s.dial()
			settings := append([]byte(nil), synOf(s.t, v, &SettingsFrame{})...)
			_, err := conn.Write(settings)
			require.NoError(s.t, err)
			<-time.After(time.Minute)
			var each [][]byte
			for i := range syn {
				each = append(each, syn[i:i+1])
			}
			require.InDelta(s.t, defaultFirstFrameTimeout, trickle(s.t, conn, each), float64(linger))
		})
		siteTest(t, "server/"+versionElement(v)+"/a slow body", srv(), false, func(s *site) {
			conn := s.dial()
			f := NewFramer(conn, conn, v)
			require.NoError(s.t, f.WriteFrame(&SynStreamFrame{StreamID: 1, Headers: plainGet(v, ":method", "POST")}))
			data := appendDataHeader(nil, 1, FlagFin, 60)
			for _, b := range append([][]byte{data}, make([][]byte, 60)...) {
				if b == nil {
					b = []byte("x")
				}
				_, err := conn.Write(b)
				require.NoError(s.t, err)
				<-time.After(time.Second)
			}
			for answered := false; !answered; {
				frame, err := f.ReadFrame()
				require.NoError(s.t, err)
				_, answered = frame.(*SynReplyFrame)
			}
			conn.Close()
		})
	}
}

type discardWriter struct{}

func (discardWriter) Write(p []byte) (int, error) { return len(p), nil }

// synOf is a frame as it is on the wire.
func synOf(t testing.TB, v Version, frame Frame) []byte {
	mine, theirs := testconn.Pair(testconn.Record())
	defer theirs.Close()
	require.NoError(t, NewFramer(mine, nil, v).WriteFrame(frame))
	return mine.Sent()
}
