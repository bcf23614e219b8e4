package spdy

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// smallGetAllocs is how many allocations a small GET may cost, both ends together, with
// what http.NewRequest and the handler allocate. x/net/http2 takes 63 for the same.
const smallGetAllocs = 32

// TestSmallGetAllocs holds the allocations of a whole exchange on a running session.
func TestSmallGetAllocs(t *testing.T) {
	if raceEnabled { // the race detector allocates
		return
	}
	cc, sc := tcpPair(t)
	get, end := smallGet(t, cc, sc)
	defer end()
	get()
	allocs := testing.AllocsPerRun(1000, get)
	t.Logf("%v allocations", allocs)
	require.LessOrEqual(t, allocs, float64(smallGetAllocs))
}

// smallGet starts a client and a server, and returns a function that asks for a short
// answer, and one that ends both.
func smallGet(t testing.TB, cc, sc net.Conn) (get, end func()) {
	hello := []byte("Hello, gopher!\n")
	conf := &Config{Version: SPDY31}
	r := startRig(t, cc, sc, conf, conf, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(hello)
	}))
	get = func() {
		req, err := http.NewRequest(http.MethodGet, "http://rig.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := r.client.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, res.Body); err != nil || n != int64(len(hello)) {
			t.Fatal(n, err)
		}
		res.Body.Close()
	}
	return get, r.close
}

// Bytes on their way allocate nothing, at either end: not one allocation in 1 MiB.
func TestDataAllocs(t *testing.T) {
	if raceEnabled { // the race detector allocates
		return
	}
	cc, sc := tcpPair(t)
	move, end := dataPath(t, cc, sc)
	defer end()
	for range 200 { // until windows and pools are as they stay
		move()
	}
	require.Zero(t, testing.AllocsPerRun(50, func() {
		for range 32 {
			move()
		}
	}))
}

// Picking a stream to send from allocates nothing, however many there are.
func TestSchedulerAllocs(t *testing.T) {
	sc := schedulerWith(10_000)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		takeTurn(sc)
	}))
}

// idleAnswerBytes is what an answer may cost that has begun and does not go on, heap and
// stacks of both ends with the handler's goroutine, on a connection in memory. The goal is
// 9 KiB, which bench/suite measures; x/net/http2 takes 18 KiB.
const idleAnswerBytes = 10 << 10

func TestIdleAnswerMemory(t *testing.T) {
	if raceEnabled {
		return
	}
	open, end := idleAnswers(t)
	defer end()
	for range 50 {
		open()
	}
	const n = 500
	before := memoryInUse()
	for range n {
		open()
	}
	each := (memoryInUse() - before) / n
	t.Logf("%d bytes", each)
	require.LessOrEqual(t, each, int64(idleAnswerBytes))
}
