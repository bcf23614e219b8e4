package upgrades

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A peer is the scripted other end of a session.
type peer struct {
	t      *testing.T
	v      spdy.Version
	framer *spdy.Framer

	mu   sync.Mutex
	seen []spdy.Frame
}

// newPeer returns a session and its scripted peer. The session serves h, or asks if h is nil.
func newPeer(t *testing.T, v spdy.Version, h http.Handler, conf spdy.Config) (*peer, *spdy.Session) {
	ours, theirs := testconn.Pair()
	c := bubble.Quiet(conf, v)
	var s *spdy.Session
	if h == nil {
		s = c.ClientSession(ours)
	} else {
		s = c.ServerSession(ours, &http.Server{Handler: h})
	}
	p := &peer{t: t, v: v, framer: spdy.NewFramer(theirs, theirs, v)}
	var ends sync.WaitGroup
	ends.Go(func() { _ = s.Serve() })
	ends.Go(p.read)
	t.Cleanup(func() {
		s.Close()
		theirs.Close()
		ends.Wait()
	})
	synctest.Wait()
	p.frames() // the windows of the session
	return p, s
}

func (p *peer) read() {
	for {
		f, err := p.framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *spdy.DataFrame: // its payload is the framer's
			p.keep(&spdy.DataFrame{StreamID: f.StreamID, Flags: f.Flags, Data: append([]byte(nil), f.Data...)})
		default:
			p.keep(f)
		}
	}
}

func (p *peer) keep(f spdy.Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, f)
}

// frames returns what the session has sent since the last call.
func (p *peer) frames() []spdy.Frame {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

// offers returns the settings among frames that are about upgrades.
func offers(frames []spdy.Frame) (found []spdy.Setting) {
	for _, f := range frames {
		if s, ok := f.(*spdy.SettingsFrame); ok {
			for _, e := range s.Entries {
				if e.ID == spdy.SettingUpgrades {
					found = append(found, e)
				}
			}
		}
	}
	return found
}

// frameOf returns the first frame of a kind.
func frameOf[F spdy.Frame](t *testing.T, frames []spdy.Frame) F {
	t.Helper()
	for _, f := range frames {
		if f, ok := f.(F); ok {
			return f
		}
	}
	var none F
	require.Fail(t, "no such frame", "%T in %v", none, frames)
	return none
}

func (p *peer) send(f spdy.Frame) {
	p.t.Helper()
	require.NoError(p.t, p.framer.WriteFrame(f))
	synctest.Wait()
}

func (p *peer) offer(value uint32, flags uint8) {
	p.t.Helper()
	p.send(&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingUpgrades, Value: value, Flags: flags}}})
}

// block makes a header block: names of pseudo headers begin with a colon.
func (p *peer) block(pairs ...string) (h spdy.HeaderBlock) {
	old := map[string]string{":method": "method", ":path": "url", ":version": "version", ":host": "host", ":scheme": "scheme", ":status": "status"}
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i]
		if p.v == spdy.SPDY2 && old[name] != "" {
			name = old[name]
		}
		h = append(h, spdy.HeaderField{Name: name, Value: pairs[i+1]})
	}
	return h
}

// upgradeBlock is the block of a request to upgrade, with changes: names and values in turn, of
// which the value "-" takes a name out.
func (p *peer) upgradeBlock(changes ...string) spdy.HeaderBlock {
	pairs := []string{":method", "CONNECT", ":path", "/up", ":version", "HTTP/1.1", ":host", "home.example", ":scheme", "http", ":protocol", "echo"}
	for i := 0; i < len(changes); i += 2 {
		known := false
		for k := 0; k < len(pairs); k += 2 {
			if pairs[k] != changes[i] {
				continue
			}
			known = true
			if changes[i+1] == "-" {
				pairs = append(pairs[:k:k], pairs[k+2:]...)
				break
			}
			pairs[k+1] = changes[i+1]
		}
		if !known {
			pairs = append(pairs, changes[i], changes[i+1])
		}
	}
	return p.block(pairs...)
}

// statusOf is the status of an answer.
func (p *peer) statusOf(h spdy.HeaderBlock) string {
	name := ":status"
	if p.v == spdy.SPDY2 {
		name = "status"
	}
	status, _ := h.Get(name)
	return status
}

// An asked is a request under way.
type asked struct {
	res *http.Response
	err error
}

// askUpgrade sends a request for an upgrade.
func askUpgrade(ctx context.Context, s *spdy.Session) chan asked {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://home.example/up", nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Connection", "keep-alive, Upgrade")
	req.Header.Set("Upgrade", "echo")
	got := make(chan asked, 1)
	go func() {
		res, err := s.RoundTrip(req)
		got <- asked{res, err}
	}()
	synctest.Wait()
	return got
}

// TestStrangeServer: a server that does not show that it knows upgrades is asked once, and gets
// ordinary requests.
func TestStrangeServer(t *testing.T) {
	for name, reply := range map[string]func(p *peer){
		"silent":          func(*peer) {},
		"says no":         func(p *peer) { p.offer(0, 0) },
		"says it strange": func(p *peer) { p.offer(2, 0) },
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			p, s := newPeer(t, v, nil, spdy.Config{})
			p.offer(1, 0) // unasked, which is no answer
			for i := range 2 {
				got := askUpgrade(t.Context(), s)
				frames := p.frames()
				if i == 0 {
					require.Equal(t, []spdy.Setting{{ID: spdy.SettingUpgrades, Value: 1}}, offers(frames), "and no flag asks to keep it")
					for _, f := range frames {
						_, opened := f.(*spdy.SynStreamFrame)
						require.False(t, opened, "before it is known")
					}
					reply(p)
					p.send(frameOf[*spdy.PingFrame](t, frames))
					frames = p.frames()
				}
				require.Empty(t, offers(frames), "it is asked once")
				syn := frameOf[*spdy.SynStreamFrame](t, frames)
				require.Equal(t, spdy.FlagFin, syn.Flags)
				for _, f := range syn.Headers {
					require.NotContains(t, []string{":protocol", ":upgrade-method", "upgrade", "connection"}, f.Name)
				}
				p.send(&spdy.SynReplyFrame{StreamID: syn.StreamID, Flags: spdy.FlagFin, Headers: p.block(":status", "200", ":version", "HTTP/1.1")})
				a := <-got
				require.NoError(t, a.err)
				require.Equal(t, 200, a.res.StatusCode)
				a.res.Body.Close()
			}
		})
	}
}

// TestServerWithoutEchoes: a server that answers no PING is asked once, and waited for once, for a
// second.
func TestServerWithoutEchoes(t *testing.T) {
	bubble.InVersions(t, "no echo", func(t *testing.T, v spdy.Version) {
		p, s := newPeer(t, v, nil, spdy.Config{})
		p.offer(1, 0) // the server speaks SPDY
		for i := range 2 {
			got := askUpgrade(t.Context(), s)
			if i == 0 {
				for _, f := range p.frames() {
					_, opened := f.(*spdy.SynStreamFrame)
					require.False(t, opened, "the server may still say it")
				}
				<-time.After(time.Second)
			}
			syn := frameOf[*spdy.SynStreamFrame](t, p.frames())
			require.Equal(t, spdy.FlagFin, syn.Flags, "without the upgrade")
			p.send(&spdy.SynReplyFrame{StreamID: syn.StreamID, Flags: spdy.FlagFin, Headers: p.block(":status", "200", ":version", "HTTP/1.1")})
			a := <-got
			require.NoError(t, a.err)
			a.res.Body.Close()
		}
	})
	bubble.InVersions(t, "not a frame", func(t *testing.T, v spdy.Version) {
		_, s := newPeer(t, v, nil, spdy.Config{})
		got := askUpgrade(t.Context(), s)
		begun := time.Now()
		var silent *spdy.NotSPDYError
		require.ErrorAs(t, (<-got).err, &silent)
		require.Equal(t, 30*time.Second, time.Since(begun))
	})
}

// TestKnownServer: a server that knows upgrades gets an extended CONNECT.
func TestKnownServer(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p, s := newPeer(t, v, nil, spdy.Config{})
		got := askUpgrade(t.Context(), s)
		frames := p.frames()
		p.offer(1, 0)
		p.send(frameOf[*spdy.PingFrame](t, frames))
		syn := frameOf[*spdy.SynStreamFrame](t, p.frames())
		require.Zero(t, syn.Flags)
		require.ElementsMatch(t, p.block(":method", "CONNECT", ":protocol", "echo", ":path", "/up", ":host", "home.example",
			":scheme", "http", ":version", "HTTP/1.1", "user-agent", "Go-spdy-client/"+v.String()[len("spdy/"):]), syn.Headers)
		p.send(&spdy.SynReplyFrame{StreamID: syn.StreamID, Headers: p.block(":status", "200", ":version", "HTTP/1.1", ":protocol", "echo")})
		a := <-got
		require.NoError(t, a.err)
		require.Equal(t, 101, a.res.StatusCode)
		body := a.res.Body.(io.ReadWriteCloser)
		_, err := io.WriteString(body, "up")
		require.NoError(t, err)
		require.Equal(t, "up", string(frameOf[*spdy.DataFrame](t, p.frames()).Data))
		require.NoError(t, body.Close())
		frames = p.frames()
		require.Equal(t, spdy.FlagFin, frameOf[*spdy.DataFrame](t, frames).Flags)
		require.Equal(t, spdy.RstCancel, frameOf[*spdy.RstStreamFrame](t, frames).Status)

		got = askUpgrade(t.Context(), s)
		frames = p.frames()
		require.Empty(t, offers(frames), "it is known")
		syn = frameOf[*spdy.SynStreamFrame](t, frames)
		p.send(&spdy.SynReplyFrame{StreamID: syn.StreamID, Headers: p.block(":status", "403", ":version", "HTTP/1.1", ":protocol", "echo")})
		require.ErrorContains(t, (<-got).err, "an upgrade with status 403")
		require.Equal(t, spdy.RstProtocolError, frameOf[*spdy.RstStreamFrame](t, p.frames()).Status)
	})
}

// TestAskingEnds: the question does not outlive the request's context, nor the session.
func TestAskingEnds(t *testing.T) {
	bubble.InVersions(t, "context", func(t *testing.T, v spdy.Version) {
		_, s := newPeer(t, v, nil, spdy.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		got := askUpgrade(ctx, s)
		cancel()
		require.ErrorIs(t, (<-got).err, context.Canceled)
		require.Zero(t, s.Stats().Streams.Total())
	})
	bubble.InVersions(t, "session", func(t *testing.T, v spdy.Version) {
		_, s := newPeer(t, v, nil, spdy.Config{})
		got := askUpgrade(t.Context(), s)
		s.Close()
		require.ErrorIs(t, (<-got).err, spdy.ErrSessionClosed)
	})
	bubble.InVersions(t, "disabled", func(t *testing.T, v spdy.Version) {
		p, s := newPeer(t, v, nil, spdy.Config{DisableUpgrades: true})
		got := askUpgrade(t.Context(), s)
		frames := p.frames()
		require.Empty(t, offers(frames))
		syn := frameOf[*spdy.SynStreamFrame](t, frames)
		require.Equal(t, spdy.FlagFin, syn.Flags)
		p.send(&spdy.SynReplyFrame{StreamID: syn.StreamID, Flags: spdy.FlagFin, Headers: p.block(":status", "200", ":version", "HTTP/1.1")})
		require.NoError(t, (<-got).err)
	})
}

// TestServerReplies: a server says once that it takes upgrades, to a client that has asked.
func TestServerReplies(t *testing.T) {
	var none http.HandlerFunc = func(http.ResponseWriter, *http.Request) {}
	bubble.InVersions(t, "once", func(t *testing.T, v spdy.Version) {
		p, _ := newPeer(t, v, none, spdy.Config{})
		p.offer(0, 0)
		p.offer(1, spdy.FlagPersisted)
		require.Empty(t, offers(p.frames()))
		p.offer(1, 0)
		require.Equal(t, []spdy.Setting{{ID: spdy.SettingUpgrades, Value: 1}}, offers(p.frames()))
		p.offer(1, 0)
		require.Empty(t, offers(p.frames()))
	})
	bubble.InVersions(t, "disabled", func(t *testing.T, v spdy.Version) {
		p, _ := newPeer(t, v, none, spdy.Config{DisableUpgrades: true})
		p.offer(1, 0)
		require.Empty(t, offers(p.frames()))
	})
}

// TestAttackA13Smuggle: no handler sees a request for an upgrade that was not made as one, in a
// session whose server has offered upgrades.
func TestAttackA13Smuggle(t *testing.T) {
	for name, changes := range map[string][]string{
		"not offered":           nil,
		"another method":        {":method", "GET"},
		"no path":               {":path", "-"},
		"an authority":          {":path", "home.example:443"},
		"an empty protocol":     {":protocol", ""},
		"two protocols":         {":protocol", "a\x00b"},
		"a line break":          {":protocol", "a\r\nb"},
		"not ASCII":             {":protocol", "\xe9cho"},
		"a method alone":        {":protocol", "-", ":upgrade-method", "POST"},
		"a method of no token":  {":upgrade-method", "PO ST"},
		"CONNECT in CONNECT":    {":upgrade-method", "CONNECT"},
		"HEAD":                  {":upgrade-method", "HEAD"},
		"HTTP/1.0":              {":version", "HTTP/1.0"},
		"a body":                {"content-length", "3"},
		"the header, no pseudo": {":method", "GET", ":protocol", "-", "protocol", "echo", "upgrade", "echo", "connection", "upgrade"},
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			asks := 0
			p, _ := newPeer(t, v, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header["Upgrade"] != nil || r.Header["Connection"] != nil {
					asks++
				}
				_, ok := w.(http.Hijacker)
				assert.False(t, ok)
			}), spdy.Config{})
			if name != "not offered" {
				p.offer(1, 0)
			}
			p.send(&spdy.SynStreamFrame{StreamID: 1, Headers: p.upgradeBlock(changes...)})
			require.Zero(t, asks)
			if name == "a line break" { // the block is refused before it is looked at
				frameOf[*spdy.RstStreamFrame](t, p.frames())
				return
			}
			want := "400 Bad Request"
			if name == "the header, no pseudo" {
				want = "200 OK"
			}
			require.Equal(t, want, p.statusOf(frameOf[*spdy.SynReplyFrame](t, p.frames()).Headers))
		})
	}
}

// TestAttackA13Unasked: an answer that grants an upgrade to an ordinary request, or to one that
// was sent without, is no answer.
func TestAttackA13Unasked(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p, s := newPeer(t, v, nil, spdy.Config{DisableUpgrades: true})
		got := askUpgrade(t.Context(), s)
		syn := frameOf[*spdy.SynStreamFrame](t, p.frames())
		p.send(&spdy.SynReplyFrame{StreamID: syn.StreamID, Headers: p.block(":status", "200", ":version", "HTTP/1.1", ":protocol", "echo")})
		require.Error(t, (<-got).err)
		require.Equal(t, spdy.RstProtocolError, frameOf[*spdy.RstStreamFrame](t, p.frames()).Status)
	})
}
