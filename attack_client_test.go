package spdy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A20, retries that multiply (golang/go#20985, #39086): on a new session a request is sent
// again only if the server reports that it has not processed it, and the body can be sent
// again; six times at most, with pauses. TestAttackA27 has sessions that carried requests
// before.
func TestAttackA20Retries(t *testing.T) {
	type fate struct {
		name   string
		unseen bool // says that nothing has been done
		do     func(p *testPeer, id uint32)
	}
	fates := []fate{
		{"REFUSED_STREAM", true, func(p *testPeer, id uint32) { p.sendRst(id, RstRefusedStream) }},
		{"GOAWAY before it", true, func(p *testPeer, id uint32) { p.sendGoAway(0, GoAwayOK) }},
		{"GOAWAY behind it", false, func(p *testPeer, id uint32) { p.sendGoAway(id, GoAwayOK); p.conn.Reset() }},
		{"INTERNAL_ERROR", false, func(p *testPeer, id uint32) { p.sendRst(id, RstInternalError) }},
		{"CANCEL", false, func(p *testPeer, id uint32) { p.sendRst(id, RstCancel) }},
		{"connection lost", false, func(p *testPeer, id uint32) { p.conn.Reset() }},
		{"part of an answer", false, func(p *testPeer, id uint32) {
			p.send(&SynReplyFrame{StreamID: id, Headers: plainOK(p.version)})
			p.sendData(id, "a part", 0)
			p.sendRst(id, RstRefusedStream)
		}},
	}
	for _, v := range everyVersion {
		for _, f := range fates {
			for how, repeatable := range map[string]bool{"GET": true, "POST, body rewound": true, "POST, body read": false} {
				name := "client/" + versionElement(v) + "/" + f.name + "/" + how
				t.Run(name, func(t *testing.T) {
					scriptedTest(t, "tries", func(r *poolRig) { r.tr.Config = &Config{Version: v, Logger: quietConfig.Logger} }, func(t *testing.T, r *scriptedPool) {
						r.version = v
						method, _, _ := strings.Cut(how, ",")
						var body io.Reader
						if method == "POST" {
							body = strings.NewReader("text") // with which GetBody is there
						}
						req := r.request(method, "http://a.example/", body)
						if !repeatable {
							req.GetBody = nil
						}
						call := r.start(req)
						seen := r.playAll(call, f.do)
						call.wait("it does not go on for ever")
						if f.unseen && repeatable {
							if v == SPDY2 && strings.HasPrefix(f.name, "GOAWAY") { // which may be for an error
								require.Equal(t, 2, seen)
								return
							}
							require.Equal(t, maxTries, seen)
						} else {
							require.Equal(t, 1, seen, "once is all")
						}
						require.Error(t, call.err)
					})
				})
			}
		}
	}
}

// playAll does to every request that reaches a server what do does, until the call has
// returned, and returns how many there were.
func (r *scriptedPool) playAll(call *poolCall, do func(p *testPeer, id uint32)) (seen int) {
	for range 100 {
		if call.returned() {
			break
		}
		r.mu.Lock()
		peers := append([]*testPeer(nil), r.peers...)
		r.mu.Unlock()
		for _, p := range peers {
			for p.conn.Unread() > 0 {
				frame, err := p.f.ReadFrame()
				if err != nil {
					break
				}
				if f, ok := frame.(*SynStreamFrame); ok {
					seen++
					do(p, f.StreamID)
				}
				synctest.Wait()
			}
		}
		pass(time.Second)
	}
	return seen
}

// A21, pushes that nobody wants: a client that has not asked for pushes takes none, and
// one that has holds few, of the origin it talks to, and is not held up by them.
func TestAttackA21Push(t *testing.T) {
	attackStory(t, "flood, nobody wants any", victimClient, everyVersion, func(t *testing.T, _ role, v Version) {
		p := httpClient(t, v)
		g := p.startGet("/")
		p.wantSynStream("a request", 1)
		sent := 0
		for ; sent < 5000 && !p.s.ended(); sent++ {
			p.send(p.pushFrame(uint32(2+2*sent), 1, fmt.Sprintf("/%d", sent)))
			if sent == 0 {
				p.wantReset("refused", 2, RstRefusedStream)
				p.advance(limitWait) // it has answered our PING, and knows that we take none
				require.Zero(t, p.s.Stats().ChargedResets)
			}
			synctest.Wait()
			require.LessOrEqual(t, openStreams(p.s), 1)
		}
		require.True(t, p.s.ended(), "refusing costs, so it has an end")
		require.ErrorIs(t, p.s.Err(), ErrFlood)
		g.fails("and the session ends", ErrFlood)
		p.drainOrEnd()
	})
	attackStory(t, "flood, all are wanted", victimClient, everyVersion, func(t *testing.T, _ role, v Version) {
		var asked atomic.Int64
		conf := Config{SessionWindow: 1 << 20, AcceptPush: func(promised, cause *http.Request) bool {
			asked.Add(1)
			return true
		}}
		p := pushClient(t, v, conf)
		most := 0
		for i := 0; i < 2000 && !p.s.ended(); i++ {
			id := uint32(2 + 2*i)
			p.send(p.pushFrame(id, 1, fmt.Sprintf("/%d", i)))
			p.sendData(id, strings.Repeat("x", 1000), 0)
			synctest.Wait()
			most = max(most, openStreams(p.s))
			require.LessOrEqual(t, unreadBytes(p.s), int64(p.s.conf.SessionWindow)/2+1000)
			if i%10 == 0 {
				p.drainOrEnd()
			}
		}
		require.LessOrEqual(t, most, p.s.conf.unclaimedPushes()+2)
		p.drainOrEnd()
	})
	for name, edit := range map[string][]string{
		"another host":   {":host", "elsewhere.example"},
		"another port":   {":host", "example.com:8080"},
		"another scheme": {":scheme", "https"},
		"a POST":         {":method", "POST"},
		"no path":        {":path", "-"},
	} {
		attackStory(t, name, victimClient, version3, func(t *testing.T, _ role, v Version) {
			p := pushClient(t, v, Config{AcceptPush: func(promised, cause *http.Request) bool {
				t.Errorf("asked for %v", promised.URL)
				return true
			}})
			f := p.pushFrame(2, 1, "/a")
			f.Headers = override(f.Headers, httpBlock(v, edit...))
			p.send(f)
			rst := wantFrame[*RstStreamFrame](p, "no push")
			require.Contains(t, []RstStatus{RstRefusedStream, RstProtocolError}, rst.Status)
			p.wantNothing("and the session goes on")
		})
	}
	attackStory(t, "for nobody's request", victimClient, everyVersion, func(t *testing.T, _ role, v Version) {
		p := pushClient(t, v)
		for i, assoc := range []uint32{0, 3, maxStreamID, 2} {
			p.wantPushRefused("there is none", p.pushFrame(uint32(2+2*i), assoc, "/a"), RstInvalidStream)
		}
	})
	attackStory(t, "one that never decides", victimClient, everyVersion, func(t *testing.T, _ role, v Version) {
		release := make(chan bool)
		p := pushClient(t, v, Config{AcceptPush: func(promised, cause *http.Request) bool { return <-release }})
		p.send(p.pushFrame(2, 1, "/a"))
		p.wantAlive("a user's function holds up nobody")
		p.send(&SynReplyFrame{StreamID: 1, Flags: FlagFin, Headers: plainOK(v)})
		p.advance(pushPatience)
		p.wantRst("a push that nobody has asked for", 2, RstCancel)
		p.wantAlive("nor later")
		close(release)
		synctest.Wait()
		p.drainOrEnd()
	})
}
