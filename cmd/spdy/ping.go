package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/amahi/spdy"
)

const pingHelp = `Usage: spdy ping [flags] host:port

Sends PING frames and prints how long their echoes take, like ping(8). It ends
after -c pings, or with Ctrl-C, with a summary. https://host works too.

The exit code is 0 if an echo came, 1 if none did or the session broke.
`

// pingOptions are the flags of ping.
type pingOptions struct {
	dialer
	count    int
	interval time.Duration
	wait     time.Duration
	secure   bool
	verbose  bool
}

func runPing(ctx context.Context, e *env, args []string) error {
	var o pingOptions
	flags := newFlags("ping")
	flags.IntVar(&o.count, "c", 0, "end after this `number` of pings (default: go on until Ctrl-C)")
	flags.DurationVar(&o.interval, "i", time.Second, "`time` from one ping to the next")
	flags.DurationVar(&o.wait, "W", 10*time.Second, "`time` to wait for an echo")
	flags.BoolVar(&o.secure, "tls", false, "connect with TLS")
	flags.BoolVar(&o.verbose, "v", false, "show in the end, on standard error, what has gone over the connection")
	o.addFlags(flags)
	rest, err := e.parse(flags, args, pingHelp)
	if err != nil {
		return err
	}
	switch {
	case len(rest) != 1:
		return usagef("want one host:port")
	case o.count < 0:
		return usagef("-c must not be negative")
	case o.interval <= 0 || o.wait <= 0:
		return usagef("-i and -W must be more than 0")
	}
	to, err := pingOrigin(rest[0], o.secure)
	if err != nil {
		return err
	}
	if err := o.prepare(); err != nil {
		return err
	}
	client, err := o.client(ctx, to.addr, to.secure, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	session := client.Session()
	name := session.RemoteAddr().String()
	fmt.Fprintf(e.stdout, "PING %s (%s) %v\n", to.addr, name, session.Version())
	p := &pinger{out: e.stdout, name: name, ping: session.PingContext, pingOptions: o}
	err = p.run(ctx)
	p.summary(to.addr)
	if o.verbose {
		client.Close()
		writeStats(e.stderr, to.addr, session.Stats())
	}
	switch {
	case errors.Is(err, spdy.ErrSessionClosed) && session.Stats().Received.Bytes == 0:
		return explain(&spdy.NotSPDYError{Addr: name, Err: io.EOF})
	case err != nil:
		return explain(err)
	case p.stats.received == 0:
		return errFailed
	}
	return nil
}

// pingOrigin parses a host with or without a port, or the URL of a server.
func pingOrigin(s string, secure bool) (origin, error) {
	if !strings.Contains(s, "://") {
		if secure {
			s = "https://" + s
		} else {
			s = "http://" + s
		}
	}
	j, err := newJob(s)
	if err != nil {
		return origin{}, err
	}
	if strings.Trim(j.url.Path, "/") != "" || j.url.RawQuery != "" {
		return origin{}, usagef("%s is more than a server", s)
	}
	return j.origin, nil
}

// A pinger sends pings one after the other and counts them.
type pinger struct {
	pingOptions
	out   io.Writer
	name  string
	ping  func(context.Context) (time.Duration, error)
	stats pingStats
	began time.Time
	took  time.Duration
}

// run sends pings until the count is reached or the context ends; neither is an error.
func (p *pinger) run(ctx context.Context) error {
	p.began = time.Now()
	defer func() { p.took = time.Since(p.began) }()
	next := time.NewTimer(p.interval)
	defer next.Stop()
	for seq := 1; ; seq++ {
		if err := p.once(ctx, seq); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if seq == p.count {
			return nil
		}
		select {
		case <-next.C:
			next.Reset(p.interval)
		case <-ctx.Done():
			return nil
		}
	}
}

// once sends a ping and prints the result. A ping that Ctrl-C ended does not count.
func (p *pinger) once(ctx context.Context, seq int) error {
	waiting, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	rtt, err := p.ping(waiting)
	switch {
	case err == nil:
		p.stats.add(rtt)
		_, err = fmt.Fprintf(p.out, "echo from %s: seq=%d time=%s\n", p.name, seq, milliseconds(rtt))
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	p.stats.sent++
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	_, err = fmt.Fprintf(p.out, "no echo from %s: seq=%d within %v\n", p.name, seq, p.wait)
	return err
}

func (p *pinger) summary(addr string) {
	s := &p.stats
	loss := 0.0
	if s.sent > 0 {
		loss = 100 * float64(s.sent-s.received) / float64(s.sent)
	}
	fmt.Fprintf(p.out, "\n--- %s ping statistics ---\n", addr)
	fmt.Fprintf(p.out, "%s sent, %d echoed, %.4g%% loss, time %s\n", plural(s.sent, "ping"), s.received, loss, milliseconds(p.took))
	if s.received > 0 {
		fmt.Fprintf(p.out, "round trip min/avg/max/stddev = %.3f/%.3f/%.3f/%.3f ms\n", s.min, s.mean, s.max, s.stddev())
	}
}

// pingStats accumulates round trips, in milliseconds, without storing them (Welford's method).
type pingStats struct {
	sent, received int64
	min, max       float64
	mean, squares  float64
}

func (s *pingStats) add(rtt time.Duration) {
	ms := float64(rtt) / float64(time.Millisecond)
	s.sent++
	s.received++
	if s.received == 1 {
		s.min = ms
	}
	s.min, s.max = min(s.min, ms), max(s.max, ms)
	off := ms - s.mean
	s.mean += off / float64(s.received)
	s.squares += off * (ms - s.mean)
}

// stddev returns the standard deviation of all round trips.
func (s *pingStats) stddev() float64 {
	if s.received == 0 {
		return 0
	}
	return math.Sqrt(s.squares / float64(s.received))
}

// milliseconds formats a duration as ping(8) does, with about three digits.
func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 10:
		return fmt.Sprintf("%.3f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}
