package spdy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// statsPeer is a scripted peer with the books that Stats is held against. A test says
// in want what has changed; the bytes are those of the connection itself.
type statsPeer struct {
	*testPeer
	want SessionStats
}

func newStatsPeer(t *testing.T, r role, opts ...peerOpts) *statsPeer {
	p := &statsPeer{testPeer: newPeer(t, r, opts...)}
	p.want = SessionStats{
		Version: p.version, Client: bool(r),
		SendWindow: defaultWindow, ReceiveWindow: defaultWindow,
		PeerStreamWindow: defaultWindow, PeerMaxStreams: assumedMaxStreams,
	}
	p.want.Sent.Frames[FrameSettings] = 1
	return p
}

// check wants Stats to be as the books say.
func (p *statsPeer) check(why string) {
	p.t.Helper()
	synctest.Wait()
	p.want.Sent.Bytes = p.ours.Stats().BytesWritten
	p.want.Received.Bytes = p.ours.Stats().BytesRead
	got := p.s.Stats()
	p.want.ChargedResets, p.want.IdleFrames = got.ChargedResets, got.IdleFrames
	require.Equal(p.t, p.want, got, why)
}

// headersSent notes a header block of ours, with the headers of p.block.
func (p *statsPeer) headersSent(headers ...HeaderField) {
	raw := p.f.Raw()
	fixed := replyFixed(p.version)
	if raw.Type == FrameSynStream {
		fixed = synStreamFixed
	}
	p.want.Sent.Frames[raw.Type]++
	p.want.Sent.HeaderBytes += int64(len(*p.block(headers...)))
	p.want.Sent.CompressedHeaderBytes += int64(raw.Length - fixed)
}

// headersCame notes a header block of the peer, which comes with before bytes read.
func (p *statsPeer) headersCame(typ FrameType, send func(), headers ...HeaderField) {
	synctest.Wait()
	before := p.conn.Stats().BytesWritten
	send()
	fixed := replyFixed(p.version)
	if typ == FrameSynStream {
		fixed = synStreamFixed
	}
	p.want.Received.Frames[typ]++
	p.want.Received.HeaderBytes += int64(len(*p.block(headers...)))
	p.want.Received.CompressedHeaderBytes += p.conn.Stats().BytesWritten - before - int64(frameHeaderSize+fixed)
}

func TestStatsOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newStatsPeer(t, asClient)
		w := &p.want
		p.check("nothing has happened")

		st := p.open("first", 0)
		p.wantSynStream("a stream", 1)
		p.headersSent(HeaderField{"name", "first"})
		w.StreamsOpened, w.Streams.Open = 1, 1
		p.check("a stream is open")

		write := p.startWrite(st, testBytes(70000), FlagFin)
		p.wantData("as far as the window goes", 1, 65536)
		w.Sent.Frames[FrameData], w.Sent.DataBytes = 1, 65536
		w.SendWindow, w.UnsentBytes = 0, 70000-65536
		p.check("the rest waits")
		p.sendWindowUpdate(0, 70000)
		p.sendWindowUpdate(1, 70000)
		write.wrote("there is room", 70000)
		p.wantData("the rest", 1, 70000-65536, FlagFin)
		w.Sent.Frames[FrameData]++
		w.Sent.DataBytes, w.SendWindow, w.UnsentBytes = 70000, 65536, 0
		w.Received.Frames[FrameWindowUpdate] = 2
		w.Streams = StreamStates{HalfClosedLocal: 1}
		p.check("the rest is gone")

		p.headersCame(FrameSynReply, func() { p.sendSynReply(1, 0, HeaderField{"yes", "no"}) }, HeaderField{"yes", "no"})
		p.sendData(1, "hello", FlagFin)
		w.Received.Frames[FrameData], w.Received.DataBytes = 1, 5
		w.Streams, w.UnreadBytes, w.ReceiveWindow = StreamStates{}, 5, defaultWindow-5
		p.check("the stream is over, but unread")
		p.wantRead("hello", st, "hello")
		w.UnreadBytes = 0
		p.check("read; the credit is owed")

		p.statsOfPings()
		p.statsOfResets()
		p.statsOfOpeners()
		p.statsOfTheEnd()
	})
}

func (p *statsPeer) statsOfPings() {
	ping := p.startPing(context.Background())
	p.wantPing("ours", 1)
	p.want.Sent.Frames[FramePing]++
	p.want.WaitingPings = 1
	p.check("a PING is out")
	p.advance(30 * time.Millisecond)
	p.sendPing(1)
	ping.ok("its echo")
	p.want.Received.Frames[FramePing]++
	p.want.WaitingPings, p.want.RoundTrip = 0, 30*time.Millisecond
	p.check("its echo")

	ctx, cancel := context.WithCancel(context.Background())
	ping = p.startPing(ctx)
	p.wantPing("ours", 3)
	cancel()
	ping.fails("given up", context.Canceled)
	p.sendPing(3)
	p.sendPing(2)
	p.wantPing("the peer's", 2)
	p.want.Sent.Frames[FramePing] += 2
	p.want.Received.Frames[FramePing] += 2
	p.check("only PINGs that are waited for are measured")
}

func (p *statsPeer) statsOfResets() {
	w := &p.want
	var ids []uint32
	for range 3 {
		st := p.open("reset", FlagFin)
		p.wantSynStream("to be reset", st.id)
		p.headersSent(HeaderField{"name", "reset"})
		ids = append(ids, st.id)
	}
	w.StreamsOpened += 3
	w.Streams.HalfClosedLocal = 3
	p.check("three streams")
	p.sendRst(ids[0], RstRefusedStream)
	p.sendRst(ids[1], 4711)
	p.sendRst(ids[1], RstCancel) // of a stream that is gone
	w.Streams.HalfClosedLocal = 1
	w.Received.Frames[FrameRstStream] = 3
	w.Received.Resets[RstRefusedStream], w.Received.Resets[0], w.Received.Resets[RstCancel] = 1, 1, 1
	p.check("the peer has reset two")
	p.sendData(ids[2], "x", 0)
	p.wantRst("DATA before the reply", ids[2], RstProtocolError)
	w.Streams.HalfClosedLocal = 0
	w.Received.Frames[FrameData]++
	w.Received.DataBytes++
	w.ReceiveWindow--
	w.Sent.Frames[FrameRstStream], w.Sent.Resets[RstProtocolError] = 1, 1
	p.check("and we one")
	p.sendControl(FrameType(77), 0)
	p.sendControl(FrameNoop, 0)
	w.Received.Frames[FrameNoop] = 2
	p.check("frames that have no effect")
}

func (p *statsPeer) statsOfOpeners() {
	w := &p.want
	p.sendSettings(Setting{ID: SettingMaxConcurrentStreams, Value: 1}, Setting{ID: SettingInitialWindowSize, Value: 1000})
	w.Received.Frames[FrameSettings]++
	w.PeerMaxStreams, w.PeerStreamWindow = 1, 1000
	st := p.open("in", FlagFin)
	p.wantSynStream("the only one allowed", st.id)
	p.headersSent(HeaderField{"name", "in"})
	w.StreamsOpened++
	w.Streams.HalfClosedLocal = 1
	ctx, cancel := context.WithCancel(context.Background())
	waiting := p.startOpen(ctx, "out", FlagFin)
	w.WaitingOpeners = 1
	p.check("another one waits")
	cancel()
	waiting.fails("it gives up", context.Canceled)
	w.WaitingOpeners = 0
	p.check("it gives up")
}

func (p *statsPeer) statsOfTheEnd() {
	w := &p.want
	p.sendGoAway(1, GoAwayOK)
	w.Received.Frames[FrameGoAway], w.PeerGoingAway = 1, true
	w.Streams = StreamStates{}
	synctest.Wait()
	p.wantGoAway("nothing is left", 0, GoAwayOK)
	w.Sent.Frames[FrameGoAway] = 1
	p.check("the stream is above the last good one")
	p.wantOrderlyEnd("nothing is left")
	p.check("the totals stay")
}

func TestStatsOfAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newStatsPeer(t, asServer, peerOpts{conf: Config{MaxConcurrentStreams: 1}, app: &rawApp{hold: true}})
		p.app = p.s.app.(*rawApp)
		w := &p.want
		p.headersCame(FrameSynStream, func() { p.sendSynStream(1, 0, HeaderField{"a", "b"}) }, HeaderField{"a", "b"})
		st := p.wantAccept("a stream", 1)
		w.StreamsAccepted, w.Streams.Open = 1, 1
		p.check("a stream")

		p.headersCame(FrameSynStream, func() { p.sendSynStream(3, 0) })
		p.wantRst("one too many", 3, RstRefusedStream)
		w.Sent.Frames[FrameRstStream], w.Sent.Resets[RstRefusedStream] = 1, 1
		w.Sent.Frames[FramePing], w.Received.Frames[FramePing] = 1, 1 // see limitProof
		p.check("a refusal")

		p.headersCame(FrameHeaders, func() { p.sendHeaders(1, FlagFin, HeaderField{"late", "one"}) }, HeaderField{"late", "one"})
		w.Streams = StreamStates{HalfClosedRemote: 1}
		p.check("the request is complete")

		p.reply(st, 0)
		p.wantSynReply("the answer", 1)
		p.headersSent(HeaderField{"ok", "yes"})
		p.startWrite(st, []byte("bye"), FlagFin).wrote("the answer", 3)
		p.wantData("the answer", 1, 3, FlagFin)
		w.Sent.Frames[FrameData], w.Sent.DataBytes = 1, 3
		w.SendWindow -= 3
		w.Streams = StreamStates{Lingering: 1}
		p.check("the handler still runs")
		st.release()
		w.Streams = StreamStates{}
		p.check("it has returned")

		shutdown := p.startShutdown(t.Context())
		p.wantGoAway("shutting down", 1, GoAwayOK)
		w.Sent.Frames[FrameGoAway], w.GoingAway = 1, true
		p.wantOrderlyEnd("drained")
		w.Sent.Frames[FramePing], w.Received.Frames[FramePing] = w.Sent.Frames[FramePing]+1, w.Received.Frames[FramePing]+1 // the receipt
		shutdown.ok("drained")
		p.check("over")
	})
}

// What the windows of the older dialects are.
func TestStatsInOtherVersions(t *testing.T) {
	story(t, "SPDY/2", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{version: SPDY2})
		p.sendSynStream(1, 0)
		st := p.wantAccept("a stream", 1)
		p.sendData(1, "unread", 0)
		p.sendControl(FrameNoop, 0)
		p.sendControl(FrameWindowUpdate, 0, 0, 0, 0, 0, 0, 0, 0, 1)
		synctest.Wait()
		s := p.s.Stats()
		require.Equal(t, SPDY2, s.Version)
		require.Equal(t, []int64{-1, -1, -1}, []int64{s.SendWindow, s.ReceiveWindow, s.PeerStreamWindow})
		require.EqualValues(t, 6, s.UnreadBytes)
		require.EqualValues(t, 2, s.Received.Frames[FrameNoop])
		p.wantRead("unread", st, "unread")
		require.Zero(t, p.s.Stats().UnreadBytes)
	})
	story(t, "SPDY/3", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{version: SPDY3})
		s := p.s.Stats()
		require.Equal(t, []int64{-1, -1, defaultWindow}, []int64{s.SendWindow, s.ReceiveWindow, s.PeerStreamWindow})
	})
	story(t, "SPDY/3 or SPDY/3.1", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.s.beCautious()
		require.Equal(t, SPDY3, p.s.Stats().Version)
		require.EqualValues(t, -1, p.s.Stats().SendWindow)
		p.sendWindowUpdate(0, 1)
		synctest.Wait()
		require.Equal(t, SPDY31, p.s.Stats().Version)
		require.EqualValues(t, defaultWindow+1, p.s.Stats().SendWindow)
	})
}

// Whatever breaks off, no gauge stays up.
func TestStatsGaugesReturnToZero(t *testing.T) {
	gauges := func(s SessionStats) SessionStats {
		return SessionStats{Streams: s.Streams, WaitingOpeners: s.WaitingOpeners, WaitingPings: s.WaitingPings,
			UnreadBytes: s.UnreadBytes, UnsentBytes: s.UnsentBytes}
	}
	for _, size := range []uint32{100, 10000} {
		storyBoth(t, fmt.Sprintf("cut in a frame of %d bytes", size), func(t *testing.T, r role) {
			p := newPeer(t, r)
			id := p.peerID()
			p.sendSynStream(id, 0)
			st := p.wantAccept("theirs", id)
			ours := p.open("ours", 0)
			p.wantSynStream("ours", ours.id)
			p.sendSetting(SettingMaxConcurrentStreams, 1)
			synctest.Wait()
			p.startWrite(ours, testBytes(70000), 0)
			ping := p.startPing(context.Background())
			waiting := p.startOpen(context.Background(), "waits", 0)
			p.sendRaw([]byte{0, 0, 0, byte(id), 0, 0, byte(size >> 8), byte(size), 'c', 'u', 't'})
			synctest.Wait()
			s := p.s.Stats()
			require.Equal(t, SessionStats{
				Streams: StreamStates{Open: 2}, WaitingOpeners: 1, WaitingPings: 1,
				UnreadBytes: int64(size), UnsentBytes: 70000 - 65536,
			}, gauges(s), "all of them are up")
			p.conn.Close()
			p.served.wait("the peer has gone")
			ping.fails("the peer has gone", io.ErrUnexpectedEOF)
			waiting.fails("the peer has gone", io.ErrUnexpectedEOF)
			p.startReadAll(st).fails("what has come is kept", io.ErrUnexpectedEOF)
			require.Zero(t, gauges(p.s.Stats()), "none stays")
		})
	}
	story(t, "cut in a frame that nobody wants", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		p.wantAccept("theirs", 1).stopReading()
		p.sendRaw([]byte{0, 0, 0, 1, 0, 0, 0, 10, 'c', 'u', 't'})
		p.conn.Close()
		p.served.wait("the peer has gone")
		require.Zero(t, gauges(p.s.Stats()))
	})
	story(t, "DATA before the reply in SPDY/2", func(t *testing.T) {
		p := newPeer(t, asClient, peerOpts{version: SPDY2})
		p.open("ours", 0)
		p.wantSynStream("ours", 1)
		p.sendData(1, "too early", 0)
		p.wantSessionError("D4", 0, GoAwayProtocolError)
		require.Zero(t, gauges(p.s.Stats()))
	})
}

// A server's totals are those of all its sessions, running or not.
func TestServerStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := testconn.Listen()
		hold := make(chan struct{})
		srv := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				<-hold
			}
			io.Copy(w, r.Body)
		})}
		require.Zero(t, srv.Stats())
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		silent, err := ln.Dial()
		require.NoError(t, err)
		var clients []*Client
		var ends []SessionStats
		for i := range 3 {
			conn, err := ln.Dial()
			require.NoError(t, err)
			c, err := (&Config{Version: everyVersion[i]}).NewClientConn(conn)
			require.NoError(t, err)
			clients = append(clients, c)
			req, _ := http.NewRequest("POST", "http://x/", strings.NewReader(strings.Repeat("x", 1000*(i+1))))
			res, err := c.Do(req)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, res.Body)
			require.NoError(t, err)
		}
		held := make(chan error, 1)
		go func() {
			req, _ := http.NewRequest("GET", "http://x/hold", nil)
			_, err := clients[0].Do(req)
			held <- err
		}()
		synctest.Wait()
		s := srv.Stats()
		require.Equal(t, 3, s.Sessions)
		require.EqualValues(t, 3, s.SessionsTotal)
		require.Equal(t, 1, s.Greeting)
		require.Equal(t, StreamStates{HalfClosedRemote: 1}, s.Streams)
		require.EqualValues(t, 4, s.StreamsAccepted)
		require.EqualValues(t, 6000, s.Received.DataBytes)
		require.EqualValues(t, 6000, s.Sent.DataBytes)

		clients[0].Close()
		require.Error(t, <-held)
		clients[1].Close()
		silent.Close()
		synctest.Wait()
		s = srv.Stats()
		require.Equal(t, 1, s.Sessions)
		require.Zero(t, s.Greeting)
		require.EqualValues(t, 3, s.SessionsTotal)
		require.EqualValues(t, 4, s.StreamsAccepted, "of sessions that have ended too")
		require.EqualValues(t, 6000, s.Received.DataBytes)
		close(hold)
		require.NoError(t, clients[2].Close())
		require.NoError(t, srv.Close())
		<-served
		synctest.Wait() // handlers return without anybody waiting for them
		for _, c := range clients {
			ends = append(ends, c.Session().Stats())
		}
		s = srv.Stats()
		want := ServerStats{SessionsTotal: 3, StreamsAccepted: 4}
		want.Pools = newPools(nil).stats() // of which nothing is used
		for _, e := range ends {           // what the server has received is what its clients have sent
			want.Received.add(&e.Sent)
			want.Sent.add(&e.Received)
		}
		f := want.Received.Frames
		want.IdleFrames = f[FrameSettings] + f[FrameWindowUpdate] + f[FrameGoAway]
		// A farewell, and the PING that asks for its receipt, count as sent also if the
		// client has closed the connection before.
		for _, typ := range []FrameType{FrameGoAway, FramePing} {
			assert.LessOrEqual(t, s.Sent.Frames[typ]-want.Sent.Frames[typ], uint64(len(clients)), typ)
			want.Sent.Frames[typ] = s.Sent.Frames[typ]
		}
		assert.Equal(t, want.Received, s.Received)
		assert.Equal(t, want.Sent, s.Sent)
		s.Sent, s.Received, want.Sent, want.Received = Traffic{}, Traffic{}, Traffic{}, Traffic{}
		require.Equal(t, want, s, "and no gauge stays")
	})
}

func TestStatsAsJSON(t *testing.T) {
	var s SessionStats
	s.Sent.Frames[FrameSynStream], s.Sent.Frames[FrameNoop] = 1, 2
	s.Received.Resets[0], s.Received.Resets[RstFrameTooLarge] = 3, 4
	text, err := json.Marshal(&s)
	require.NoError(t, err)
	require.Contains(t, string(text), `"Frames":{"NOOP":2,"SYN_STREAM":1}`)
	require.Contains(t, string(text), `"Resets":{"FRAME_TOO_LARGE":4,"other":3}`)
	require.Contains(t, string(text), `"Resets":{}`)
	var back SessionStats
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, s, back)
	require.Error(t, json.Unmarshal([]byte(`{"Sent":{"Frames":[1]}}`), &back))
	require.Error(t, json.Unmarshal([]byte(`{"Sent":{"Resets":{"CANCEL":-1}}}`), &back))
	require.EqualValues(t, 3, s.Sent.Frames.Total())
	require.EqualValues(t, 7, s.Received.Resets.Total())
}

// What seeing inside costs a session that nobody looks into.
func TestStatsAreSmall(t *testing.T) {
	var s Session
	size := unsafe.Sizeof(s.stats) + unsafe.Sizeof(s.frameLog) + unsafe.Sizeof(s.sentBlocks) +
		unsafe.Sizeof(s.hooks) + unsafe.Sizeof(s.in.total) + unsafe.Sizeof(s.inflate.size)
	require.LessOrEqual(t, size, uintptr(304))
}

// A session whose peer does no flow control says so, and how it bears with that.
func TestStatsOfUnaware(t *testing.T) {
	story(t, "SPDY/3.1", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{UnreadBudget: 64 << 10})
		s := p.s.Stats()
		require.Equal(t, []int64{-1, defaultWindow, -1}, []int64{s.SendWindow, s.ReceiveWindow, s.PeerStreamWindow})
		require.EqualValues(t, 64<<10, s.UnreadBudget)
		st := p.openRaw("a stream")
		p.sendSynReply(1, 0)
		text := p.sendBulk(1, 64<<10, 0) + "more"
		p.sendData(1, "more", FlagFin)
		p.sendData(1, "stray", 0)
		p.wantIdle("the budget is used up")
		s = p.s.Stats()
		require.EqualValues(t, 64<<10+4, s.UnreadBytes, "of a frame that has begun, too")
		require.EqualValues(t, 1, s.Stalls)
		require.EqualValues(t, -4, s.ReceiveWindow)
		require.Zero(t, s.StrayFrames, "it has not been read")
		require.Equal(t, text, string(p.rawReadAll(st).ok("read").data))
		s = p.s.Stats()
		require.Zero(t, s.UnreadBytes)
		require.EqualValues(t, 1, s.StrayFrames)
		require.Equal(t, StreamStates{HalfClosedRemote: 1}, s.Streams)
		p.sendWindowUpdate(0, 1000)
		synctest.Wait()
		s = p.s.Stats()
		require.Equal(t, []int64{defaultWindow + 1000, defaultWindow}, []int64{s.SendWindow, s.PeerStreamWindow}, "it does do flow control")
		require.NoError(t, st.Close())
		synctest.Wait()
		require.Zero(t, p.s.Stats().Streams)
	})
	story(t, "SPDY/2 stalls too", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{version: SPDY2, conf: Config{SessionWindow: defaultWindow}})
		p.sendSynStream(1, 0)
		st := p.wantAccept("a stream", 1)
		text := p.sendBulk(1, defaultWindow, 0)
		p.sendData(1, "more", 0)
		p.advance(freshBytes) // its readers may take as long to run
		require.EqualValues(t, 1, p.s.Stats().Stalls)
		require.EqualValues(t, defaultWindow, p.s.Stats().UnreadBudget)
		p.wantRead("all", st, text+"more")
		require.Zero(t, p.s.Stats().UnreadBytes)
	})
}

// The round trip is known without anybody's PING where the session measures it itself.
func TestStatsOfTuner(t *testing.T) {
	rigTest(t, endless, rigSetup{conn: slowerPath()}, func(t *testing.T, r *rig) {
		body := r.openBody("/")
		readFor(t, body, time.Second)
		require.GreaterOrEqual(t, r.client.Stats().RoundTrip, longRTT)
		require.NoError(t, body.Close())
	})
}
