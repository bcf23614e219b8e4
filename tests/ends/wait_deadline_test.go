package ends

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// waitTries is how often a call and the first deadline begin at the same time.
const waitTries = 20

// TestFirstDeadlineBesideFirstCall sets the first deadline of a stream beside the first call
// that waits on it, many times. Every call fails by the deadline.
func TestFirstDeadlineBesideFirstCall(t *testing.T) {
	type first struct {
		name string
		set  func(r *spdy.RawStream, at time.Time) error
		call func(r *spdy.RawStream) error
	}
	for _, c := range []first{
		{"Read", (*spdy.RawStream).SetReadDeadline, func(r *spdy.RawStream) error {
			_, err := r.Read(make([]byte, 1))
			return err
		}},
		{"ReadFrame", (*spdy.RawStream).SetReadDeadline, func(r *spdy.RawStream) error {
			_, err := r.ReadFrame()
			return err
		}},
		{"WriteTo", (*spdy.RawStream).SetDeadline, func(r *spdy.RawStream) error {
			_, err := r.WriteTo(io.Discard)
			return err
		}},
		{"Write", (*spdy.RawStream).SetWriteDeadline, func(r *spdy.RawStream) error {
			_, err := r.Write(make([]byte, waitSize))
			return err
		}},
		{"Write in the queue", (*spdy.RawStream).SetWriteDeadline, func(r *spdy.RawStream) error {
			var errs [3]error
			var group sync.WaitGroup
			for i := range errs {
				group.Go(func() { _, errs[i] = r.Write(make([]byte, waitSize)) })
			}
			group.Wait()
			for _, err := range errs {
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					return err
				}
			}
			return errs[0]
		}},
	} {
		waitRoles(t, c.name, func(t *testing.T, v spdy.Version, client bool) {
			p := newWaitPeer(t, v, client)
			p.ours.SetWriteCap(16 << 10)
			for i := range waitTries {
				d := time.Duration(i%2) * time.Second // the deadline has passed, or will
				r := openWithoutReply(t, p, client, i)
				p.ours.SetHold(true)
				call := waitStart(c.name, func() (int64, error) { return 0, c.call(r) })
				set := waitStart("deadline", func() (int64, error) { return 0, c.set(r, time.Now().Add(d)) })
				set.endsBy(t, 0)
				call.endsBy(t, d)
				require.ErrorIs(t, call.err, os.ErrDeadlineExceeded)
				p.ours.SetHold(false)
				require.NoError(t, r.Reset(spdy.RstCancel))
				synctest.Wait()
			}
		})
	}
}

// openWithoutReply opens the i-th stream.
func openWithoutReply(t *testing.T, p *waitPeer, client bool, i int) *spdy.RawStream {
	ctx := context.Background()
	if client {
		r, err := p.s.OpenStream(ctx, nil, spdy.StreamOptions{})
		require.NoError(t, err)
		return r
	}
	p.send(&spdy.SynStreamFrame{StreamID: uint32(2*i + 1)})
	r, err := p.s.AcceptStream(ctx)
	require.NoError(t, err)
	return r
}

// TestDeadlineOfSeveralReaders: readers that began before the first deadline was set keep to
// it, however many of them find bytes before.
func TestDeadlineOfSeveralReaders(t *testing.T) {
	waitRoles(t, "readers", func(t *testing.T, v spdy.Version, client bool) {
		p := newWaitPeer(t, v, client)
		r := p.open(client)
		for n := range 4 {
			var calls []*waitCall
			for range 4 {
				calls = append(calls, waitStart("Read", func() (int64, error) {
					k, err := r.Read(make([]byte, 1))
					return int64(k), err
				}))
			}
			synctest.Wait()
			require.NoError(t, r.SetReadDeadline(time.Now().Add(time.Second)))
			p.send(&spdy.DataFrame{StreamID: r.ID(), Data: make([]byte, n)})
			synctest.Wait()
			bubble.Pass(time.Second)
			late := 0
			for _, c := range calls {
				c.endsBy(t, 0)
				if c.err != nil {
					require.ErrorIs(t, c.err, os.ErrDeadlineExceeded)
					late++
				}
			}
			require.Equal(t, 4-n, late)
			require.NoError(t, r.SetReadDeadline(time.Time{}))
		}
	})
}

// TestFirstDeadlineOfRepeatedRequest sets the first deadline of a stream whose request has been
// refused, and is on its way again on another stream: it counts for that.
func TestFirstDeadlineOfRepeatedRequest(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		ours, conn := testconn.Pair()
		s := bubble.Quiet(spdy.Config{}, v).ClientSession(ours)
		var running sync.WaitGroup
		running.Go(func() { _ = s.Serve() })
		running.Go(func() { refuseOnce(conn, v) })
		defer running.Wait()
		defer conn.Close()
		st := s.NewClientStream()
		call := waitStart("Request", func() (int64, error) {
			req := httptest.NewRequest(http.MethodGet, "/", nil)
			return 0, st.Request(req, brokenOff{httptest.NewRecorder()})
		})
		require.False(t, call.ended(), "the second answer has begun")
		require.NoError(t, st.SetReadDeadline(time.Now().Add(time.Second)))
		call.endsBy(t, time.Second)
		require.ErrorIs(t, call.err, os.ErrDeadlineExceeded)
	})
}

// brokenOff is a ResponseWriter whose answers can be broken off.
type brokenOff struct{ *httptest.ResponseRecorder }

func (brokenOff) Hijack() { panic("not used") }

// refuseOnce refuses a request, and begins to answer the next one.
func refuseOnce(conn net.Conn, v spdy.Version) {
	f := spdy.NewFramer(conn, conn, v)
	for refused := false; ; {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		syn, ok := frame.(*spdy.SynStreamFrame)
		switch {
		case !ok:
		case !refused:
			refused = true
			_ = f.WriteFrame(&spdy.RstStreamFrame{StreamID: syn.StreamID, Status: spdy.RstRefusedStream})
		default:
			status, version := ":status", ":version"
			if v == spdy.SPDY2 {
				status, version = "status", "version"
			}
			h := spdy.HeaderBlock{{Name: status, Value: "200 OK"}, {Name: version, Value: "HTTP/1.1"}}
			_ = f.WriteFrame(&spdy.SynReplyFrame{StreamID: syn.StreamID, Headers: h})
			_ = f.WriteFrame(&spdy.DataFrame{StreamID: syn.StreamID, Data: []byte("a part")})
		}
	}
}

// waitProtocols are the protocols of handlers that set deadlines, net/http's first.
var waitProtocols = []string{"HTTP/1.1", "HTTP/2", "spdy/2", "spdy/3", "spdy/3.1"}

// TestDeadlinesOfHandlers has a handler set a deadline beside its first Read, Write or Flush.
// Each returns, as with net/http.
func TestDeadlinesOfHandlers(t *testing.T) {
	type deed struct {
		name string
		set  func(c *http.ResponseController, at time.Time) error
		call func(w http.ResponseWriter, r *http.Request) error
	}
	for _, d := range []deed{
		{"Read", (*http.ResponseController).SetReadDeadline, func(_ http.ResponseWriter, r *http.Request) error {
			_, err := r.Body.Read(make([]byte, 1))
			return err
		}},
		{"io.Copy", (*http.ResponseController).SetReadDeadline, func(_ http.ResponseWriter, r *http.Request) error {
			_, err := io.Copy(io.Discard, r.Body)
			return err
		}},
		{"Write", (*http.ResponseController).SetWriteDeadline, func(w http.ResponseWriter, _ *http.Request) error {
			_, err := w.Write(make([]byte, 4<<20))
			return err
		}},
		{"Flush", (*http.ResponseController).SetWriteDeadline, func(w http.ResponseWriter, _ *http.Request) error {
			return http.NewResponseController(w).Flush()
		}},
	} {
		for _, protocol := range waitProtocols {
			if protocol == "HTTP/2" && d.name != "Read" {
				continue // its handlers wait on for a connection that takes nothing
			}
			bubble.Run(t, d.name+"/"+protocol, func(t *testing.T) {
				for i := range 20 {
					handled := make(chan *waitCall, 1)
					site := newWaitSite(t, protocol, func(w http.ResponseWriter, r *http.Request) {
						control := http.NewResponseController(w)
						_ = control.EnableFullDuplex() // else HTTP/1.1 reads the body before it writes
						set := waitStart("deadline", func() (int64, error) {
							return 0, d.set(control, time.Now().Add(time.Duration(i%2)*time.Second))
						})
						call := &waitCall{name: d.name, done: make(chan struct{})}
						handled <- call
						call.err = d.call(w, r)
						close(call.done)
						<-set.done
					})
					call := <-handled
					call.endsBy(t, time.Second)
					require.ErrorIs(t, call.err, os.ErrDeadlineExceeded)
					site()
				}
			})
		}
	}
}

// newWaitSite starts a server whose connection takes nothing, and a client that sends a request
// whose body never comes. end ends both.
func newWaitSite(t *testing.T, protocol string, h http.HandlerFunc) (end func()) {
	ours, theirs := testconn.Pair(testconn.Second(testconn.WriteCap(1)))
	theirs.SetHold(true)
	ctx, cancel := context.WithCancel(context.Background())
	srv := &http.Server{Protocols: new(http.Protocols), Handler: h}
	client := &http.Transport{Protocols: srv.Protocols, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return ours, nil
	}}
	var send http.RoundTripper = client
	var running sync.WaitGroup
	listener := testconn.Listen()
	switch protocol {
	case "HTTP/1.1":
		srv.Protocols.SetHTTP1(true)
	case "HTTP/2":
		srv.Protocols.SetUnencryptedHTTP2(true)
		theirs.SetHold(false)
		theirs.SetWriteCap(0)
	default:
		var v spdy.Version
		for _, known := range bubble.Versions {
			if known.String() == protocol {
				v = known
			}
		}
		conf := bubble.Quiet(spdy.Config{}, v)
		back := conf.ServerSession(theirs, srv)
		running.Go(func() { _ = back.Serve() })
		synctest.Wait() // its sender is with the first frame, and takes no other
		front := conf.ClientSession(ours)
		running.Go(func() { _ = front.Serve() })
		send = front
	}
	if send == client {
		running.Go(func() { _ = srv.Serve(&waitListener{Listener: listener, conn: theirs}) })
	}
	body, never := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://site.example/", body)
	require.NoError(t, err)
	running.Go(func() {
		if res, err := send.RoundTrip(req); err == nil {
			res.Body.Close()
		}
	})
	return func() {
		cancel()
		never.Close()
		theirs.SetHold(false)
		ours.Reset()
		srv.Close()
		client.CloseIdleConnections()
		running.Wait()
	}
}

// A waitListener accepts one connection.
type waitListener struct {
	net.Listener
	conn *testconn.Conn
}

func (l *waitListener) Accept() (net.Conn, error) {
	if conn := l.conn; conn != nil {
		l.conn = nil
		return conn, nil
	}
	return l.Listener.Accept()
}

// TestContextBeforeTheEnd: a call whose context ends before its session returns the error of the
// context, even if it finds both ended.
func TestContextBeforeTheEnd(t *testing.T) {
	calls := map[string]func(s *spdy.Session, ctx context.Context) error{
		"AcceptStream": func(s *spdy.Session, ctx context.Context) error {
			_, err := s.AcceptStream(ctx)
			return err
		},
		"PingContext": func(s *spdy.Session, ctx context.Context) error {
			_, err := s.PingContext(ctx)
			return err
		},
	}
	for name, call := range calls {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			for range 50 {
				p := newWaitPeer(t, v, false)
				ctx, cancel := context.WithCancel(context.Background())
				c := waitStart(name, func() (int64, error) { return 0, call(p.s, ctx) })
				require.False(t, c.ended())
				cancel()
				p.s.Close()
				c.endsBy(t, 0)
				require.ErrorIs(t, c.err, context.Canceled)
			}
		})
	}
}
