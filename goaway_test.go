package spdy

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func isClosed(latch <-chan struct{}) bool {
	select {
	case <-latch:
		return true
	default:
		return false
	}
}

// openReplied opens a stream and has the peer reply to it.
func (p *testPeer) openReplied(why string) *RawStream {
	p.t.Helper()
	st := p.openRaw(why)
	p.sendSynReply(st.ID(), 0)
	return st
}

func TestPeerGoAway(t *testing.T) {
	story(t, "whoever waits is told, and the last one counts", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{})
		st := p.openReplied("opened")
		heard := p.s.PeerGoAway()
		_, ok := p.s.PeerLastGood()
		require.False(t, ok)
		p.sendGoAway(7, GoAwayOK)
		<-heard
		last, ok := p.s.PeerLastGood()
		require.True(t, ok)
		require.EqualValues(t, 7, last)
		p.sendGoAway(1, GoAwayOK)
		p.wantIdle("nothing is said to it")
		last, _ = p.s.PeerLastGood()
		require.EqualValues(t, 1, last)
		require.True(t, isClosed(p.s.PeerGoAway()), "who asks later knows at once")
		require.NoError(t, st.Err(), "the stream goes on")
	})
	story(t, "who asks late knows at once", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{})
		p.openReplied("opened")
		p.sendGoAway(1, GoAwayOK)
		p.wantIdle("nothing is said to it")
		require.True(t, isClosed(p.s.PeerGoAway()))
	})
	story(t, "an end without GOAWAY is none", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{})
		heard := p.s.PeerGoAway()
		p.conn.Close()
		<-p.s.Done()
		require.False(t, isClosed(heard))
	})
}

func TestMaxControlFrame(t *testing.T) {
	story(t, "a control frame of the size that is allowed", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{conf: Config{MaxControlFrame: settingsFixed + 2*settingSize}})
		p.sendRaw(appendSettings(nil, SPDY31, 0, []Setting{{ID: SettingRoundTripTime}, {ID: SettingCurrentCwnd}}))
		p.wantIdle("is taken")
		p.sendRaw(appendSettings(nil, SPDY31, 0, []Setting{{ID: SettingRoundTripTime}, {ID: SettingCurrentCwnd}, {ID: SettingUploadBandwidth}}))
		p.wantGoAway("a larger one is not", 0, GoAwayProtocolError)
	})
	story(t, "DATA is not meant", func(t *testing.T) {
		conf := Config{MaxControlFrame: 100}
		p := newPeer(t, asServer, peerOpts{conf: conf, app: newAcceptQueue(&conf)})
		p.sendSynStream(1, 0)
		p.sendBulk(1, 1000, 0)
		p.wantRawRead("it comes", p.acceptRaw("opened", 1), string(testBytes(1000)))
	})
}

// SpeakFirst lets a server's application be heard before its client, and nobody else.
func TestSpeakFirst(t *testing.T) {
	for _, r := range []role{asServer, asClient} {
		story(t, "the application's frames leave, the session's wait", func(t *testing.T) {
			p := newUnaware(t, r, Config{SpeakFirst: true})
			ping := p.startPing(context.Background())
			id := map[role]uint32{asServer: 2, asClient: 1}[r]
			p.wantPing("at once", id)
			p.openRaw("so does a stream")
			p.wantIdle("no SETTINGS")
			p.sendPing(id)
			ping.ok("it came back")
			p.wantHello("now the session, too")
			p.wantIdle("the PING is not sent again")
		})
	}
}

// What came before the peer reset a stream is not lost in the mode for Kubernetes, where
// a reset is how a stream ends that has been written to its end.
func TestUnawareReadsWhatCameBeforeTheReset(t *testing.T) {
	story(t, "read late", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{})
		st := p.openReplied("opened")
		p.sendData(st.ID(), "exit 7", 0)
		p.sendRst(st.ID(), RstCancel)
		<-st.Done()
		read := p.rawReadAll(st)
		read.failsReset("the end is no clean one", RstCancel, true)
		require.Equal(t, "exit 7", string(read.data))
		require.EqualValues(t, 0, p.s.unawareStats().unread)
	})
	story(t, "accepted late", func(t *testing.T) {
		p := newUnaware(t, asServer, Config{})
		p.sendSynStream(1, 0)
		p.wantHello("")
		p.sendData(1, "short", 0)
		p.sendRst(1, RstCancel)
		p.sendSynStream(3, 0)
		p.sendRst(3, RstCancel)
		p.sendSynStream(5, 0)
		p.wantRawRead("it has something to say", p.acceptRaw("first", 1), "short")
		p.acceptRaw("the second had nothing", 5)
	})
}
