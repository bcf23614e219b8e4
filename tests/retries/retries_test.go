package retries

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// A27: a request that makes servers fail must not end one session after another, with the
// requests of others.

const maxSends = 6 // of a request that servers do not process

// A rule returns the number of sends of a request whose tries all fail alike. warm is the
// number of sessions with an earlier request.
type rule func(v spdy.Version, k kind, warm int) int

func once(spdy.Version, kind, int) int { return 1 }

// ifUnprocessed is the rule if the server reports each try as not processed.
func ifUnprocessed(_ spdy.Version, k kind, _ int) int {
	if k.rewindable {
		return maxSends
	}
	return 1
}

// ifGone is the rule for a GOAWAY without an error, which may be about an error in SPDY/2.
func ifGone(v spdy.Version, k kind, warm int) int {
	if v == spdy.SPDY2 {
		return min(2, ifUnprocessed(v, k, warm))
	}
	return ifUnprocessed(v, k, warm)
}

// ifLost is the rule for lost connections.
func ifLost(_ spdy.Version, k kind, warm int) int {
	if k.replayable && warm > 0 {
		return 2
	}
	return 1
}

// onlyInSPDY2 is the rule for a GOAWAY with an error, whose status SPDY/2 does not send.
func onlyInSPDY2(r rule) rule {
	return func(v spdy.Version, k kind, warm int) int {
		if v == spdy.SPDY2 {
			return r(v, k, warm)
		}
		return 1
	}
}

// A failure ends a try.
type failure struct {
	name  string
	fate  func(e *exchange)
	sends rule
	err   func(t *testing.T, v spdy.Version, err error)
	h1    func(e *exchange) // the same over HTTP/1.1, nil if HTTP/1.1 has no equivalent
}

// lose resets the connection.
func lose(e *exchange) { e.raw.Reset() }

func hangUp(e *exchange) { e.raw.Close() }

// vanish drops all further bytes in both directions.
func vanish(e *exchange) {
	e.raw.SetBlackHole(true)
	e.raw.Peer().SetBlackHole(true)
}

// inSPDY2 wants one of two errors.
func inSPDY2(v2 func(*testing.T, error), others func(*testing.T, error)) func(*testing.T, spdy.Version, error) {
	return func(t *testing.T, v spdy.Version, err error) {
		t.Helper()
		if v == spdy.SPDY2 {
			v2(t, err)
		} else {
			others(t, err)
		}
	}
}

func always(f func(*testing.T, error)) func(*testing.T, spdy.Version, error) { return inSPDY2(f, f) }

func peerError(status spdy.GoAwayStatus) func(*testing.T, error) {
	return func(t *testing.T, err error) { t.Helper(); requirePeerError(t, err, status) }
}

func is(target error) func(*testing.T, error) {
	return func(t *testing.T, err error) { t.Helper(); require.ErrorIs(t, err, target) }
}

var failures = []failure{
	{"REFUSED_STREAM", (*exchange).refuse, ifUnprocessed, always(requireRetryable), nil},
	{"GOAWAY before it", func(e *exchange) { e.goAway(0, spdy.GoAwayOK) }, ifGone, always(requireRetryable), nil},
	{
		"GOAWAY with PROTOCOL_ERROR", func(e *exchange) { e.goAway(0, spdy.GoAwayProtocolError); hangUp(e) },
		onlyInSPDY2(ifGone), inSPDY2(requireRetryable, peerError(spdy.GoAwayProtocolError)), nil,
	},
	{
		"GOAWAY with INTERNAL_ERROR behind it", func(e *exchange) { e.goAway(e.id, spdy.GoAwayInternalError); hangUp(e) },
		onlyInSPDY2(ifLost), inSPDY2(requireLost, peerError(spdy.GoAwayInternalError)), nil,
	},
	{
		"GOAWAY with an error, and then one without", func(e *exchange) {
			e.goAway(e.id, spdy.GoAwayInternalError)
			e.goAway(0, spdy.GoAwayOK)
		},
		onlyInSPDY2(ifGone), inSPDY2(requireRetryable, peerError(spdy.GoAwayInternalError)), nil,
	},
	{
		"GOAWAY with an error behind it, and silence", func(e *exchange) {
			e.goAway(e.id, spdy.GoAwayInternalError)
			synctest.Wait() // the client has read it
			vanish(e)
		},
		onlyInSPDY2(ifLost), always(is(spdy.ErrPingTimeout)), nil,
	},
	{"connection reset", lose, ifLost, always(requireLost), lose},
	{"connection closed", hangUp, ifLost, always(requireLost), hangUp},
	{
		"GOAWAY behind it, and closed", func(e *exchange) { e.goAway(e.id, spdy.GoAwayOK); hangUp(e) },
		ifLost, always(requireLost), nil,
	},
	{"answer begun, and closed", func(e *exchange) { e.reply("200", 0); hangUp(e) },
		once, always(is(io.ErrUnexpectedEOF)), func(e *exchange) {
			_, _ = io.WriteString(e.conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
			hangUp(e)
		}},
	{"interim answer, and closed", func(e *exchange) { e.reply("100", 0); hangUp(e) },
		once, always(requireLost), func(e *exchange) {
			_, _ = io.WriteString(e.conn, "HTTP/1.1 100 Continue\r\n\r\n")
			hangUp(e)
		}},
	{"interim answer, and refused", func(e *exchange) { e.reply("100", 0); e.refuse() },
		once, always(requireRetryable), nil},
	{"push, and closed", func(e *exchange) { e.push(); hangUp(e) }, once, always(requireLost), nil},
	{"push, and refused", func(e *exchange) { e.push(); e.refuse() }, once, always(requireRetryable), nil},
	{"CANCEL", func(e *exchange) { e.send(&spdy.RstStreamFrame{StreamID: e.id, Status: spdy.RstCancel}) },
		once, nil, nil},
	{"closed by its own side", func(e *exchange) { e.session().Close() }, once, always(is(spdy.ErrSessionClosed)), nil},
	{"no echo of a PING", vanish, ifLost, always(is(spdy.ErrPingTimeout)), nil},
}

// TestAttackA27Retries shows how often a client sends a request whose tries all fail alike.
func TestAttackA27Retries(t *testing.T) {
	for _, f := range failures {
		for _, c := range clients {
			for _, k := range c.kinds {
				for _, warm := range []int{0, 1, 3} {
					name := fmt.Sprintf("%s/%s/%s/%d warm", c.name, f.name, k.name, warm)
					bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
						o := newOrigin(t, v)
						o.conf.PingInterval, o.conf.PingTimeout = 10*time.Second, 5*time.Second
						o.single, o.fate = true, f.fate
						rt := c.make(o)
						o.warmUp(rt, warm)
						_, err := fetch(rt, k.request(o))
						require.Error(t, err)
						require.Equal(t, f.sends(v, k, warm), o.sends())
						if f.err != nil {
							f.err(t, v, err)
						}
					})
				}
			}
		}
	}
}

// TestAsHTTP1 shows that net/http over HTTP/1.1 follows the same rules.
func TestAsHTTP1(t *testing.T) {
	for _, f := range failures {
		if f.h1 == nil {
			continue
		}
		for _, k := range kinds {
			for _, warm := range []int{0, 1} {
				bubble.Run(t, fmt.Sprintf("%s/%s/%d warm", f.name, k.name, warm), func(t *testing.T) {
					o := newOrigin(t, 0)
					o.fate = f.h1
					rt := http1Client(o)
					o.warmUp(rt, warm)
					_, err := fetch(rt, k.request(o))
					require.Error(t, err)
					require.Equal(t, f.sends(spdy.SPDY31, k, warm), o.sends())
				})
			}
		}
	}
}

// TestSecondTry shows that the caller receives the answer to the second try, and the server
// the whole body.
func TestSecondTry(t *testing.T) {
	for _, f := range failures {
		for _, c := range clients {
			for _, k := range c.kinds {
				bubble.InVersions(t, c.name+"/"+f.name+"/"+k.name, func(t *testing.T, v spdy.Version) {
					if f.sends(v, k, 1) == 1 {
						return
					}
					o := newOrigin(t, v)
					o.conf.PingInterval, o.conf.PingTimeout = 10*time.Second, 5*time.Second
					o.fate = func(e *exchange) {
						if e.n == 1 {
							f.fate(e)
						} else {
							e.answer("done")
						}
					}
					rt := c.make(o)
					o.warmUp(rt, 1)
					body, err := fetch(rt, k.request(o))
					require.NoError(t, err)
					require.Equal(t, "done", body)
					want := ""
					if k.body {
						want = "text"
					}
					require.Equal(t, []string{want, want}, o.sent)
				})
			}
		}
	}
}

// TestAttackA27OthersAnswered shows that the first request of a session is sent again after
// the session answered another request, and not before.
func TestAttackA27OthersAnswered(t *testing.T) {
	for _, c := range clients {
		for _, answered := range []bool{false, true} {
			bubble.InVersions(t, fmt.Sprintf("%s/%v", c.name, answered), func(t *testing.T, v spdy.Version) {
				o := newOrigin(t, v)
				var first *exchange
				o.fate = func(e *exchange) {
					switch {
					case e.n == 1:
						first = e
					case answered:
						e.answer("done")
					}
					if e.n == 2 {
						hangUp(first)
					}
				}
				rt := c.make(o)
				errs := make(chan error, 1)
				go func() {
					_, err := fetch(rt, o.request("GET", "/first", nil))
					errs <- err
				}()
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, _ = fetch(rt, o.request("POST", "/second", nil).WithContext(ctx)) // its answer may be lost
				if answered {
					require.NoError(t, <-errs)
				} else {
					requireLost(t, <-errs)
				}
			})
		}
	}
}

// TestCancelled shows that a request is not sent again after its context ends.
func TestCancelled(t *testing.T) {
	for _, c := range clients {
		bubble.InVersions(t, c.name+"/in a pause", func(t *testing.T, v spdy.Version) {
			o := newOrigin(t, v)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o.fate = func(e *exchange) {
				if e.n == 3 { // a pause of 150 to 250 ms follows
					time.AfterFunc(100*time.Millisecond, cancel)
				}
				e.refuse()
			}
			_, err := fetch(c.make(o), o.request("GET", "/", nil).WithContext(ctx))
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, 3, o.sends())
		})
		bubble.InVersions(t, c.name+"/before the connection is lost", func(t *testing.T, v spdy.Version) {
			o := newOrigin(t, v)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o.fate = func(e *exchange) {
				cancel()
				lose(e)
			}
			rt := c.make(o)
			o.warmUp(rt, 1)
			_, err := fetch(rt, o.request("GET", "/", nil).WithContext(ctx))
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, 1, o.sends())
		})
	}
}

// TestAttackA27Pauses shows the pauses between tries.
func TestAttackA27Pauses(t *testing.T) {
	bubble.InVersions(t, "Transport", func(t *testing.T, v spdy.Version) {
		o := newOrigin(t, v)
		var at []time.Time
		o.fate = func(e *exchange) {
			at = append(at, time.Now())
			e.refuse()
		}
		_, err := fetch(clients[0].make(o), o.request("GET", "/", nil))
		requireRetryable(t, err)
		requirePauses(t, at, maxSends)
	})
}

// requirePauses wants n tries: at once, after 100 ms, and then after pauses that double.
func requirePauses(t *testing.T, at []time.Time, n int) {
	t.Helper()
	require.Len(t, at, n)
	require.Zero(t, at[1].Sub(at[0]))
	for i, want := 2, int64(100); i < n; i, want = i+1, 2*want {
		got := at[i].Sub(at[i-1]).Milliseconds()
		require.InDelta(t, want, got, float64(want)/4)
	}
}

// TestNeverSent shows that a request of any method is sent again if its SYN_STREAM never
// left, and not if the connection began to write the SYN_STREAM.
func TestNeverSent(t *testing.T) {
	bubble.InVersions(t, "Transport", func(t *testing.T, v spdy.Version) {
		o := newOrigin(t, v)
		o.fate = func(e *exchange) { e.answer("done") }
		rt := clients[0].make(o)
		o.warmUp(rt, 1)
		ours := o.peers[0].raw.Peer()
		ours.SetWriteCap(1)
		ours.SetHold(true)
		type result struct {
			body string
			err  error
		}
		start := func() chan result {
			results := make(chan result, 1)
			go func() {
				body, err := fetch(rt, o.request("POST", "/", strings.NewReader("text")))
				results <- result{body, err}
			}()
			synctest.Wait()
			return results
		}
		stuck, late := start(), start()
		ours.Reset()
		requireLost(t, (<-stuck).err)
		require.Equal(t, result{"done", nil}, <-late)
		require.Equal(t, []string{"text"}, o.sent)
	})
}

// TestSingleTry shows that a Session and a Client send a request once.
func TestSingleTry(t *testing.T) {
	for name, roundTripper := range map[string]func(*spdy.Client) http.RoundTripper{
		"Session": func(c *spdy.Client) http.RoundTripper { return c.Session() },
		"Client":  func(c *spdy.Client) http.RoundTripper { return c },
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			o := newOrigin(t, v)
			o.fate = (*exchange).refuse
			_, err := fetch(roundTripper(o.client()), o.request("GET", "/", nil))
			requireRetryable(t, err)
			require.Equal(t, 1, o.sends())
		})
	}
}

// client returns a client that ends with the test.
func (o *origin) client() *spdy.Client {
	conn, err := o.dial(o.t.Context(), "", "")
	require.NoError(o.t, err)
	c, err := o.conf.NewClientConn(conn)
	require.NoError(o.t, err)
	o.t.Cleanup(func() { c.Close() })
	return c
}
