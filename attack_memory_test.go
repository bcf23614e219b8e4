package spdy

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// heldSessions is how many sessions A14 keeps, heldHeap what all of them may weigh in
// bytes, and heldGoroutines how many goroutines each of them may have.
const (
	heldSessions   = 1000
	heldHeap       = 150 << 20
	heldGoroutines = 3
)

// A14, memory for each connection (CVE-2021-44716, CVE-2022-41717): sessions that have
// been used and are idle weigh little, and no cache grows with what peers send.
func TestAttackA14Caches(t *testing.T) {
	attackStory(t, "idle sessions", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		var peers []*testconn.Conn
		var sessions []*Session
		ended := make(chan error, heldSessions)
		before, running := liveHeap(), runtime.NumGoroutine()
		held := much(heldSessions)
		for range held {
			ours, conn := testconn.Pair()
			conf := &Config{Version: v, Logger: quietConfig.Logger}
			s := conf.ClientSession(ours)
			if r == asServer {
				s = conf.ServerSession(ours, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})})
			}
			go func() { ended <- s.Serve() }()
			peers, sessions = append(peers, conn), append(sessions, s)
			f := NewFramer(conn, conn, v)
			if r == asServer { // a request each, with some header
				require.NoError(t, f.WriteFrame(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v, "cookie", strings.Repeat("c", 3000))}))
			} else {
				answered := make(chan error, 1)
				go func() {
					_, err := s.RoundTrip(newTestRequest(t, "GET", nil))
					answered <- err
				}()
				synctest.Wait()
				require.NoError(t, f.WriteFrame(&SynReplyFrame{StreamID: 1, Flags: FlagFin, Headers: plainOK(v, "set-cookie", strings.Repeat("c", 3000))}))
				require.NoError(t, <-answered)
			}
			synctest.Wait()
			_, err := conn.Read(make([]byte, 8192)) // the peer's end is to hold nothing
			require.NoError(t, err)
		}
		require.LessOrEqual(t, runtime.NumGoroutine()-running, heldGoroutines*held)
		require.Less(t, liveHeap()-before, int64(heldHeap)*int64(held)/heldSessions)
		for i, s := range sessions {
			peers[i].Close()
			s.shutdown(ErrSessionClosed)
			<-ended
		}
	})
	for name, pair := range map[string]func(i int) HeaderField{
		"ever new names":  func(i int) HeaderField { return HeaderField{fmt.Sprintf("x-%0100d", i), "1"} },
		"ever new values": func(i int) HeaderField { return HeaderField{"x-name", fmt.Sprintf("%01000d", i)} },
		"ever new hosts":  func(i int) HeaderField { return HeaderField{":host", fmt.Sprintf("h-%d.example", i)} },
	} {
		attackStory(t, name, victimServer, everyVersion, func(t *testing.T, _ role, v Version) {
			p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) {})
			id := uint32(1)
			send := func(n int) {
				for range n {
					f := pair(int(id))
					p.send(&SynStreamFrame{StreamID: id, Flags: FlagFin, Headers: plainGet(v, f.Name, f.Value)})
					p.drain()
					id += 2
				}
			}
			send(300) // until every buffer there is has been made
			before := liveHeap()
			send(much(3000))
			require.Less(t, liveHeap()-before, int64(256<<10))
		})
		if name == "ever new hosts" {
			continue // which a server does not choose
		}
		attackStory(t, name, victimClient, everyVersion, func(t *testing.T, _ role, v Version) {
			p := httpClient(t, v)
			id := uint32(1)
			get := func(n int) {
				for range n {
					g := p.startGet("/")
					p.wantSynStream("a request", id)
					f := pair(int(id))
					p.send(&SynReplyFrame{StreamID: id, Flags: FlagFin, Headers: plainOK(v, f.Name, f.Value)})
					g.ok("an answer")
					p.drain()
					id += 2
				}
			}
			get(200)
			p.opened = nil
			before := liveHeap()
			get(much(1000))
			require.Less(t, liveHeap()-before, int64(256<<10))
		})
	}
}
