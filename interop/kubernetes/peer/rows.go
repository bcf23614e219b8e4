package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"

	"github.com/amahi/spdy/interop/kubernetes/internal/rows"
	"github.com/amahi/spdy/interop/kubernetes/internal/workload"
)

// The rows that TestPairings runs with client-go and the streaming server.
var rowsByName = map[string]func(c *client, ctx context.Context, r *tally) error{
	"downloads given up": (*client).givenUp,
	"early answers":      (*client).earlyAnswers,
	"connections":        func(c *client, ctx context.Context, r *tally) error { return c.halfReset(ctx, r, c.forward) },
	"in a WebSocket":     func(c *client, ctx context.Context, r *tally) error { return c.halfReset(ctx, r, c.forwardTunnelled) },
	"exec over 32 KiB/s": func(c *client, ctx context.Context, r *tally) error { return c.slowExec(ctx, r, 32<<10, 200_000) },
	"exec over 1 MiB/s":  func(c *client, ctx context.Context, r *tally) error { return c.slowExec(ctx, r, 1<<20, 5_000_000) },
	"cp over 64 KiB/s":   func(c *client, ctx context.Context, r *tally) error { return c.slowCopy(ctx, r, 64<<10, 300_000) },
}

// A tally counts attempts and successes.
type tally struct {
	mu sync.Mutex
	rows.Result
}

func (r *tally) add(begun time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Of++
	if err != nil {
		r.Note = err.Error()[:min(len(err.Error()), 100)]
		return
	}
	r.OK++
	r.Times = append(r.Times, time.Since(begun))
}

func (c *client) runRow(ctx context.Context) error {
	run, ok := rowsByName[c.row]
	if !ok {
		return fmt.Errorf("there is no row %q", c.row)
	}
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	r := &tally{Result: rows.Result{Row: c.row}}
	if err := run(c, ctx, r); err != nil {
		return err
	}
	return c.out.Encode(r.Result)
}

// givenUp abandons downloads, each in a separate session, and counts the sessions that survive: a
// runtime reports an error for an abandoned download within a second.
func (c *client) givenUp(ctx context.Context, r *tally) error {
	errs := make([]error, 15)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = c.giveUp(ctx, r) })
	}
	all.Wait()
	r.Times = nil // only waiting times
	return errors.Join(errs...)
}

func (c *client) giveUp(ctx context.Context, r *tally) error {
	f, err := c.forward(ctx)
	if err != nil {
		return err
	}
	conn, err := f.dial(ctx, workload.PortFull)
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, make([]byte, 64<<10)); err != nil {
		return err
	}
	conn.Close()
	limit := time.NewTimer(1300 * time.Millisecond)
	defer limit.Stop()
	<-limit.C
	if f.lost() {
		r.add(time.Time{}, errors.New(strings.TrimSpace("the session is lost "+f.errOut.String())))
		return nil
	}
	err = f.exchange(ctx, c.seed, 1000) // the session still works
	r.add(time.Now(), errors.Join(err, f.close()))
	return nil
}

// earlyAnswers uploads to a server that answers before reading everything, and closes the
// connection. The close resets the server's connection. The runtime reports the reset, and
// client-go abandons the session. Each upload therefore has a separate session.
func (c *client) earlyAnswers(ctx context.Context, r *tally) error {
	for range 40 {
		f, err := c.forward(ctx)
		if err != nil {
			return err
		}
		conn, err := f.dial(ctx, workload.PortBusy)
		if err != nil {
			return err
		}
		begun := time.Now()
		_ = conn.SetDeadline(begun.Add(5 * time.Second))
		uploaded := make(chan struct{})
		go func() { // ends with the connection
			defer close(uploaded)
			_, _ = io.Copy(conn, workload.Content(0, 8<<20))
		}()
		got := make([]byte, len(workload.Busy))
		_, err = io.ReadFull(conn, got)
		r.add(begun, errors.Join(err, expect("the answer", string(got), workload.Busy)))
		conn.Close()
		<-uploaded
		close(f.stop)
		<-f.ended
	}
	return nil
}

// halfReset runs many connections, resets half of them, and counts the others.
func (c *client) halfReset(ctx context.Context, r *tally, forward func(context.Context) (*forwarding, error)) error {
	f, err := forward(ctx)
	if err != nil {
		return err
	}
	c.throng(ctx, f, 64<<10, func(i int, begun time.Time, err error) {
		if !reset(i) {
			r.add(begun, err)
		}
	})
	times := r.Times
	r.add(time.Now(), f.close()) // the session is still open, and has reported nothing
	r.Times = times
	return nil
}

// overSlow is stream over a network with a bandwidth of rate bytes a second.
func (c *client) overSlow(ctx context.Context, rate int64, o remotecommand.StreamOptions, cmd ...string) error {
	u, err := c.open("exec", o, cmd...)
	if err != nil {
		return err
	}
	stop, address, err := slowNetwork(u.Host, rate)
	if err != nil {
		return err
	}
	defer stop()
	u.Host = address
	e, err := remotecommand.NewSPDYExecutor(&rest.Config{}, "POST", u)
	if err != nil {
		return err
	}
	return e.StreamWithContext(ctx, o)
}

// slowExec runs a command with output that takes some time, and with an exit code.
func (c *client) slowExec(ctx context.Context, r *tally, rate, size int64) error {
	out, begun := workload.NewHasher(), time.Now()
	err := c.overSlow(ctx, rate, remotecommand.StreamOptions{Stdout: out, Stderr: io.Discard}, "write-exit", number(size), number(c.seed), "42")
	var code exec.CodeExitError
	if !errors.As(err, &code) || code.Code != 42 {
		err = fmt.Errorf("%.12s bytes, the exit code is %v", out, err)
	} else {
		err = expect("stdout", out.String(), workload.ContentDigest(c.seed, size))
	}
	r.add(begun, err)
	r.Digest = out.String()
	return nil
}

// slowCopy copies into a container.
func (c *client) slowCopy(ctx context.Context, r *tally, rate, size int64) error {
	var out strings.Builder
	begun := time.Now()
	err := c.overSlow(ctx, rate, remotecommand.StreamOptions{Stdin: workload.Content(c.seed, size), Stdout: &out, Stderr: io.Discard}, "digest")
	r.add(begun, errors.Join(err, expect("what came", out.String(), workload.ContentDigest(c.seed, size))))
	r.Digest = out.String()
	return nil
}

// slowNetwork forwards connections to a server, with rate bytes a second in each direction, and
// forwards the end of a direction without delay.
func slowNetwork(server string, rate int64) (stop func(), address string, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	go func() { // ends with stop
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", server)
			if err != nil {
				conn.Close()
				continue
			}
			var both sync.WaitGroup
			both.Go(func() { slowly(there.(*net.TCPConn), conn.(*net.TCPConn), rate) })
			both.Go(func() { slowly(conn.(*net.TCPConn), there.(*net.TCPConn), rate) })
			go func() { // ends with both directions
				both.Wait()
				conn.Close()
				there.Close()
			}()
		}
	}()
	return func() { ln.Close() }, ln.Addr().String(), nil
}

func slowly(dst, src *net.TCPConn, rate int64) {
	_ = src.SetReadBuffer(16 << 10)
	_ = dst.SetWriteBuffer(16 << 10)
	buf := make([]byte, 16<<10)
	for {
		n, err := src.Read(buf)
		limit := time.NewTimer(time.Duration(n) * time.Second / time.Duration(rate))
		<-limit.C
		_, werr := dst.Write(buf[:n])
		switch {
		case werr != nil, err != nil && err != io.EOF:
			dst.Close()
			src.Close()
			return
		case err != nil:
			_ = dst.CloseWrite()
			return
		}
	}
}
