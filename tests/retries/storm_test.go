package retries

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// greetings are what servers say, which answer every connection with their departure.
var greetings = map[string]func(f *spdy.Framer, conn *testconn.Conn){
	"GOAWAY":            func(f *spdy.Framer, _ *testconn.Conn) { _ = f.WriteFrame(&spdy.GoAwayFrame{}) },
	"GOAWAY and closed": func(f *spdy.Framer, conn *testconn.Conn) { _ = f.WriteFrame(&spdy.GoAwayFrame{}); conn.Close() },
	"one stream and GOAWAY": func(f *spdy.Framer, _ *testconn.Conn) {
		_ = f.WriteFrame(&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingMaxConcurrentStreams, Value: 1}}})
		_ = f.WriteFrame(&spdy.GoAwayFrame{})
	},
	"no stream and GOAWAY": func(f *spdy.Framer, _ *testconn.Conn) {
		_ = f.WriteFrame(&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingMaxConcurrentStreams, Value: 0}}})
		_ = f.WriteFrame(&spdy.GoAwayFrame{})
	},
	"closed": func(_ *spdy.Framer, conn *testconn.Conn) { conn.Close() },
	"reset":  func(_ *spdy.Framer, conn *testconn.Conn) { conn.Reset() },
}

// TestGoAwayStorm: a server that leaves as soon as it is met costs a request six connections at most, and a
// second and a half; many requests share those, or nearly. Nobody dials without a pause.
func TestGoAwayStorm(t *testing.T) {
	for name, greet := range greetings {
		for _, early := range []bool{false, true} { // before the client has its connection
			for _, crowd := range []int{1, 300} {
				title := name
				if early {
					title += " early"
				}
				if crowd > 1 {
					title += " crowd"
				}
				bubble.InVersions(t, title, func(t *testing.T, v spdy.Version) {
					var dials atomic.Int32
					var mu sync.Mutex
					var conns []*testconn.Conn
					var running sync.WaitGroup
					tr := &spdy.Transport{Config: bubble.Quiet(spdy.Config{}, v), DialContext: func(context.Context, string, string) (net.Conn, error) {
						dials.Add(1)
						ours, theirs := testconn.Pair(testconn.Latency(time.Millisecond))
						mu.Lock()
						conns = append(conns, theirs)
						mu.Unlock()
						f := spdy.NewFramer(theirs, theirs, v)
						if early {
							greet(f, theirs)
							bubble.Pass(2 * time.Millisecond)
						}
						running.Go(func() {
							if !early {
								greet(f, theirs)
							}
							for {
								if _, err := f.ReadFrame(); err != nil {
									theirs.Close()
									return
								}
							}
						})
						return ours, nil
					}}
					start := time.Now()
					var all sync.WaitGroup
					var errs []error
					for range crowd {
						all.Go(func() {
							req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://origin.example/", nil)
							_, err := tr.RoundTrip(req)
							mu.Lock()
							errs = append(errs, err)
							mu.Unlock()
						})
					}
					all.Wait()
					require.LessOrEqual(t, int(dials.Load()), maxSends*crowd)
					require.LessOrEqual(t, time.Since(start), 2*time.Second)
					for _, err := range errs {
						require.Error(t, err)
						require.NotErrorIs(t, err, spdy.ErrSessionClosed, "the client has closed nothing")
						// A client whose write fails first may not have read the GOAWAY.
						lost := new(spdy.ConnError)
						if strings.Contains(name, "GOAWAY") && !(name == "GOAWAY and closed" && errors.As(err, &lost)) {
							requireRetryable(t, err)
						}
					}
					tr.CloseIdleConnections()
					bubble.Pass(2 * time.Second)
					for _, c := range conns {
						c.Close()
						c.Peer().Close()
					}
					running.Wait()
				})
			}
		}
	}
}
