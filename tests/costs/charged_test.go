//go:build !race

package costs

import (
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// A client sends one of these. Each makes a server keep more memory than bytes of header blocks, or of
// bodies, that nobody has read.
var dense = map[string]func(s *script, i uint32){
	"a long name":       func(s *script, i uint32) { s.open(i, spdy.HeaderField{Name: long, Value: "v"}) },
	"a name of Trailer": func(s *script, i uint32) { s.open(i, spdy.HeaderField{Name: "trailer", Value: long}) },
	"cookies":           func(s *script, i uint32) { s.open(i, spdy.HeaderField{Name: "cookie", Value: long + "\x00a"}) },
	"escapes in a path": func(s *script, i uint32) {
		h := s.request()
		h[1].Value = "/%41" + long
		s.add(&spdy.SynStreamFrame{StreamID: i, Headers: h})
	},
	"a little more than a chunk": func(s *script, i uint32) {
		s.open(i)
		s.add(&spdy.DataFrame{StreamID: i, Data: make([]byte, 8<<10+1)})
	},
	"a body read but for a byte": func(s *script, i uint32) {
		s.open(i, spdy.HeaderField{Name: "read", Value: "30000"})
		s.add(&spdy.DataFrame{StreamID: i, Data: make([]byte, 30_001)})
	},
}

// long is the text of which a server keeps two copies.
var long = strings.Repeat("a", 60_000)

// open opens a stream that hangs.
func (s *script) open(id uint32, more ...spdy.HeaderField) {
	s.add(&spdy.SynStreamFrame{StreamID: id, Headers: s.request(more...)})
}

// The pools count what is kept: the heap grows by no more than a quarter beyond it.
func TestAttackA31ChargedAsKept(t *testing.T) {
	for name, play := range dense {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			const sessions, streams = 10, 50
			text := newScript(v)
			for i := range uint32(streams) {
				play(text, 2*i+1)
			}
			before := liveHeap()
			s := readingSite(t, v, spdy.Config{Pools: roomy})
			conns := s.crowd([][]byte{text.buf.Bytes()}, sessions)
			cost, stats := liveHeap()-before, s.srv.Stats()
			s.leave(conns)
			require.Equal(t, sessions*streams, stats.Streams.Total(), "none was refused")
			p := stats.Pools
			charged := p.HeaderBytes.Used + p.UnreadBytes.Used + p.BufferBytes.Used
			require.Less(t, cost, charged/4*5, "%+v", p)
		})
	}
}

// roomy are pools that refuse nothing.
var roomy = spdy.Pools{HeaderBytes: 1 << 30, UnreadBytes: 1 << 30, BufferBytes: 1 << 30}

// The same for a client, whose servers send one of these.
func TestAttackA31ChargedAsKeptByClients(t *testing.T) {
	for name, play := range map[string]func(s *script){
		"a long name": func(s *script) {
			s.add(&spdy.SynReplyFrame{StreamID: 1, Headers: s.answer(spdy.HeaderField{Name: long, Value: "v"})})
		},
		"the URLs of pushes": func(s *script) {
			s.add(&spdy.SynReplyFrame{StreamID: 1, Headers: s.answer()})
			for i := range 5 {
				path := fmt.Sprint("/", i, long)
				promise := block(s.v, ":host", "example.com", ":path", path, ":scheme", "http")
				if s.v == spdy.SPDY2 {
					promise = block(s.v, ":path", "http://example.com"+path)
				}
				h := append(promise, s.answer()...)
				s.add(&spdy.SynStreamFrame{StreamID: uint32(2*i + 2), AssociatedStreamID: 1, Flags: spdy.FlagUnidirectional, Headers: h})
			}
		},
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			m := newMarket(t, v)
			text := newScript(v)
			play(text)
			m.scripts = [][]byte{text.buf.Bytes()}
			m.client.Config.Pools = roomy
			before := liveHeap()
			var bodies []io.Closer
			for i := range 100 {
				req := httptest.NewRequest("GET", fmt.Sprintf("http://h%d.example/", i), nil)
				req.Host = "example.com" // which the pushes are for
				res, err := m.client.RoundTrip(req)
				require.NoError(t, err)
				bodies = append(bodies, res.Body)
				bubble.Pass(5 * time.Millisecond)
			}
			synctest.Wait()
			cost, p := liveHeap()-before, m.client.PoolStats()
			m.leave(bodies)
			charged := p.HeaderBytes.Used + p.UnreadBytes.Used + p.BufferBytes.Used
			require.Less(t, cost, charged/4*5, "%+v", p)
		})
	}
}
