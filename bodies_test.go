package spdy

import (
	"bufio"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// Bodies of every size that is special to a window, a frame or a buffer, both ways.

var bodySizes = []int64{
	0, 1, answerBuffer - 1, answerBuffer, answerBuffer + 1, 65535, 65536, 65537,
	MAX_DATA_PAYLOAD, MAX_DATA_PAYLOAD + 1, MAX_DATA_PAYLOAD + 2,
}

// writeSizes are the sizes of the Writes that make up a body; 0 is io.Copy.
var writeSizes = []int{0, 1000, 4095, 4096, 4097, 65536, 1<<20 + 1, 1 << 25}

// writeIn copies r to w with Writes of n bytes.
func writeIn(w io.Writer, r io.Reader, n int) error {
	if n == 0 {
		_, err := io.Copy(w, r)
		return err
	}
	buf := make([]byte, n)
	for {
		k, rerr := io.ReadFull(r, buf)
		if k > 0 {
			if m, err := w.Write(buf[:k]); err != nil || m != k {
				return fmt.Errorf("wrote %d of %d: %w", m, k, err)
			}
		}
		if rerr != nil {
			return nil
		}
	}
}

// bodyHandler reads an upload and writes a download as the request's headers say, in
// the order they say or both at once.
func bodyHandler(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var up, down int64
		var write int
		fmt.Sscan(r.Header.Get("Sizes"), &up, &down, &write)
		check := &patternCheck{want: newPattern(1, up), hash: sha256.New()}
		read := make(chan struct{})
		go func() {
			defer close(read)
			var err error
			if write%2 == 0 {
				_, err = io.Copy(check, r.Body)
			} else {
				_, err = copyByRead(check, r.Body, write)
			}
			assert.NoError(t, err)
			assert.NoError(t, check.whole())
		}()
		if r.Header.Get("Order") == "in turn" {
			<-read
		}
		if r.Header.Get("Length") != "" {
			w.Header().Set("Content-Length", fmt.Sprint(down))
		}
		assert.NoError(t, writeIn(w, newPattern(2, down), write))
		<-read
	}
}

// exchangeBodies sends one request of bodyHandler and checks both bodies.
func exchangeBodies(t *testing.T, r *rig, up, down int64, write int, order string, length bool) {
	req := r.request("POST", "/", newPattern(1, up), "Sizes", fmt.Sprint(up, down, write), "Order", order)
	if length {
		req.ContentLength = up
		req.Header.Set("Length", "yes")
	}
	if up == 0 {
		req.Body = nil
	}
	res, err := r.client.RoundTrip(req)
	require.NoError(t, err)
	check := &patternCheck{want: newPattern(2, down), hash: sha256.New()}
	if write%2 == 0 {
		_, err = io.Copy(check, res.Body)
	} else {
		_, err = copyByRead(check, res.Body, write)
	}
	require.NoError(t, err)
	require.NoError(t, check.whole())
	if length {
		require.Equal(t, down, res.ContentLength)
	}
	require.NoError(t, res.Body.Close())
}

func TestBodies(t *testing.T) {
	setups := map[string]rigSetup{
		"defaults":      {},
		"least windows": {client: &Config{StreamWindow: 1, SessionWindow: 1}, server: &Config{StreamWindow: 1, SessionWindow: 1}},
		"slow network":  {conn: []testconn.Option{testconn.Latency(time.Millisecond), testconn.WriteCap(100_000), testconn.ReadSize(1399)}},
	}
	for name, setup := range setups {
		t.Run(name, func(t *testing.T) {
			rigTest(t, bodyHandler(t), setup, func(t *testing.T, r *rig) {
				for i, size := range bodySizes {
					if (raceEnabled || testVersion(t) != SPDY31) && size > 1<<20 && (name != "defaults" || i < len(bodySizes)-1) {
						continue // ten times slower with the race detector; one is enough then, and in other versions
					}
					for j, order := range []string{"in turn", "at once"} {
						write := writeSizes[(i+3*j)%len(writeSizes)]
						exchangeBodies(t, r, size, 0, write, order, true)
						exchangeBodies(t, r, 0, size, write, order, false)
						exchangeBodies(t, r, size, size, write, order, j == 0)
					}
				}
				r.requireBalanced()
			})
		})
	}
}

// TestWriteSizes sends one body with every size of Write.
func TestWriteSizes(t *testing.T) {
	rigTest(t, bodyHandler(t), rigSetup{}, func(t *testing.T, r *rig) {
		for _, write := range append(writeSizes, 1, 3) {
			size := int64(1 << 18)
			if write > 100 {
				size = 1<<20 + 11
			}
			exchangeBodies(t, r, 0, size, write, "at once", true)
			exchangeBodies(t, r, 0, size, write, "at once", false)
		}
		r.requireBalanced()
	})
}

// huge makes TestHugeBodies move 5 GiB each way: go test -run Huge -huge
var huge = flag.Bool("huge", false, "let TestHugeBodies move 5 GiB each way instead of 64 MiB")

// TestHugeBodies moves bodies that no memory should hold over a real connection, each
// way by itself and both at once, and watches the process.
func TestHugeBodies(t *testing.T) {
	size := int64(64 << 20)
	if raceEnabled {
		size = 8 << 20
	}
	if *huge {
		size = 5 << 30
	}
	const most = 64 << 20
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &Server{Handler: bodyHandler(t)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	c, err := NewClientConn(conn)
	require.NoError(t, err)
	r := &rig{t: t, client: c.Session()}

	exchangeBodies(t, r, 1<<20, 1<<20, 0, "at once", true) // what is allocated once
	runtime.GC()
	watch := watchMemory()
	start := time.Now()
	exchangeBodies(t, r, size, 0, 0, "in turn", true)
	exchangeBodies(t, r, 0, size, 0, "in turn", true)
	if *huge {
		t.Logf("%d bytes up, then down: %v", size, time.Since(start))
	}
	start = time.Now()
	exchangeBodies(t, r, size, size, 0, "at once", false)
	if *huge {
		t.Logf("%d bytes up and down at once: %v", size, time.Since(start))
	}
	heap, resident := watch()
	t.Logf("growth: heap %d KiB, resident %d KiB", heap>>10, resident>>10)
	require.Less(t, heap, int64(most))
	if !raceEnabled { // whose shadow memory counts too
		require.Less(t, resident, int64(most))
	}
	require.NoError(t, c.Close())
	require.NoError(t, srv.Close())
	require.ErrorIs(t, <-served, http.ErrServerClosed)
}

// watchMemory samples the process until the returned function is called, which says
// by how much the heap and the resident memory have grown at most. Where the system
// does not tell the latter it is 0.
func watchMemory() (stop func() (heap, resident int64)) {
	sample := func() (heap, resident int64) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse), residentMemory()
	}
	heap0, resident0 := sample()
	end, result := make(chan struct{}), make(chan [2]int64)
	go func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		var most [2]int64
		for {
			heap, resident := sample()
			most = [2]int64{max(most[0], heap-heap0), max(most[1], resident-resident0)}
			select {
			case <-ticker.C:
			case <-end:
				result <- most
				return
			}
		}
	}()
	return func() (heap, resident int64) {
		close(end)
		most := <-result
		return most[0], most[1]
	}
}

// residentMemory reads what Linux says of the process; 0 elsewhere.
func residentMemory() int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			var kib int64
			fmt.Sscan(rest, &kib)
			return kib << 10
		}
	}
	return 0
}
