package spdy

import (
	"fmt"
	"io"
	"math/rand/v2"
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

// TestNastyConnections runs the scenarios of the sweep over connections that dribble, that
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
	sc := sweepScenarios[(seed+uint64(v))%uint64(len(sweepScenarios))]
	client, server := sc.configs(v)
	for _, c := range []*Config{client, server} {
		c.PingInterval, c.PingTimeout, c.WriteTimeout, c.Logger = time.Second, time.Second, 2*time.Second, quietConfig.Logger
	}
	s := newSweepRun(sc)
	s.body, s.latency = 4000, time.Millisecond
	cc, other := testconn.Pair(testconn.ReadSize(1 + int(seed%3)*100))
	mine := &nastyConn{Conn: cc, rnd: rand.New(rand.NewPCG(seed, 1))}
	theirs := &nastyConn{Conn: other, rnd: rand.New(rand.NewPCG(seed, 2))}
	broken := mine
	if breaks == "server" {
		broken = theirs
	}
	broken.left, broken.act = 1+rnd.IntN(12_000), act
	s.start(t, mine, theirs, client, server)
	sc.run(s)
	s.r.close()
	synctest.Wait() // for handlers
	s.check(t, "", io.EOF, sc.leaves)
	if act == nil {
		require.True(t, sc.leaves || len(s.at) == 0, "%v", s.at)
		if !sc.leaves { // or a GOAWAY crosses what was sent on a stream that it refuses
			s.checkDelivery(t, "", false)
		}
	}
	require.Equal(t, chunks, chunksOut.Load(), "chunks that are not in their pools")
}
