package strangers

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"
)

// A Deed is a kind of behaviour of strangers.
type Deed struct {
	// Name completes the sentence "a stranger …".
	Name string

	// Lasts is the approximate duration of act, or the duration of the measurement
	// if act is nil.
	Lasts time.Duration

	hold func(c *crowd, n int) // starts n strangers that hold a stream each until they leave; may be nil
	act  func(c *crowd)        // runs the deed and waits for the strangers; may be nil
}

// brief reduces the number of hang-ups to a tenth. Run sets it before the first play.
var brief bool

// Deeds returns all deeds.
func Deeds() []Deed {
	deeds := []Deed{
		{Name: "sends the largest header that net/http passes", Lasts: time.Second, act: func(c *crowd) {
			c.oneByOne(8, "/ok", http.Header{"X-Large": {letters(largest)}})
		}},
		{Name: "sends 1 MiB of cookies", Lasts: time.Second, act: func(c *crowd) {
			c.oneByOne(8, "/ok", http.Header{"Cookie": {strings.Repeat("c=1; ", largest/5) + "d=2"}})
		}},
		{Name: "asks for a URL of 1 MiB", Lasts: time.Second, act: func(c *crowd) {
			c.oneByOne(8, "/ok?"+letters(largest), nil)
		}},
		{Name: "sends every odd header that is legal", Lasts: time.Second, act: func(c *crowd) {
			odd := oddHeaders()
			c.waves(10, len(odd), 100*time.Millisecond, func(ctx context.Context, i int) { c.get(ctx, "/ok", odd[i]) })
		}},
		{Name: "asks and hangs up at once, 10,000 times", Lasts: 10 * time.Second, act: hangUps},
		{Name: "hangs up in the middle of a download", Lasts: 1200 * time.Millisecond, act: abandonDownloads},
		{Name: "hangs up in the middle of an upload", Lasts: 1200 * time.Millisecond, act: abandonUploads},
		{Name: "never reads its download", Lasts: time.Second, hold: func(c *crowd, n int) {
			c.hold(n, func(ctx context.Context, i int) { c.stare(ctx, 0) })
		}},
		{Name: "uploads to a handler that never reads", Lasts: time.Second, hold: func(c *crowd, n int) {
			c.hold(n, func(ctx context.Context, i int) { c.send(ctx, http.MethodPost, "/deaf", endless{ctx}, nil) })
		}},
		{Name: "reads, or is read, one byte a second", Lasts: 2 * time.Second, hold: func(c *crowd, n int) {
			c.hold(n-n/2, func(ctx context.Context, i int) { c.stare(ctx, 1) })
			c.hold(n/2, func(ctx context.Context, i int) { c.send(ctx, http.MethodPost, "/sip", endless{ctx}, nil) })
		}},
		{Name: "times out before the handler is done, and asks again", Lasts: 4 * time.Second, act: timeOuts},
		{Name: "makes the handler panic", Lasts: time.Second, act: func(c *crowd) {
			c.waves(20, 40, 50*time.Millisecond, func(ctx context.Context, i int) {
				defer c.down.want()()
				c.get(ctx, [2]string{"/panic", "/panic/late"}[i%2], nil)
			})
		}},
		{Name: "makes the handler answer before it has read", Lasts: time.Second, act: func(c *crowd) {
			c.waves(10, 10, 100*time.Millisecond, func(ctx context.Context, i int) {
				defer c.up.want()()
				c.send(ctx, http.MethodPost, "/early", bytes.NewReader(make([]byte, 1<<20)), nil)
			})
		}},
		{Name: "makes the handler answer with a header of 12 MiB", Lasts: time.Second, act: func(c *crowd) {
			c.waves(4, 1, 250*time.Millisecond, func(ctx context.Context, i int) {
				defer c.down.want()()
				c.get(ctx, "/large", nil)
			})
		}},
	}
	return append(deeds, together(deeds))
}

// largest is the size of a header value that net/http accepts with the rest of the header. The
// limit of a header is http.DefaultMaxHeaderBytes plus 4096 bytes.
const largest = http.DefaultMaxHeaderBytes + 3<<10

// oneByOne sends the same request from n strangers, 100 ms apart.
func (c *crowd) oneByOne(n int, path string, header http.Header) {
	c.waves(n, 1, 100*time.Millisecond, func(ctx context.Context, i int) {
		defer c.up.want()()
		c.get(ctx, path, header)
	})
}

// hangUps cancels 10,000 requests, immediately or before the first byte of an answer. As in
// the other waves, the streams fit into the limit even if a client reserves the slot of a
// cancelled stream until a PING behind the RST_STREAM returns.
func hangUps(c *crowd) {
	times := 100
	if brief {
		times = 10
	}
	c.waves(times, 100, 100*time.Millisecond, func(ctx context.Context, i int) {
		ctx, cancel := context.WithCancel(ctx)
		defer time.AfterFunc(time.Duration(i%5)*5*time.Millisecond, cancel).Stop()
		c.get(ctx, "/wait", nil)
		cancel()
	})
}

// timeOuts repeats requests for four seconds with a client timeout of one second and handlers
// that run for five. A client repeats a refused request after 100 ms.
func timeOuts(c *crowd) {
	c.waves(1, 110, 4*time.Second, func(ctx context.Context, i int) {
		ctx, end := context.WithTimeout(ctx, 4*time.Second)
		defer end()
		for pass(ctx, 100*time.Millisecond) == nil {
			once, cancel := context.WithTimeout(ctx, time.Second)
			c.get(once, "/busy", nil)
			cancel()
		}
	})
}

// abandonDownloads cancels running downloads, a hundred at a time.
func abandonDownloads(c *crowd) {
	c.waves(6, 100, 200*time.Millisecond, func(ctx context.Context, i int) {
		defer c.down.want()()
		ctx, cancel := context.WithTimeout(ctx, 150*time.Millisecond)
		defer cancel()
		c.get(ctx, "/endless", nil)
	})
}

// abandonUploads cancels running uploads, sixty at a time. The origin measures the demand,
// because the sockets of a front still hold bytes after the client has hung up.
func abandonUploads(c *crowd) {
	c.waves(5, 60, 250*time.Millisecond, func(ctx context.Context, i int) {
		ctx, cancel := context.WithTimeout(ctx, 150*time.Millisecond)
		defer cancel()
		c.send(ctx, http.MethodPost, "/sink", endless{ctx}, nil)
	})
}

// together runs all deeds at the same time, each with fewer strangers.
func together(deeds []Deed) Deed {
	all := Deed{Name: "all of them together"}
	for _, d := range deeds {
		all.Lasts = max(all.Lasts, d.Lasts)
	}
	all.hold = func(c *crowd, n int) {
		for _, d := range deeds {
			if d.hold != nil {
				d.hold(c, n/len(deeds))
			}
		}
	}
	all.act = func(c *crowd) {
		for _, d := range deeds {
			if d.act != nil {
				c.acting.Go(func() { d.act(c.part(c.size / len(deeds))) })
			}
		}
		c.acting.Wait()
	}
	return all
}
