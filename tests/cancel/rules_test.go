package cancel_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A breach is a way to break a rule that a peer can keep.
type breach struct {
	name string
	role string // of the session whose peer breaks the rule
	v3   bool   // SPDY/2 has no such rule
	conf spdy.Config
	// before prepares the session; break1 breaks the rule for the n-th time.
	before func(p *peer)
	break1 func(p *peer, n int)
	reply  spdy.RstStatus
}

const burst = 30

var breaches = []breach{
	{
		name: "more streams than allowed", role: "server", conf: spdy.Config{MaxConcurrentStreams: 2},
		before: func(p *peer) { // the streams stay open
			for id := range uint32(2) {
				p.send(&spdy.SynStreamFrame{StreamID: 2*id + 1, Headers: request(p.v, "POST", "/stuck")})
			}
			p.want("they are open")
			p.send(p.open(5))
			p.send(&spdy.PingFrame{ID: pings(p.want("one too many", "PING 2", "RST_STREAM 5 REFUSED_STREAM"))[0]})
			bubble.Pass(time.Second) // it knows the limit
		},
		break1: func(p *peer, n int) { p.send(p.open(uint32(2*n + 7))) },
		reply:  spdy.RstRefusedStream,
	},
	{
		name: "DATA on unknown streams", role: "server",
		break1: func(p *peer, n int) {
			p.send(&spdy.DataFrame{StreamID: uint32(2*n + 100001), Data: []byte("x")})
		},
		reply: spdy.RstInvalidStream,
	},
	{
		name: "DATA on unknown streams", role: "client",
		break1: func(p *peer, n int) {
			p.send(&spdy.DataFrame{StreamID: uint32(2*n + 100001), Data: []byte("x")})
		},
		reply: spdy.RstInvalidStream,
	},
	{
		name: "WINDOW_UPDATE of 0", role: "server", v3: true,
		break1: func(p *peer, n int) {
			id := uint32(2*n + 1)
			p.send(&spdy.SynStreamFrame{StreamID: id, Headers: request(p.v, "POST", "/stuck")}, &spdy.WindowUpdateFrame{StreamID: id})
		},
		reply: spdy.RstFlowControlError,
	},
	{
		name: "WINDOW_UPDATE of 0", role: "client", v3: true,
		break1: func(p *peer, n int) {
			p.post()
			for _, frame := range p.frames() {
				if syn, ok := frame.(*spdy.SynStreamFrame); ok {
					p.send(&spdy.WindowUpdateFrame{StreamID: syn.StreamID})
				}
			}
		},
		reply: spdy.RstFlowControlError,
	},
}

// post starts a request whose body does not end before the stream does.
func (p *peer) post() {
	body, w := io.Pipe()
	req, err := http.NewRequest("POST", "http://cancel.example/", body)
	require.NoError(p.t, err)
	go func() {
		res, err := p.s.RoundTrip(req)
		if err == nil {
			res.Body.Close()
		}
		w.Close()
	}()
}

// start starts a session whose peer is about to break the rule. The budget of the session
// is early more than the burst: so much comes back while the session is prepared.
func (b *breach) start(t *testing.T, v spdy.Version, rate int) (p *peer, early int, stop func()) {
	conf := b.conf
	conf.ResetBurst, conf.ResetRate = burst, rate
	if b.role == "server" {
		p, _, stop = stuck(t, v, conf)
	} else {
		p, stop = newPeer(t, v, conf, nil), func() {}
	}
	if b.before != nil {
		b.before(p)
		early = rate // a second has passed
	}
	return p, early, stop
}

// times breaks the rule n times and wants as many replies.
func (b *breach) times(p *peer, from, n int) {
	p.t.Helper()
	for i := range n {
		b.break1(p, from+i)
		replies := 0
		for _, frame := range p.frames() {
			if r, ok := frame.(*spdy.RstStreamFrame); ok {
				if from+i < burst {
					want := b.reply
					if p.v == spdy.SPDY2 && want > spdy.RstFlowControlError {
						want = spdy.RstProtocolError
					}
					require.Equal(p.t, want, r.Status)
				}
				replies++
			}
			if ping, ok := frame.(*spdy.PingFrame); ok {
				p.send(&spdy.PingFrame{ID: ping.ID})
			}
		}
		require.Equal(p.t, 1, replies, "reply %d", from+i)
		require.NoError(p.t, p.s.Err(), "breach %d", from+i)
	}
	require.EqualValues(p.t, from+n, p.s.Stats().ChargedResets)
}

// each runs f with each breach in each version.
func eachBreach(t *testing.T, f func(t *testing.T, v spdy.Version, b *breach)) {
	for i := range breaches {
		b := &breaches[i]
		t.Run(b.name+"/"+b.role, func(t *testing.T) {
			bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
				if v != spdy.SPDY2 || !b.v3 {
					f(t, v, b)
				}
			})
		})
	}
}

// TestAttackA28RuleBreaker: a peer that breaks rules is refused streams after ResetBurst of
// them, and its session ends after as many more.
func TestAttackA28RuleBreaker(t *testing.T) {
	eachBreach(t, func(t *testing.T, v spdy.Version, b *breach) {
		p, early, stop := b.start(t, v, 1)
		defer p.close()
		defer stop()
		b.times(p, 0, 2*burst+early)
		b.break1(p, 2*burst+early)
		p.wantFlood("twice the burst, and one more", spdy.BudgetResets)
		require.EqualValues(t, 2*burst+early+1, p.s.Stats().ChargedResets)
		var flood *spdy.FloodError
		require.ErrorAs(t, p.s.Err(), &flood)
		require.Equal(t, burst, flood.Limit)
	})
}

// TestAttackA28RuleBreakerRecovers: the budget refills with ResetRate. Until it has, honest
// streams are refused; then they are served.
func TestAttackA28RuleBreakerRecovers(t *testing.T) {
	eachBreach(t, func(t *testing.T, v spdy.Version, b *breach) {
		if b.role != "server" {
			return
		}
		p, early, stop := b.start(t, v, 10)
		defer p.close()
		b.times(p, 0, burst+early+9)
		id := uint32(200001)
		p.send(p.open(id))
		p.want("over budget", "RST_STREAM 200001 REFUSED_STREAM")
		stop()
		if b.before != nil {
			p.send(rst(1), rst(3))
			p.frames()
		}
		bubble.Pass(time.Second - 1)
		p.send(p.open(id + 2))
		p.want("still over budget", "RST_STREAM 200003 REFUSED_STREAM")
		bubble.Pass(time.Second)
		p.wantServed("the budget has refilled", id+4)
		for range 100 {
			id += 4
			p.wantServed("again and again", id+4)
		}
	})
}

// TestAttackA28SlowRuleBreaker: a peer that breaks rules no faster than ResetRate keeps its
// session.
func TestAttackA28SlowRuleBreaker(t *testing.T) {
	eachBreach(t, func(t *testing.T, v spdy.Version, b *breach) {
		p, _, stop := b.start(t, v, 10)
		defer p.close()
		defer stop()
		p.send(&spdy.SettingsFrame{}) // the wait for a first control frame is limited
		for i := range 5 * burst {
			b.times(p, i, 1)
			bubble.Pass(100 * time.Millisecond)
		}
	})
}

// TestAttackA28TooManyFields: no frame announces our limit of header fields, so a peer that
// exceeds it breaks no rule. Strangers decide what a proxy sends.
func TestAttackA28TooManyFields(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		const limit = 50
		fields := func(h http.Header) {
			for i := range limit {
				h.Set(fmt.Sprintf("X-%d", i), "v")
			}
		}
		r := newPair(v, spdy.Config{MaxHeaderFields: limit, ResetBurst: 1, ResetRate: 1}, func(http.ResponseWriter, *http.Request) {})
		defer r.close()
		client := bubble.Quiet(spdy.Config{MaxHeaderFields: limit, ResetBurst: 1, ResetRate: 1}, v)
		q := newPairOf(client, bubble.Quiet(spdy.Config{}, v), func(w http.ResponseWriter, _ *http.Request) { fields(w.Header()) })
		defer q.close()
		for range 10 {
			req, err := http.NewRequest("GET", "http://cancel.example/", nil)
			require.NoError(t, err)
			_, err = q.client.RoundTrip(req)
			var reset *spdy.StreamError
			require.ErrorAs(t, err, &reset)
			require.Equal(t, spdy.RstFrameTooLarge, reset.Status)

			fields(req.Header)
			res, err := r.client.RoundTrip(req)
			require.NoError(t, err)
			require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, res.StatusCode)
			require.NoError(t, res.Body.Close())
		}
		r.wantAlive(t)
		q.wantAlive(t)
		require.Zero(t, r.server.Stats().ChargedResets)
		require.Zero(t, q.client.Stats().ChargedResets)
	})
}

// TestAttackA28TooManyFieldsRaw: nor does a peer that opens a raw stream with too many.
func TestAttackA28TooManyFieldsRaw(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		ours, conn := testconn.Pair()
		p := &peer{t: t, v: v, conn: conn, end: make(chan error, 1)}
		p.s = bubble.Quiet(spdy.Config{MaxHeaderFields: 10, ResetBurst: 1, ResetRate: 1}, v).RawSession(ours, false)
		p.f, p.tap = newFramer(conn, v)
		go func() { p.end <- p.s.Serve() }()
		defer p.close()
		p.frames()
		var headers spdy.HeaderBlock
		for i := range 11 {
			headers = append(headers, spdy.HeaderField{Name: fmt.Sprintf("x-%d", i), Value: "v"})
		}
		status := spdy.RstFrameTooLarge
		if v == spdy.SPDY2 {
			status = spdy.RstProtocolError
		}
		for i := range uint32(10) {
			p.send(&spdy.SynStreamFrame{StreamID: 2*i + 1, Headers: headers})
			p.want("too many", fmt.Sprintf("RST_STREAM %d %v", 2*i+1, status))
		}
		require.Zero(t, p.s.Stats().ChargedResets)
	})
}
