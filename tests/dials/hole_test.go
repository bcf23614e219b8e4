package dials

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A holeCase is a client whose connections lead to nobody from some time on.
type holeCase struct {
	method   string
	patience time.Duration // of each request
	limit    int           // MaxConnsPerHost
	alone    bool          // DisableKeepAlives
}

func (h holeCase) String() string {
	return fmt.Sprintf("%s, %v, limit %d, alone %v", h.method, h.patience, h.limit, h.alone)
}

func holeCases() (all []holeCase) {
	for _, method := range []string{"GET", "POST"} {
		for _, patience := range []time.Duration{30 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second} {
			for _, limit := range []int{0, 1, 2} {
				all = append(all, holeCase{method, patience, limit, false}, holeCase{method, patience, limit, true})
			}
		}
	}
	return all
}

// clients are HTTP/1.1 and ours.
func (h holeCase) clients() []client {
	all := []client{http1(func(tr *http.Transport) { tr.MaxConnsPerHost, tr.DisableKeepAlives = h.limit, h.alone })}
	for _, v := range bubble.Versions {
		all = append(all, ours(v, func(tr *spdy.Transport) { tr.MaxConnsPerHost, tr.DisableKeepAlives = h.limit, h.alone }))
	}
	return all
}

// send sends a request, with a body for POST.
func (h holeCase) send(rt http.RoundTripper) error {
	ctx, cancel := context.WithTimeout(context.Background(), h.patience)
	defer cancel()
	var body io.Reader
	if h.method == "POST" {
		body = strings.NewReader(strings.Repeat("x", 10_000))
	}
	req, err := http.NewRequestWithContext(ctx, h.method, origin, body)
	if err != nil {
		return err
	}
	return send(rt, req)
}

// hole has the connections that there are swallow everything.
func (n *network) hole() {
	n.dials() // everything rests
	for _, c := range n.conns {
		end := c.Conn.(*testconn.Conn)
		end.SetBlackHole(true)
		end.Peer().SetBlackHole(true)
	}
}

// end closes the server's ends of the connections, which do not hear of the clients' ends.
func (n *network) end() {
	for _, c := range n.conns {
		_ = c.Conn.(*testconn.Conn).Peer().Close()
	}
}

// TestHoleAtConnLimit: a connection that swallows everything keeps its place in MaxConnsPerHost no
// longer than it takes to find that out: at most one request more is lost than with HTTP/1.1, and
// none more where each request has a connection of its own.
func TestHoleAtConnLimit(t *testing.T) {
	for _, h := range holeCases() {
		lost := make(map[string]int)
		for _, c := range h.clients() {
			inBubble(t, h.String(), c, nil, func(t *testing.T, n *network, rt http.RoundTripper) {
				require.NoError(t, h.send(rt))
				n.hole()
				first := len(n.began) + 1
				n.script = func(_ context.Context, i int) error {
					n.mute = h.alone && i == first
					return nil
				}
				for lost[c.name] < 100 && h.send(rt) != nil {
					lost[c.name]++
				}
				n.end()
			})
		}
		for _, v := range bubble.Versions {
			allowed := lost["HTTP/1.1"] + 1
			if h.alone {
				allowed--
			}
			require.LessOrEqual(t, lost[v.String()], allowed, "%v: requests lost: %v", h, lost)
		}
	}
}

// TestGivenUpAlone: a connection that is for one request is closed when that is given up, also if
// the peer does not close its end. Its farewell may be on the way when the next one is dialled.
func TestGivenUpAlone(t *testing.T) {
	for _, h := range holeCases() {
		if !h.alone {
			continue
		}
		for _, c := range h.clients() {
			inBubble(t, h.String(), c, nil, func(t *testing.T, n *network, rt http.RoundTripper) {
				n.mute = true
				for range 50 {
					require.ErrorIs(t, h.send(rt), context.DeadlineExceeded)
				}
				_, open := n.peak()
				require.LessOrEqual(t, open, 2)
				require.Zero(t, n.alive())
				require.Equal(t, 50, n.dials())
			})
		}
	}
}
