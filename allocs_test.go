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
	get := smallGet(t)
	get()
	allocs := testing.AllocsPerRun(1000, get)
	t.Logf("%v allocations", allocs)
	require.LessOrEqual(t, allocs, float64(smallGetAllocs))
}

func BenchmarkSmallGet(b *testing.B) {
	get := smallGet(b)
	b.ReportAllocs()
	for b.Loop() {
		get()
	}
}

// smallGet returns a function that asks a server of its own for a short answer.
func smallGet(t testing.TB) func() {
	hello := []byte("Hello, gopher!\n")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &Server{Config: &Config{Version: SPDY31}, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(hello)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	client, err := NewClient(ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, client.Close())
		require.NoError(t, server.Close())
		<-served
	})
	url := "http://" + ln.Addr().String() + "/"
	return func() {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, res.Body); err != nil || n != int64(len(hello)) {
			t.Fatal(n, err)
		}
		res.Body.Close()
	}
}
