package strangers

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// A crowd is the strangers of a deed.
type crowd struct {
	user     http.RoundTripper // shared by all strangers; on a front each request has a connection of its own
	base     string            // prefix of URLs
	ctx      context.Context   // ends when strangers must leave
	size     int               // upper bound of streams at once
	down, up *meter

	holding sync.WaitGroup // strangers that stay until ctx ends
	acting  sync.WaitGroup // other strangers
}

// most returns n, limited to the size of the crowd.
func (c *crowd) most(n int) int { return min(n, c.size) }

// hold starts n strangers that stay until ctx ends.
func (c *crowd) hold(n int, f func(ctx context.Context, i int)) {
	for i := range n {
		c.holding.Go(func() { f(c.ctx, i) })
	}
}

// waves starts up to n strangers at a time, repeats this after a pause, and waits for all of
// them. Each stranger has ten seconds.
func (c *crowd) waves(times, n int, every time.Duration, f func(ctx context.Context, i int)) {
	for range times {
		for i := range c.most(n) {
			c.acting.Go(func() {
				ctx, cancel := context.WithTimeout(c.ctx, 10*time.Second)
				defer cancel()
				f(ctx, i)
			})
		}
		_ = pass(c.ctx, every)
	}
	c.acting.Wait()
}

// get sends a GET, reads the answer to the end, and ignores the outcome.
func (c *crowd) get(ctx context.Context, path string, header http.Header) {
	c.send(ctx, http.MethodGet, path, nil, header)
}

// send is get for any request.
func (c *crowd) send(ctx context.Context, method, path string, body io.Reader, header http.Header) {
	res, err := ask(ctx, c.user, method, c.base+path, body, header)
	if err != nil {
		return
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
}

// stare requests an endless answer and reads n bytes of the body every second.
func (c *crowd) stare(ctx context.Context, n int) {
	res, err := ask(ctx, c.user, http.MethodGet, c.base+"/endless", nil, nil)
	if err != nil {
		return
	}
	defer res.Body.Close()
	for pass(ctx, time.Second) == nil {
		if _, err := io.CopyN(io.Discard, res.Body, int64(n)); err != nil {
			return
		}
	}
}

// endless is the body of an upload without end.
type endless struct{ ctx context.Context }

func (e endless) Read(p []byte) (int, error) { return len(p), context.Cause(e.ctx) }

// part returns a smaller crowd for a deed that runs beside other deeds.
func (c *crowd) part(size int) *crowd {
	return &crowd{user: c.user, base: c.base, ctx: c.ctx, size: size, down: c.down, up: c.up}
}
