package spdy

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// everyVersionRun runs f once for each version.
func everyVersionRun(t *testing.T, f func(t *testing.T, v Version)) {
	for _, v := range everyVersion {
		t.Run(v.String(), func(t *testing.T) { f(t, v) })
	}
}

// pushRig is a client that takes pushes and a server that pushes count bodies of size
// bytes along with "/".
func pushRig(t *testing.T, v Version, count, size int, f func(t *testing.T, r *rig)) {
	conf := Config{Version: v, StreamWindow: 64 << 10, SessionWindow: 44 * 64 << 10, MaxConcurrentStreams: 20}
	client := conf
	conf.MaxConcurrentStreams = 44 // half of them for handlers of pushes
	client.AcceptPush = func(promised, cause *http.Request) bool { return true }
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			for i := range count {
				assert.NoError(t, w.(http.Pusher).Push(fmt.Sprintf("/push%d", i), nil))
			}
			return
		}
		_, _ = io.Copy(w, newPattern(7, int64(size)))
	}, rigSetup{client: &client, server: &conf}, f)
}

// wantPattern gets a path and wants the body that a pushRig answers with.
func (r *rig) wantPattern(path string, size int64) {
	r.t.Helper()
	_, body := r.get(path)
	check := newPatternCheck(7, size)
	_, _ = io.WriteString(check, body)
	require.NoError(r.t, check.whole())
}

// TestUnclaimedPushes leaves as many pushes unread as the client takes.
func TestUnclaimedPushes(t *testing.T) {
	everyVersionRun(t, func(t *testing.T, v Version) {
		const count, size = 20, 100 << 10
		pushRig(t, v, count, size, func(t *testing.T, r *rig) {
			r.get("/")
			synctest.Wait()
			r.wantPattern("/asked-for", size) // which does not stall
			r.wantPattern(fmt.Sprintf("/push%d", count-1), size)
			r.wantPattern("/push0", size) // pushed or not
			require.NoError(t, r.client.Shutdown(t.Context()))
			client, server := r.ended()
			require.NoError(t, client)
			require.NoError(t, server)
		})
	})
}

// TestUnclaimedPushesDoNotHoldASession ends sessions, from either side, on which
// nobody has asked for a push that is not complete.
func TestUnclaimedPushesDoNotHoldASession(t *testing.T) {
	everyVersionRun(t, func(t *testing.T, v Version) {
		for _, end := range []func(r *rig) *Session{
			func(r *rig) *Session { return r.client },
			func(r *rig) *Session { return r.server },
		} {
			pushRig(t, v, 2, 1<<20, func(t *testing.T, r *rig) {
				r.get("/")
				synctest.Wait()
				require.NoError(t, end(r).Shutdown(t.Context()))
				client, server := r.ended()
				require.NoError(t, client)
				require.NoError(t, server)
			})
		}
	})
}

// TestPushAfterGoAway makes a server push on a session that is going away.
func TestPushAfterGoAway(t *testing.T) {
	for _, v := range everyVersion {
		story(t, v.String(), func(t *testing.T) {
			p := pushClient(t, v)
			p.sendGoAway(1, GoAwayOK)
			p.send(p.pushFrame(2, 1, "/a"))
			p.wantRst("nobody would ask for it", 2, RstRefusedStream)
			p.wantNothing("the request is open still")
		})
	}
}

// TestClaimedPush reads a pushed body that is larger than every window, and gives up
// another.
func TestClaimedPush(t *testing.T) {
	everyVersionRun(t, func(t *testing.T, v Version) {
		const size = 1 << 20
		pushRig(t, v, 2, size, func(t *testing.T, r *rig) {
			r.get("/")
			synctest.Wait()
			r.wantPattern("/push0", size)
			res, err := r.client.RoundTrip(r.request("GET", "/push1", nil))
			require.NoError(t, err)
			_, err = io.CopyN(io.Discard, res.Body, 1000)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			synctest.Wait()
			require.Zero(t, openStreams(r.client))
			require.Zero(t, openStreams(r.server))
			r.wantPattern("/asked-for", size)
		})
	})
}

// TestPushesLeaveNothing: what has been pushed, and nobody has asked for, goes when the
// session does, however it ends and whatever has come.
func TestPushesLeaveNothing(t *testing.T) {
	ways := map[string]func(r *rig){
		"lost":  func(r *rig) { r.cc.Reset() },
		"EOF":   func(r *rig) { r.sc.CloseWrite() },
		"Close": func(r *rig) { r.client.Close() },
		"error": func(r *rig) { r.client.fail(sessionErrorf(GoAwayProtocolError, "test")) },
	}
	everyVersionRun(t, func(t *testing.T, v Version) {
		for name, end := range ways {
			for _, size := range []int{1000, 100 << 10} { // a whole push, and a part of one
				chunks := chunksOut.Load()
				t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
					pushRig(t, v, 2, size, func(t *testing.T, r *rig) {
						r.get("/")
						synctest.Wait()
						require.Positive(t, r.client.Stats().UnreadBytes)
						end(r)
						r.client.Close()
						synctest.Wait()
						require.Zero(t, r.client.Stats().UnreadBytes)
						_, _, err := r.fetch(r.request("GET", "/push0", nil))
						require.ErrorIs(t, err, r.client.Err())
					})
				})
				require.Equal(t, chunks, chunksOut.Load(), "chunks that are not in their pools")
			}
		}
	})
}
