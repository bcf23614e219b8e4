package spdy

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"

	"github.com/amahi/spdy/internal/testconn"
)

// benchConns are the connections that sessions are measured on.
func benchConns(b *testing.B, f func(b *testing.B, cc, sc net.Conn)) {
	b.Run("memory", func(b *testing.B) {
		cc, sc := testconn.Pair()
		f(b, cc, sc)
	})
	b.Run("loopback", func(b *testing.B) {
		cc, sc := tcpPair(b)
		f(b, cc, sc)
	})
}

// BenchmarkData moves 32 KiB over a raw stream: the path of DATA, both ends together.
func BenchmarkData(b *testing.B) {
	benchConns(b, func(b *testing.B, cc, sc net.Conn) {
		move, end := dataPath(b, cc, sc)
		defer end()
		for range 64 { // until windows and pools are as they stay
			move()
		}
		b.ReportAllocs()
		b.SetBytes(dataBlock)
		for b.Loop() {
			move()
		}
	})
}

const dataBlock = 32 << 10

// dataPath returns a function that sends a block over a raw stream and waits until it has
// been read at the other end, and one that ends it all.
func dataPath(t testing.TB, cc, sc net.Conn) (move, end func()) {
	r := newRawRig(t, cc, sc, rigSetup{})
	from, to := r.pair()
	done := make(chan error, 1)
	go func() {
		buf := make([]byte, dataBlock)
		for {
			_, err := io.ReadFull(to, buf)
			done <- err
			if err != nil {
				return
			}
		}
	}()
	block := make([]byte, dataBlock)
	move = func() {
		if _, err := from.Write(block); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	return move, func() {
		r.close()
		<-done
	}
}

// BenchmarkOpenClose opens a raw stream, accepts it and closes both ends.
func BenchmarkOpenClose(b *testing.B) {
	benchConns(b, func(b *testing.B, cc, sc net.Conn) {
		r := newRawRig(b, cc, sc, rigSetup{})
		defer r.close()
		once := func() {
			ours, err := r.client.OpenStream(context.Background(), nil, StreamOptions{})
			if err != nil {
				b.Fatal(err)
			}
			theirs, err := r.server.AcceptStream(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			ours.Close()
			theirs.Close()
		}
		for range warmBlocks {
			once()
		}
		b.ReportAllocs()
		for b.Loop() {
			once()
		}
	})
}

// BenchmarkGet is a small request and its whole answer, with what http.NewRequest and the
// handler allocate.
func BenchmarkGet(b *testing.B) {
	benchConns(b, func(b *testing.B, cc, sc net.Conn) {
		once, end := smallGet(b, cc, sc)
		defer end()
		for range warmBlocks {
			once()
		}
		b.ReportAllocs()
		for b.Loop() {
			once()
		}
	})
}

// idleAnswers returns a function that opens an answer which begins and does not go on,
// and one that ends all of them.
func idleAnswers(t testing.TB) (open, end func()) {
	never := make(chan struct{})
	cc, sc := testconn.Pair()
	conf := &Config{Version: SPDY31, MaxConcurrentStreams: 1 << 20}
	r := startRig(t, cc, sc, conf, conf, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		<-never
	}))
	var bodies []io.Closer
	open = func() {
		req, err := http.NewRequest(http.MethodGet, "http://rig.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := r.client.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, res.Body)
	}
	return open, func() {
		close(never)
		for _, body := range bodies {
			body.Close()
		}
		r.close()
	}
}

// BenchmarkIdleAnswer opens answers that begin and do not go on, and reports how much
// heap and stack each keeps at both ends, its handler included.
func BenchmarkIdleAnswer(b *testing.B) {
	open, end := idleAnswers(b)
	defer end()
	for range warmBlocks {
		open()
	}
	before, n := memoryInUse(), 0
	b.ReportAllocs()
	for b.Loop() {
		open()
		n++
	}
	b.ReportMetric(float64(memoryInUse()-before)/float64(n), "live-B/op")
}

// BenchmarkSession starts sessions, each with a request and its answer, and reports how
// much heap and stack both ends keep.
func BenchmarkSession(b *testing.B) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("Hello, gopher!\n"))
	})
	conf := &Config{Version: SPDY31}
	var rigs []*rig
	once := func() {
		cc, sc := tcpPair(b)
		r := startRig(b, cc, sc, conf, conf, hello)
		r.get("/")
		rigs = append(rigs, r)
	}
	for range 8 {
		once()
	}
	before := memoryInUse()
	n := len(rigs)
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
	b.ReportMetric(float64(memoryInUse()-before)/float64(len(rigs)-n), "live-B/op")
	for _, r := range rigs {
		r.close()
	}
}

// memoryInUse is the heap and the stacks, after collecting garbage.
func memoryInUse() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
