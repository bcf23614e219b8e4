package spdy

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A nastyConn is a connection that cuts what is written into pieces of any size, each of
// which takes its time, and that breaks in some way after so many bytes.
type nastyConn struct {
	*testconn.Conn
	rnd  *rand.Rand
	left int // bytes until it breaks; it does so once
	act  func(c *testconn.Conn)
}

func (c *nastyConn) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		k := 1 + c.rnd.IntN(min(len(p)-n, 1<<c.rnd.IntN(16)))
		if c.left > 0 && k >= c.left {
			k = c.left
		}
		c.SetLatency(time.Duration(c.rnd.IntN(int(20 * time.Millisecond))))
		k, err = c.Conn.Write(p[n : n+k])
		n += k
		if c.left -= k; c.left == 0 && c.act != nil {
			c.act(c.Conn)
		}
	}
	return n, err
}

// TestNastyConnections runs the scenario of the sweep over connections that dribble, that
// deliver one byte at a time, and that break, close one direction or fall silent somewhere
// in the middle. Everything ends, for one reason at each end, and nothing is left.
func TestNastyConnections(t *testing.T) {
	ways := map[string]func(c *testconn.Conn){
		"none":       nil,
		"reset":      (*testconn.Conn).Reset,
		"half close": func(c *testconn.Conn) { c.CloseWrite() },
		"stall":      func(c *testconn.Conn) { c.SetBlackHole(true); c.Peer().SetBlackHole(true) },
		"deaf":       func(c *testconn.Conn) { c.Peer().SetBlackHole(true) },
	}
	runs := 12
	if raceEnabled {
		runs = 2
	}
	for _, v := range everyVersion {
		for name, act := range ways {
			for _, breaks := range []string{"client", "server"} {
				t.Run(fmt.Sprintf("%v/%s/%s", v, name, breaks), func(t *testing.T) {
					var seed uint64
					defer func() {
						if t.Failed() {
							t.Logf("with seed %d", seed)
						}
					}()
					for ; seed < uint64(runs); seed++ {
						synctest.Test(t, func(t *testing.T) { nastyRun(t, v, seed, breaks, act) })
					}
				})
			}
		}
	}
}

// nastyRun is one run, with the break in what one end writes.
func nastyRun(t *testing.T, v Version, seed uint64, breaks string, act func(c *testconn.Conn)) {
	chunks := chunksOut.Load()
	rnd := rand.New(rand.NewPCG(seed, 0))
	client, server := sweepConfigs(v)
	for _, c := range []*Config{client, server} {
		c.PingInterval, c.PingTimeout, c.WriteTimeout, c.Logger = time.Second, time.Second, 2*time.Second, quietConfig.Logger
	}
	s := &sweepRun{body: 4000, at: make(map[string][]error)}
	cc, sc := testconn.Pair(testconn.ReadSize(1 + int(seed%3)*100))
	mine := &nastyConn{Conn: cc, rnd: rand.New(rand.NewPCG(seed, 1))}
	theirs := &nastyConn{Conn: sc, rnd: rand.New(rand.NewPCG(seed, 2))}
	broken := mine
	if breaks == "server" {
		broken = theirs
	}
	broken.left, broken.act = 1+rnd.IntN(12_000), act
	r := startRig(t, mine, theirs, client, server, http.HandlerFunc(s.serve))
	r.cc, r.sc = cc, sc
	s.r = r
	s.run(t)
	r.close()
	synctest.Wait() // for handlers
	s.check(t, "", io.EOF)
	if act == nil {
		require.Empty(t, s.at)
	}
	require.Zero(t, openStreams(r.client)+openStreams(r.server))
	require.Zero(t, r.client.Stats().UnreadBytes+r.server.Stats().UnreadBytes)
	require.Equal(t, chunks, chunksOut.Load(), "chunks that are not in their pools")
}
