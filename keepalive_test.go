package spdy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
)

// watchful is a configuration that pings after ten seconds and waits for five.
var watchful = Config{PingInterval: 10 * time.Second, PingTimeout: 5 * time.Second}

// swallow makes the network swallow everything, in both directions.
func (p *testPeer) swallow() {
	p.ours.SetBlackHole(true)
	p.conn.SetBlackHole(true)
}

// requireGaveUp wants err to say that the connection was given up for cause.
func requireGaveUp(t testing.TB, err, cause error) {
	t.Helper()
	require.ErrorIs(t, err, cause)
	var lost *ConnError
	require.ErrorAs(t, err, &lost)
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
}

// TestBlackHole: whoever waits for a peer that is gone hears of it in time.
func TestBlackHole(t *testing.T) {
	storyBoth(t, "every caller", func(t *testing.T, r role) {
		p := newPeer(t, r, peerOpts{conf: watchful})
		p.sendSetting(SettingMaxConcurrentStreams, 2)
		first := p.open("first", 0)
		p.wantSynStream("first", first.id)
		second := p.open("second", 0)
		p.wantSynStream("second", second.id)
		p.advance(7 * time.Second)
		p.sendSynReply(first.id, 0) // the last that is heard
		synctest.Wait()
		start := time.Now()
		p.swallow()
		calls := []*call{
			p.startWrite(first, make([]byte, 100_000), 0), // more than the window
			p.startRead(first, 10),
			p.startReply(second),
			p.startOpen(context.Background(), "third", 0), // waits for a slot
			p.startPing(context.Background()),
			p.async("Shutdown", func(c *call) {
				<-p.s.Done()
				c.err = p.s.Err()
			}),
		}
		p.advance(15*time.Second - 1)
		for _, c := range calls {
			c.pending("not yet")
		}
		p.advance(1)
		for _, c := range calls {
			c.wait("in time")
			requireGaveUp(t, c.err, ErrPingTimeout)
		}
		requireGaveUp(t, p.served.wait("Serve").err, ErrPingTimeout)
		require.Equal(t, 15*time.Second, time.Since(start))
	})
	storyBoth(t, "after PINGs that were answered", func(t *testing.T, r role) {
		p := newPeer(t, r, peerOpts{conf: watchful})
		for i := range uint32(5) {
			p.advance(10*time.Second - 1)
			p.wantIdle("no PING before its time")
			p.advance(1)
			id := p.firstID() + 2*i
			p.wantPing("it has been quiet", id)
			p.advance(4 * time.Second)
			p.sendPing(id)
		}
		synctest.Wait()
		p.s.mu.Lock()
		require.Empty(t, p.s.pings)
		p.s.mu.Unlock()
		p.swallow()
		p.advance(15*time.Second - 1)
		p.served.pending("not yet")
		p.advance(1)
		requireGaveUp(t, p.served.wait("in time").err, ErrPingTimeout)
	})
	storyBoth(t, "a write that is stuck", func(t *testing.T, r role) {
		p := newPeer(t, r, peerOpts{conf: watchful, conn: []testconn.Option{testconn.First(testconn.WriteCap(20_000))}})
		p.sendWindowUpdate(0, 1<<20)
		p.sendSetting(SettingInitialWindowSize, 1<<20)
		st := p.open("first", 0)
		p.wantSynStream("first", st.id)
		start := time.Now()
		write := p.startWrite(st, make([]byte, 1<<20), 0)
		p.advance(15*time.Second - 1)
		write.pending("not yet")
		p.advance(1)
		requireGaveUp(t, write.wait("in time").err, ErrPingTimeout)
		requireGaveUp(t, p.served.wait("in time").err, ErrPingTimeout)
		require.Equal(t, 15*time.Second, time.Since(start))
	})
	story(t, "through net/http", func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			requireGaveUp(t, context.Cause(r.Context()), ErrPingTimeout)
		}), rigSetup{client: &watchful, server: &watchful})
		defer r.close()
		res, err := (&http.Client{Transport: r.client}).Get("http://rig.example/")
		require.NoError(t, err)
		r.cc.SetBlackHole(true)
		r.sc.SetBlackHole(true)
		start := time.Now()
		failed := make(chan error, 1)
		go func() {
			_, err := (&http.Client{Transport: r.client}).Get("http://rig.example/")
			failed <- err
		}()
		_, err = io.ReadAll(res.Body)
		requireTruncated(t, err)
		requireGaveUp(t, err, ErrPingTimeout)
		err = <-failed
		requireGaveUp(t, err, ErrPingTimeout)
		var failure net.Error
		require.True(t, errors.As(err, &failure) && failure.Timeout(), "url.Error knows a timeout by its method")
		require.Equal(t, 15*time.Second, time.Since(start))
	})
	storyBoth(t, "nobody asked to look", func(t *testing.T, r role) {
		p := newPeer(t, r)
		require.Nil(t, p.s.alive)
		p.swallow()
		p.advance(time.Hour)
		p.served.pending("a session waits for ever unless it is told not to")
	})
}

// TestSignsOfLife: whatever comes from the peer shows that it is there.
func TestSignsOfLife(t *testing.T) {
	storyBoth(t, "bytes that are no whole frame", func(t *testing.T, r role) {
		p := newPeer(t, r, peerOpts{conf: watchful})
		frame := appendSettings(nil, SPDY31, 0, []Setting{{ID: SettingMaxConcurrentStreams, Value: 10}})
		for _, b := range frame {
			p.advance(9 * time.Second)
			p.sendRaw([]byte{b})
		}
		p.wantIdle("no PING to a peer that sends, however slowly")
	})
	storyBoth(t, "another answer than the echo", func(t *testing.T, r role) {
		p := newPeer(t, r, peerOpts{conf: watchful})
		for i := range uint32(20) { // it never echoes
			p.advance(10 * time.Second)
			p.wantPing("it has been quiet", p.firstID()+2*i)
			p.advance(5*time.Second - 1)
			p.sendPing(p.peerID() + 2*i)
			p.wantPing("ours", p.peerID()+2*i)
		}
		p.s.mu.Lock()
		require.Len(t, p.s.pings, 1, "a peer that does not echo costs no memory")
		p.s.mu.Unlock()
	})
	story(t, "a session that does not listen", func(t *testing.T) {
		conf := watchful
		conf.Version, conf.SessionWindow = SPDY2, defaultWindow
		p := newPeer(t, asClient, peerOpts{version: SPDY2, conf: conf})
		st := p.open("a request", FlagFin)
		p.wantSynStream("a request", 1)
		p.sendSynReply(1, 0)
		for range 5 {
			p.sendBulk(1, 20_000, 0)
		}
		for range 10 { // SPDY/2 has no windows: we stop reading while nobody reads
			p.advance(time.Minute)
			p.served.pending("that we do not listen does not mean that nobody talks")
		}
		p.startReadAll(st)
		p.advance(10 * time.Second)
		p.wantPing("now it counts", 1)
		p.swallow()
		p.advance(5 * time.Second)
		requireGaveUp(t, p.served.wait("in time").err, ErrPingTimeout)
	})
}

// TestSlowPeer: a connection that moves is not given up, however slowly it does.
func TestSlowPeer(t *testing.T) {
	for _, conf := range []Config{
		{PingInterval: 2 * time.Second, PingTimeout: 4 * time.Second},
		{WriteTimeout: 4 * time.Second},
	} {
		for _, secure := range []bool{false, true} {
			story(t, fmt.Sprintf("ping %v, write %v, TLS %v", conf.PingInterval, conf.WriteTimeout, secure), func(t *testing.T) {
				testSlowPeer(t, conf, secure)
			})
		}
	}
}

// testSlowPeer uploads four batches over a line of 1000 bytes a second on which
// little is under way, and then has the line stand still.
func testSlowPeer(t *testing.T, conf Config, secure bool) {
	const size = 256 << 10
	mine, theirs := testconn.Pair(testconn.First(testconn.WriteCap(500)))
	defer theirs.Close()
	client, server := net.Conn(mine), net.Conn(theirs)
	if secure {
		client, server = tlsPair(t, mine, theirs)
	}
	mine.SetBandwidth(1000)
	s := newSession(client, true, SPDY31, &conf, &rawApp{})
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	got := make(chan int64, 1)
	go func() {
		f := NewFramer(server, server, SPDY31)
		f.WriteFrame(&SettingsFrame{Entries: []Setting{{ID: SettingInitialWindowSize, Value: 10 * size}}})
		f.WriteFrame(&WindowUpdateFrame{Delta: 10 * size})
		n := int64(0)
		for n < size {
			switch frame, err := f.ReadFrame(); frame := frame.(type) {
			case *DataFrame:
				n += int64(len(frame.Data))
			case *PingFrame:
				f.WriteFrame(frame)
			default:
				if err != nil {
					n = size
				}
			}
		}
		got <- n
	}()
	synctest.Wait()
	st := s.newLocalStream(0)
	block := getBlock()
	*block, _ = appendNameValue((*block)[:0], SPDY31, []HeaderField{{"name", "upload"}})
	require.NoError(t, s.open(context.Background(), st, block, 0))
	start := time.Now()
	n, err := st.write(make([]byte, size), false)
	require.NoError(t, err)
	require.Equal(t, size, n)
	require.EqualValues(t, size, <-got)
	require.Greater(t, time.Since(start), 200*time.Second, "it was slow")

	mine.SetBandwidth(0)
	mine.SetBlackHole(true)
	theirs.SetBlackHole(true)
	start = time.Now()
	_, err = st.write(make([]byte, size), false)
	cause := ErrPingTimeout
	if conf.PingInterval == 0 {
		cause = ErrWriteTimeout
	}
	requireGaveUp(t, err, cause)
	require.LessOrEqual(t, time.Since(start), 6*time.Second)
	requireGaveUp(t, <-served, cause)
}

// tlsPair puts TLS on both ends of a connection and completes the handshake.
func tlsPair(t *testing.T, mine, theirs net.Conn) (client, server net.Conn) {
	cert, pool, err := localcert.New()
	require.NoError(t, err)
	s := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}})
	c := tls.Client(mine, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	shaken := make(chan error, 1)
	go func() { shaken <- s.Handshake() }()
	require.NoError(t, c.Handshake())
	require.NoError(t, <-shaken)
	return c, s
}

// TestPieces: a fast connection gets large pieces, and a PING does not wait in vain.
func TestPieces(t *testing.T) {
	story(t, "fast", func(t *testing.T) {
		p := newPeer(t, asClient, peerOpts{conf: Config{WriteTimeout: time.Minute}})
		p.sendWindowUpdate(0, 1<<20)
		p.sendSetting(SettingInitialWindowSize, 1<<20)
		st := p.open("first", 0)
		p.wantSynStream("first", st.id)
		before := p.ours.Stats()
		p.startWrite(st, make([]byte, 1<<20), 0).wrote("all", 1<<20)
		after := p.ours.Stats()
		writes, bytes := after.Writes-before.Writes, after.BytesWritten-before.BytesWritten
		require.Less(t, writes, int(bytes/maxPiece)+10, "pieces grow to a record of TLS")
		require.Greater(t, writes, int(bytes/maxPiece)-1, "and not beyond")
	})
	story(t, "slow again", func(t *testing.T) {
		a := &keepalive{piece: maxPiece, most: maxPiece, slow: int64(time.Second)}
		a.pace(maxPiece, int64(time.Second)+1)
		require.Equal(t, minPiece, a.piece)
		a.pace(minPiece, int64(time.Second/2))
		require.Equal(t, minPiece, a.piece, "not fast enough to grow")
		a.pace(minPiece/2, 0)
		require.Equal(t, minPiece, a.piece, "a short write says nothing")
		for range 10 {
			a.pace(a.piece, 0)
		}
		require.Equal(t, maxPiece, a.piece)
	})
}

func TestWriteTimeout(t *testing.T) {
	conf := Config{WriteTimeout: 3 * time.Second}
	storyBoth(t, "stuck", func(t *testing.T, r role) {
		p := newPeer(t, r, peerOpts{conf: conf})
		st := p.open("first", 0)
		p.wantSynStream("first", st.id)
		p.advance(time.Hour)
		p.served.pending("nothing to write is no trouble")
		p.ours.SetWriteCap(100)
		for range 10 { // a byte a second is not 1 KiB, but everything that was written
			p.startWrite(st, make([]byte, 80), 0).wrote("fits", 80)
			p.advance(time.Second)
			p.wantData("fits", st.id, 80)
		}
		start := time.Now()
		write := p.startWrite(st, make([]byte, 1000), 0)
		write.wait("taken by the sender")
		p.advance(3*time.Second - 1)
		p.served.pending("not yet")
		p.advance(1)
		requireGaveUp(t, p.served.wait("in time").err, ErrWriteTimeout)
		require.Equal(t, 3*time.Second, time.Since(start))
	})
	storyBoth(t, "what comes does not count", func(t *testing.T, r role) {
		p := newPeer(t, r, peerOpts{conf: conf, conn: []testconn.Option{testconn.First(testconn.WriteCap(100))}})
		st := p.open("first", 0)
		p.wantSynStream("first", st.id)
		p.startWrite(st, make([]byte, 1000), 0)
		for i := range uint32(2) {
			p.advance(time.Second)
			p.sendPing(p.peerID() + 2*i)
		}
		p.advance(time.Second)
		requireGaveUp(t, p.served.wait("in time").err, ErrWriteTimeout)
	})
}

func TestIdleTimeout(t *testing.T) {
	conf := Config{IdleTimeout: time.Minute}
	storyBoth(t, "never used", func(t *testing.T, r role) {
		p := newPeer(t, r, peerOpts{conf: conf})
		for i := range uint32(6) {
			p.advance(9 * time.Second)
			p.sendPing(p.peerID() + 2*i)
			p.wantPing("a PING is no use", p.peerID()+2*i)
		}
		p.advance(6*time.Second - 1)
		p.wantIdle("not yet")
		p.advance(1)
		p.wantGoAway("nobody needs it", 0, GoAwayOK)
		p.conn.Close()
		p.served.ok("a clean end")
		require.ErrorIs(t, p.s.Err(), ErrSessionClosed)
	})
	storyBoth(t, "streams of both sides", func(t *testing.T, r role) {
		p := newPeer(t, r, peerOpts{conf: conf, app: nil})
		p.app.hold = true
		p.advance(59 * time.Second)
		st := p.open("ours", FlagFin)
		p.wantSynStream("ours", st.id)
		p.advance(time.Hour)
		p.wantIdle("a stream is open")
		p.sendSynStream(p.peerID(), FlagFin, HeaderField{"a", "b"})
		theirs := p.wantAccept("theirs", p.peerID())
		p.sendSynReply(st.id, FlagFin)
		p.advance(time.Hour)
		p.wantIdle("the other one is open")
		p.reply(theirs, FlagFin)
		p.wantSynReply("theirs", theirs.id)
		p.advance(time.Hour)
		p.wantIdle("its handler still runs")
		theirs.release()
		p.advance(time.Minute - 1)
		p.wantIdle("not yet")
		p.advance(1)
		p.wantGoAway("nobody needs it", p.peerID(), GoAwayOK)
		p.conn.Close()
		p.served.ok("a clean end")
	})
	story(t, "the timer fires when the last stream has just gone", func(t *testing.T) {
		p := newPeer(t, asClient, peerOpts{conf: conf})
		st := p.open("ours", FlagFin)
		p.wantSynStream("ours", st.id)
		p.advance(time.Hour)
		p.sendSynReply(st.id, FlagFin)
		synctest.Wait()
		p.s.alive.goIdle()
		p.advance(time.Minute - 1)
		p.wantIdle("not yet")
		p.advance(1)
		p.wantGoAway("nobody needs it", 0, GoAwayOK)
		p.conn.Close()
		p.served.ok("a clean end")
	})
	story(t, "somebody waits for a slot", func(t *testing.T) {
		p := newPeer(t, asClient, peerOpts{conf: conf})
		p.sendSetting(SettingMaxConcurrentStreams, 0)
		p.advance(59 * time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		waiting := p.startOpen(ctx, "first", 0)
		p.advance(time.Hour)
		waiting.pending("idle is something else")
		cancel()
		waiting.fails("it gives up", context.Canceled)
		p.wantIdle("nothing opened")
		p.advance(time.Minute)
		p.wantGoAway("now it is", 0, GoAwayOK)
		p.conn.Close()
		p.served.ok("a clean end")
	})
}

// TestWatchingIsCheap: bytes that come cost no allocation, and a session that watches
// nothing has nothing.
func TestWatchingIsCheap(t *testing.T) {
	_, conn := testconn.Pair()
	defer conn.Close()
	require.Nil(t, newSession(conn, true, SPDY31, nil, &rawApp{}).alive)
	conf := watchful
	conf.FirstFrameTimeout, conf.WriteTimeout = time.Second, time.Second
	s := newSession(discardConn{conn}, true, SPDY31, &conf, &rawApp{})
	s.alive.start()
	defer s.alive.stop()
	b := bytes.Repeat([]byte("x"), 2*maxPiece)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		s.alive.heard()
		s.alive.frameBegun()
		s.alive.frameDone()
		if s.writeOut(b) != nil {
			t.Error("no error to be had here")
		}
	}))
}

// A discardConn takes everything.
type discardConn struct{ net.Conn }

func (discardConn) Write(p []byte) (int, error) { return len(p), nil }

// TestNoPingBeforeHello: a peer that may lose what comes before it has said something
// is not asked anything until then.
func TestNoPingBeforeHello(t *testing.T) {
	storyBoth(t, "peer unaware", func(t *testing.T, r role) {
		conf := watchful
		conf.FlowControl = FlowControlPeerUnaware
		ours, theirs := testconn.Pair()
		defer theirs.Close()
		s := conf.RawSession(ours, bool(r))
		served := make(chan error, 1)
		go func() { served <- s.Serve() }()
		<-time.After(time.Hour)
		require.Zero(t, theirs.Unread())
		f := NewFramer(theirs, theirs, SPDY31)
		require.NoError(t, f.WriteRaw([]byte{0x80, 3})) // no frame yet
		<-time.After(time.Hour)
		require.Zero(t, theirs.Unread())
		require.NoError(t, f.WriteRaw([]byte{0, 6, 0, 0, 0, 4, 0, 0, 0, 9}))
		synctest.Wait()
		for asked := false; !asked; {
			frame, err := f.ReadFrame()
			require.NoError(t, err)
			_, asked = frame.(*PingFrame)
		}
		requireGaveUp(t, <-served, ErrPingTimeout)
	})
}
