package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"math"
	randv2 "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
)

// TestJudgeNotices: the checks fail when there is something to find.
func TestJudgeNotices(t *testing.T) {
	before := &sample{Heap: 1 << 20, Goroutines: 10, Files: 10, Gauges: map[string]int64{"streams": 0, "tunnels": 4}}
	for name, change := range map[string]func(s *sample){
		"goroutine":  func(s *sample) { s.Goroutines++ },
		"descriptor": func(s *sample) { s.Files++ },
		"heap":       func(s *sample) { s.Heap += heapMargin + 1 },
		"stream":     func(s *sample) { s.Gauges["streams"]++ },
		"tunnel":     func(s *sample) { s.Gauges["tunnels"]-- },
	} {
		after := *before
		after.Gauges = map[string]int64{"streams": 0, "tunnels": 4}
		require.Empty(t, notBack("relay", before, &after), name)
		change(&after)
		require.Len(t, notBack("relay", before, &after), 1, name)
	}
}

func TestJudgeNoticesLostWindows(t *testing.T) {
	pair := func() (relay, origin *sample) {
		return &sample{Windows: []window{{Tunnel: 1, Send: 900, Recv: 3500, RecvFull: 4000}, {Tunnel: 0, Send: -1, Recv: -1, RecvFull: -1}}},
			&sample{Windows: []window{{Tunnel: 0, Send: -1, Recv: -1, RecvFull: -1}, {Tunnel: 1, Send: 3500, Recv: 900, RecvFull: 1000}}}
	}
	relay, origin := pair()
	require.Empty(t, windowsLeft(relay, origin))
	for name, change := range map[string]func(relay, origin *sample){
		"the two count differently": func(relay, _ *sample) { relay.Windows[0].Send-- },
		"bytes are left unread":     func(_, origin *sample) { origin.Windows[0].Unread = 1 },
		"half of a window is gone":  func(relay, origin *sample) { relay.Windows[0].Send, origin.Windows[1].Recv = 500, 500 },
		"a tunnel is missing":       func(relay, _ *sample) { relay.Windows = relay.Windows[:1] },
		"other tunnels":             func(_, origin *sample) { origin.Windows[0].Tunnel = 2 },
	} {
		relay, origin := pair()
		change(relay, origin)
		require.Len(t, windowsLeft(relay, origin), 1, name)
	}
}

func TestJudgeNoticesCounts(t *testing.T) {
	clients, origin := map[string]int64{acked: 3}, map[string]int64{uploadsWhole: 3}
	require.Empty(t, judgeCounts(clients, nil, origin))
	for _, name := range neverCounts {
		bad := map[string]int64{name: 1, uploadsWhole: 3}
		require.Len(t, judgeCounts(bad, nil, origin), 1)
		require.Len(t, judgeCounts(clients, bad, origin), 1)
		require.Len(t, judgeCounts(clients, nil, bad), 1)
	}
	origin[uploadsWhole] = 2
	require.Len(t, judgeCounts(clients, nil, origin), 1, "acknowledged, and never come")
	require.Len(t, shownNothing(map[string]int64{completed: 1}), len(mustHappen)-1)
}

// A leaky role is a server whose handler leaves something behind.
type leaky struct {
	files []*os.File
	stop  chan struct{}
}

func (*leaky) start(context.Context) error { return nil }
func (*leaky) sample(*sample)              {}
func (*leaky) finished() <-chan struct{}   { return nil }

// leaks is how often a leaky role does what it is told: what other tests have left and what
// ends meanwhile is less.
const leaks = 100

func (l *leaky) do(op string) {
	for range leaks {
		if op == "goroutine" {
			go func() { <-l.stop }()
			continue
		}
		f, _ := os.Open(os.DevNull)
		l.files = append(l.files, f)
	}
}

// TestLeaksAreNoticed measures this process before and after it has leaked something.
func TestLeaksAreNoticed(t *testing.T) {
	l := &leaky{stop: make(chan struct{})}
	defer close(l.stop)
	before := takeSample(l)
	l.do("goroutine")
	kept := make([]byte, 2*heapMargin)
	rand.Read(kept)
	bad := strings.Join(notBack("relay", before, takeSample(l)), "\n")
	require.Contains(t, bad, "goroutines")
	require.Contains(t, bad, "heap")
	runtime.KeepAlive(kept)
}

// userOf returns a worker whose relay is the handler.
func userOf(t *testing.T, h http.Handler) *user {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return &user{
		clients: newClients(settings{Patience: time.Minute}), Rand: randv2.New(randv2.NewPCG(1, 2)),
		lane: &lane{name: "test", base: srv.URL, http: srv.Client()},
	}
}

func (c *clients) counted(name string) int64 {
	count, _ := c.counts.all()
	return count[name]
}

// TestClientsNotice: a relay that passes a part off as the whole, or changes a byte, or says
// that it has what it has not, is found out.
func TestClientsNotice(t *testing.T) {
	ctx, f := t.Context(), newFile("media", 1, 5000)
	get := func(u *user) { u.download(ctx, u.request(ctx, http.MethodGet, f), f, 0) }
	post := func(u *user) {
		f := newFile("upload", 1, 5000)
		u.send(ctx, u.request(ctx, http.MethodPost, f), f, &fileReader{file: f}, f.size)
	}
	for _, test := range []struct {
		name    string
		want    string
		handler http.HandlerFunc
		deed    func(u *user)
	}{
		{"whole", completed, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, &fileReader{file: f}) }, get},
		{"truncated", truncated, func(w http.ResponseWriter, r *http.Request) { io.CopyN(w, &fileReader{file: f}, 4999) }, get},
		{"empty", truncated, func(w http.ResponseWriter, r *http.Request) {}, get},
		{"changed", corrupt, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(&fileReader{file: f})
			b[4000]++
			w.Write(b)
		}, get},
		{"too long", corrupt, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, &fileReader{file: file{seed: f.seed, size: 5001}})
		}, get},
		{"broken off", broken, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5000")
			io.CopyN(w, &fileReader{file: f}, 4999)
		}, get},
		{"another status", wrong, http.NotFound, get},
		{"no tunnel", unavailable, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) }, get},
		{"upload", acked, newSite(new(tally)).ServeHTTP, post},
		{"upload acknowledged too soon", corrupt, func(w http.ResponseWriter, r *http.Request) {
			io.CopyN(io.Discard, r.Body, 100)
			json.NewEncoder(w).Encode(receipt{Length: 100})
		}, post},
		{"half of a receipt", truncated, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			io.WriteString(w, `{"Length":50`)
		}, post},
	} {
		u := userOf(t, test.handler)
		test.deed(u)
		require.EqualValues(t, 1, u.counted(test.want), test.name)
	}
}

// TestOverlapsNotice: an answer that begins before its upload has ended is checked like others.
func TestOverlapsNotice(t *testing.T) {
	for want, handler := range map[string]http.Handler{
		overlaps: newSite(new(tally)),
		truncated: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, f, _ := parseFile(r.URL.Path); f.size > 0 {
				io.CopyN(w, &fileReader{file: f}, f.size-1)
				http.NewResponseController(w).Flush()
			}
		}),
	} {
		u := userOf(t, handler)
		for u.counted(want) == 0 && u.counted(requests) < 20 {
			u.lane.name = "one that answers early"
			srv := spdytest.NewServer(handler)
			u.lane.base, u.lane.http = srv.URL, srv.Client()
			u.overlap(t.Context())
			srv.Close()
		}
		require.EqualValues(t, 1, u.counted(want), want)
	}
}

// TestRawNotices: a raw stream that comes to its FIN before its time, or does not end, is
// found out, and one that its opener resets and that seems to end.
func TestRawNotices(t *testing.T) {
	f := newFile("raw", 1, 5000)
	for _, test := range []struct {
		deed, want string
		peer       func(st *spdy.RawStream)
	}{
		{rawWhole, "", func(st *spdy.RawStream) { io.Copy(st, st) }},
		{rawWhole, truncated, func(st *spdy.RawStream) { io.CopyN(st, st, 4999) }},
		{rawWhole, corrupt, func(st *spdy.RawStream) { io.Copy(st, &fileReader{file: newFile("raw", 2, f.size)}) }},
		{rawWhole, hung, func(st *spdy.RawStream) { <-st.Done() }},
	} {
		a, b := net.Pipe()
		conf := &spdy.Config{Logger: quiet}
		var counts tally
		p := &rawPeer{Session: conf.RawSession(a, true), counts: &counts, patience: 100 * time.Millisecond}
		other := conf.RawSession(b, false)
		go p.Serve()
		go other.Serve()
		go func() {
			if st, err := other.AcceptStream(context.Background()); err == nil {
				test.peer(st)
				st.CloseWrite()
			}
		}()
		err := p.open(t.Context(), f, test.deed)
		count, _ := counts.all()
		for _, name := range neverCounts {
			require.Equal(t, name == test.want, count[name] > 0, "%s: %s: %v", test.want, name, err)
		}
		p.Close()
		other.Close()
	}
}

// TestOriginNotices: an upload of which a part came, and which a proxy then ended as if it
// were all, counts as truncated and is not acknowledged.
func TestOriginNotices(t *testing.T) {
	for what, body := range map[string]func(f file) io.Reader{
		truncated:    func(f file) io.Reader { return io.LimitReader(&fileReader{file: f}, 4000) },
		corrupt:      func(f file) io.Reader { return &fileReader{file: newFile("upload", 2, f.size)} },
		uploadsWhole: func(f file) io.Reader { return &fileReader{file: f} },
		uploadsBroken: func(f file) io.Reader {
			return io.MultiReader(io.LimitReader(&fileReader{file: f}, 100), &failing{func() {}})
		},
	} {
		var counts tally
		f := newFile("upload", 1, 5000)
		w := httptest.NewRecorder()
		func() {
			defer func() { recover() }() // of http.ErrAbortHandler
			newSite(&counts).ServeHTTP(w, httptest.NewRequest(http.MethodPost, f.name, body(f)))
		}()
		count, _ := counts.all()
		require.EqualValues(t, 1, count[what], what)
		require.Equal(t, what == uploadsWhole, w.Body.Len() > 0, what)
	}
}

func TestPattern(t *testing.T) {
	f := newFile("media", 7, 100_003)
	all, err := io.ReadAll(&fileReader{file: f})
	require.NoError(t, err)
	require.Len(t, all, 100_003)
	rnd := randv2.New(randv2.NewPCG(3, 4))
	for range 200 {
		off := rnd.Int64N(f.size)
		p := make([]byte, 1+rnd.Int64N(min(f.size-off, 60)))
		f.fill(p, off)
		require.Equal(t, all[off:off+int64(len(p))], p, off)
	}
	kind, same, err := parseFile(f.name)
	require.NoError(t, err)
	require.Equal(t, "media", kind)
	require.Equal(t, f, same)
	for _, path := range []string{"", "/", "/media/1", "/media/1/-1", "/media/1/x", "/media/1/" + strconv.FormatInt(math.MaxInt64, 10), "media/1/2/3"} {
		_, _, err := parseFile(path)
		require.ErrorIs(t, err, errNoFile, path)
	}
	r := &fileReader{file: f}
	end, err := r.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	require.EqualValues(t, f.size, end)
	_, err = r.Seek(-1, io.SeekStart)
	require.Error(t, err)
}
