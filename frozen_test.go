package spdy

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// A process that is stopped cannot be had in fake time. Here the timers of one that has been
// stopped are called, as they are then: late, before anything has been read. tests/heal stops a
// process.

// TestStoppedGiveUp: a giveUp that is late gives its peer thawTime, and one that is called off
// does nothing any more.
func TestStoppedGiveUp(t *testing.T) {
	late := func(calls *atomic.Int32) *giveUp {
		g := newGiveUp(time.Second, func() { calls.Add(1) })
		g.timer.Stop()
		g.due = time.Now().Add(-frozenAfter - 1)
		g.fire()
		return g
	}
	story(t, "late", func(t *testing.T) {
		var calls atomic.Int32
		late(&calls)
		<-time.After(thawTime - 1)
		require.Zero(t, calls.Load())
		<-time.After(1)
		synctest.Wait()
		require.EqualValues(t, 1, calls.Load())
	})
	story(t, "late, and called off", func(t *testing.T) {
		var calls atomic.Int32
		late(&calls).Stop()
		<-time.After(2 * thawTime)
		synctest.Wait()
		require.Zero(t, calls.Load())
	})
	story(t, "in time", func(t *testing.T) {
		var calls atomic.Int32
		newGiveUp(time.Second, func() { calls.Add(1) })
		<-time.After(time.Second)
		synctest.Wait()
		require.EqualValues(t, 1, calls.Load())
	})
}

// stop has the time of a watch run out while the process does not run.
func (w *watch) stopProcess() {
	w.since.Store(w.a.now() - w.limit - int64(frozenAfter) - 1)
	w.check()
}

// TestStoppedKeepalive: a peer whose answer to a PING has come while the process was stopped is
// not given up before that can be read, one that has not answered thawTime later.
func TestStoppedKeepalive(t *testing.T) {
	for name, answers := range map[string]bool{"there": true, "gone": false} {
		storyBoth(t, name, func(t *testing.T, r role) {
			p := newPeer(t, r, peerOpts{conf: watchful})
			p.advance(watchful.PingInterval)
			p.wantPing("it has been quiet", p.firstID())
			p.s.alive.echo.stopProcess()
			p.advance(thawTime - 1)
			p.served.pending("it has some time")
			if answers {
				p.sendPing(p.firstID())
				p.advance(watchful.PingInterval - 1)
				p.served.pending("it has answered")
				return
			}
			p.advance(1)
			requireGaveUp(t, p.served.wait("it has had the time").err, ErrPingTimeout)
		})
	}
}

// TestStoppedDelivery: the time in which the process is stopped is no silence of the peer.
func TestStoppedDelivery(t *testing.T) {
	for name, answers := range map[string]bool{"there": true, "gone": false} {
		story(t, name, func(t *testing.T) {
			p, shutdown := deliveringPeer(t, t.Context())
			p.wantPing("behind the last frame", 2)
			for range deliveryLooks * 2 { // until the silence is nearly over
				p.s.mu.Lock()
				left := p.s.end.delivery.patience - time.Since(p.s.end.delivery.moved)
				p.s.mu.Unlock()
				if left <= defaultDeliveryTimeout/deliveryLooks {
					break
				}
				p.advance(defaultDeliveryTimeout / deliveryLooks)
			}
			p.s.mu.Lock()
			d := p.s.end.delivery
			d.moved, d.looks = d.moved.Add(-time.Hour), d.looks.Add(-time.Hour)
			p.s.mu.Unlock()
			p.s.lookDelivered()
			p.advance(thawTime - 1)
			shutdown.pending("it has some time")
			if answers {
				p.sendPing(2)
				p.advance(maxTrip + linger)
				shutdown.ok("it has answered")
				return
			}
			p.advance(defaultDeliveryTimeout)
			requireGaveUp(t, shutdown.wait("it has had the time").err, ErrDeliveryTimeout)
		})
	}
}

// TestStoppedWaitForResets: the wait for the echo of a PING behind a reset does not end while the
// process was stopped, so that no session of a pool is suspect for that.
func TestStoppedWaitForResets(t *testing.T) {
	scriptedTest(t, "", nil, func(t *testing.T, r *scriptedPool) {
		req := r.request("GET", "http://a.example/", nil)
		ctx, cancel := context.WithCancel(t.Context())
		call := r.start(req.WithContext(ctx))
		p := r.peer(0)
		p.wantSynStream("the request", 1)
		p.send(&SettingsFrame{}) // a server of SPDY, see probeLocked
		<-time.After(time.Second)
		cancel()
		call.wait("cancelled")
		p.resetPings = true
		p.wantRst("cancelled", 1, RstCancel)
		p.wantPing("behind it", 1)
		ps := r.onlySession()
		look := func() {
			ps.s.mu.Lock()
			w := ps.s.resetSlots.wait
			w.looks, w.due = w.looks.Add(-time.Minute), w.due.Add(-time.Minute)
			ps.s.mu.Unlock()
			ps.s.giveUpResets()
		}
		look()
		<-time.After(thawTime - 1)
		require.False(t, ps.isSuspect())
		look()
		<-time.After(thawTime - 1)
		require.Equal(t, 1, r.sessions(), "it has some time")
		p.sendPing(1)
		<-time.After(time.Minute)
		require.Equal(t, 1, r.sessions(), "it is there")
	})
}

// onlySession is the session that a Transport has in its pool.
func (r *poolRig) onlySession() *pooledSession {
	require.Equal(r.t, 1, r.sessions())
	p := r.tr.sessions()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.origins {
		return o.sessions[0]
	}
	return nil
}

// TestIdleBySleep: a session that was idle while the machine slept is not used when that took
// longer than it may be idle, although no timer knows; a clock that is set back changes nothing.
func TestIdleBySleep(t *testing.T) {
	for name, c := range map[string]struct {
		timeout, config, asleep time.Duration
		dials                   int
	}{
		"longer than IdleConnTimeout":    {time.Minute, 0, time.Hour, 2},
		"shorter":                        {time.Minute, 0, 50 * time.Second, 1},
		"longer than Config.IdleTimeout": {0, time.Minute, time.Hour, 2},
		"the clock is set back":          {time.Minute, 0, -time.Hour, 1},
	} {
		poolStory(t, name, helloHandler, func(r *poolRig) {
			r.tr.IdleConnTimeout = c.timeout
			conf := *quietConfig
			conf.IdleTimeout = c.config
			r.tr.Config = &conf
		}, func(t *testing.T, r *poolRig) {
			r.get("http://a.example/")
			ps := r.onlySession()
			ps.s.mu.Lock()
			ps.since = ps.since.Round(0).Add(-c.asleep)
			ps.s.mu.Unlock()
			r.get("http://a.example/")
			require.Equal(t, c.dials, r.dials())
			require.Equal(t, 1, r.sessions())
		})
	}
}

func helloHandler(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

// asleep is t as it is after the machine has slept for d: older by the wall clock alone. It is for
// times with a reading of the monotonic clock, which those of a bubble have not.
func asleep(t *testing.T, since time.Time, d time.Duration) time.Time {
	slept := since.Add(-d)
	(*[2]int64)(unsafe.Pointer(&slept))[1] += int64(d) // that reading, see time.Time
	require.Zero(t, since.Sub(slept))
	require.Equal(t, d, since.Round(0).Sub(slept.Round(0)))
	return slept
}

// TestSleepWithoutLimit: after a sleep, a session that may be idle for ever has to show that it is
// alive before a request uses it. Whichever is quicker serves the request: an answer to a PING, or
// another connection.
func TestSleepWithoutLimit(t *testing.T) {
	for name, gone := range map[string]bool{"alive": false, "dead": true} {
		t.Run(name, func(t *testing.T) {
			r := newPoolRig(t, helloHandler)
			r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if r.dials() > 0 && !gone { // the session is all that there is
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return r.dial(ctx, network, addr)
			}
			r.serve()
			defer r.close()
			get := func() {
				c := r.startGet("http://a.example/")
				<-c.end
				require.NoError(t, c.err)
			}
			get()
			p := r.tr.sessions()
			sessions, _ := p.sessionsOf(originKey{scheme: "http", addr: "a.example:80"})
			require.Len(t, sessions, 1)
			ps := sessions[0]
			require.Eventually(t, func() bool {
				ps.s.mu.Lock()
				defer ps.s.mu.Unlock()
				return ps.unused
			}, time.Minute, time.Millisecond)
			r.conns[0].SetBlackHole(gone)
			ps.s.mu.Lock()
			since := ps.since
			ps.s.mu.Unlock()
			since = asleep(t, since, time.Hour)
			ps.s.mu.Lock()
			ps.since = since
			ps.s.mu.Unlock()
			get()
			get()
			require.Equal(t, map[bool]int{false: 1, true: 2}[gone], r.dials())
			r.conns[0].SetBlackHole(false)
		})
	}
}
