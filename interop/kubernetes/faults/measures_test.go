package faults

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"time"

	"github.com/moby/spdystream/spdy"
	"github.com/stretchr/testify/require"
	k8spdy "k8s.io/streaming/pkg/httpstream/spdy"

	spdy31 "github.com/amahi/spdy"
)

// bomb is a SYN_STREAM with a hundred headers of 1 MiB less 100 bytes each, all of them
// "0", as the framer of spdystream writes it. It takes 100 KiB.
//
//go:embed testdata/header-bomb.gz
var bomb []byte

// headerBomb is E5: a small SYN_STREAM inflates to 100 MiB.
func headerBomb(r *rig) string {
	inflate, err := gzip.NewReader(bytes.NewReader(bomb))
	require.NoError(r.t, err)
	frame, err := io.ReadAll(inflate)
	require.NoError(r.t, err)
	require.Less(r.t, len(frame), 110<<10)
	w := r.wire(false)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(r.t, w.send(frame))
	if r.pairing.tested == moby && !*dropIn {
		st, err := w.side.accept(patience)
		require.NoError(r.t, err)
		live := liveHeap()
		runtime.KeepAlive(st)
		require.Greater(r.t, live, int64(90<<20))
		return "100 MiB are kept"
	}
	for {
		frame, err := w.ReadFrame()
		if err != nil {
			break // it has hung up
		}
		if _, refused := frame.(*spdy.RstStreamFrame); refused {
			break
		}
	}
	runtime.ReadMemStats(&after)
	for _, limit := range []uint64{4, 16} {
		if after.TotalAlloc-before.TotalAlloc < limit<<20 {
			return fmt.Sprintf("refused, less than %d MiB are used", limit)
		}
	}
	return "more than 16 MiB are used"
}

// idle is E14: what an end of a connection costs that has nothing to do.
func idle(r *rig) string {
	const pairs = 30
	goroutines, heap := r.perPair(pairs)
	if r.pairing.tested != r.pairing.peer { // without the peer's half
		g, h := (&rig{t: r.t, pairing: pairing{r.pairing.peer, r.pairing.peer}}).perPair(pairs)
		goroutines, heap = goroutines-g/2, heap-h/2
	} else {
		goroutines, heap = goroutines/2, heap/2
	}
	r.t.Logf("%v: %.1f goroutines, %.1f KiB", r.pairing, goroutines, heap/1024)
	limit := "more than 800 KiB"
	if heap < 800<<10 {
		limit = "less than 800 KiB"
	}
	if heap < 20<<10 {
		limit = "less than 20 KiB"
	}
	return fmt.Sprintf("%.0f goroutines, %s", goroutines, limit)
}

// perPair counts what a pair of ends costs when a stream has come and gone.
func (r *rig) perPair(n int) (goroutines, heap float64) {
	before := quiet()
	beforeHeap := liveHeap()
	var ends []side
	for range n {
		client, server := tcpPair(r.t)
		a := r.side(r.pairing.tested, client, true, spdy31.FlowControlPeerUnaware)
		b := r.side(r.pairing.peer, server, false, spdy31.FlowControlPeerUnaware)
		ends = append(ends, a, b)
		opened, accepted := r.pair(a, b)
		require.NoError(r.t, opened.closeWrite())
		require.NoError(r.t, accepted.closeWrite())
		_, err := io.ReadAll(opened)
		require.NoError(r.t, err)
		_, err = io.ReadAll(accepted)
		require.NoError(r.t, err)
	}
	goroutines = float64(runtime.NumGoroutine()-before) / float64(n)
	heap = float64(liveHeap()-beforeHeap) / float64(n)
	r.end(ends...)
	return goroutines, heap
}

// quiet waits until what earlier experiments have left behind has ended, or does not end,
// and counts the goroutines. A Close of spdystream that fails leaves a goroutine, and with
// it the connection, for a second.
func quiet() (goroutines int) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for same := 0; same < 30; {
		<-tick.C
		n := runtime.NumGoroutine()
		if n == goroutines {
			same++
		} else {
			goroutines, same = n, 0
		}
	}
	return goroutines
}

// with101 is X1: the server sends a frame together with its answer 101.
func with101(r *rig) string {
	echoed := make(chan bool, 1)
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			echoed <- false
			return
		}
		defer conn.Close()
		ping := []byte{0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 2}
		_, _ = conn.Write(append([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"), ping...))
		wait := patience
		if r.pairing.tested == moby { // the drop-in cannot help it either
			wait = hangs
		}
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		echo := make([]byte, len(ping))
		_, err = io.ReadFull(conn, echo)
		echoed <- err == nil && bytes.Equal(echo, ping)
	}))
	defer ts.Close()
	if r.pairing.tested == ours {
		d := spdy31.UpgradeDialer{Config: &spdy31.Config{FlowControl: spdy31.FlowControlPeerUnaware}}
		s, _, err := d.Dial(r.t.Context(), "POST", ts.URL)
		require.NoError(r.t, err)
		done := make(chan struct{})
		go func() { // ends with Close
			defer close(done)
			_ = s.Serve()
		}()
		defer func() {
			s.Close()
			<-done
		}()
	} else {
		transport, err := k8spdy.NewRoundTripper(nil)
		require.NoError(r.t, err)
		resp, err := (&http.Client{Transport: transport}).Post(ts.URL, "", nil)
		require.NoError(r.t, err)
		conn, err := transport.NewConnection(resp)
		require.NoError(r.t, err)
		defer conn.Close()
	}
	if <-echoed {
		return "it arrives"
	}
	return "it is lost"
}

// silent is X1 from the other side: what our server says before its client has said
// something.
func silent(r *rig) string {
	var s *spdy31.Session
	done := make(chan struct{})
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		u := spdy31.Upgrader{Config: &spdy31.Config{FlowControl: spdy31.FlowControlPeerUnaware}}
		var err error
		if s, _, err = u.Upgrade(w, req); err == nil {
			_ = s.Serve()
		}
		close(done)
	}))
	defer ts.Close()
	conn, err := net.Dial("tcp", ts.Listener.Addr().String())
	require.NoError(r.t, err)
	defer func() {
		conn.Close()
		<-done
	}()
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
	require.NoError(r.t, err)
	from := bufio.NewReader(conn)
	resp, err := http.ReadResponse(from, nil)
	require.NoError(r.t, err)
	require.Equal(r.t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.NoError(r.t, conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	if _, err := from.ReadByte(); err == nil {
		return "a frame"
	}
	return "nothing"
}
