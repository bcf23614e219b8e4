package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	//lint:ignore SA1019 the dialers of client-go have this type
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/amahi/spdy/interop/kubernetes/internal/workload"
)

// A forwarding is a running port-forward.
type forwarding struct {
	local  map[uint16]string // local address for each port of the pod
	stop   chan struct{}
	ended  chan error
	errOut *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// forward forwards the ports of the pod to ports of this machine.
func (c *client) forward(ctx context.Context) (*forwarding, error) {
	text, err := c.get("/open/portforward", nil)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	if err != nil {
		return nil, err
	}
	return c.forwardBy(ctx, spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", u))
}

// forwardBy is forward with a given dialer.
func (c *client) forwardBy(ctx context.Context, dialer httpstream.Dialer) (*forwarding, error) {
	f := &forwarding{local: make(map[uint16]string), stop: make(chan struct{}), ended: make(chan error, 1), errOut: &lockedBuffer{}}
	ready := make(chan struct{})
	ports := []string{fmt.Sprintf("0:%d", workload.PortNone)}
	for _, port := range workload.Ports {
		ports = append(ports, fmt.Sprintf("0:%d", port))
	}
	fw, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, ports, f.stop, ready, io.Discard, f.errOut)
	if err != nil {
		return nil, err
	}
	go func() { f.ended <- fw.ForwardPorts() }() // ends with close
	select {
	case <-ready:
	case err := <-f.ended:
		return nil, fmt.Errorf("forwarding: %w", err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	got, err := fw.GetPorts()
	if err != nil {
		return nil, err
	}
	for _, p := range got {
		f.local[p.Remote] = fmt.Sprintf("127.0.0.1:%d", p.Local)
	}
	return f, nil
}

// close ends the forwarding. It returns an error if the forwarding has ended before or has reported
// anything.
func (f *forwarding) close() error {
	close(f.stop)
	return errors.Join(<-f.ended, expect("what kubectl prints", f.errOut.String(), ""))
}

// lost reports whether the forwarding has ended.
func (f *forwarding) lost() bool {
	select {
	case err := <-f.ended:
		f.ended <- err
		return true
	default:
		return false
	}
}

func (f *forwarding) dial(ctx context.Context, port uint16) (*net.TCPConn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", f.local[port])
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	return conn.(*net.TCPConn), nil
}

// exchange sends and receives size bytes concurrently, on the port that answers with the digest.
func (f *forwarding) exchange(ctx context.Context, seed uint64, size int64) error {
	conn, err := f.dial(ctx, workload.PortBoth)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(workload.Head(size, seed+1)); err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() { // ends with the content or the connection
		_, err := io.Copy(conn, workload.Content(seed, size))
		sent <- errors.Join(err, conn.CloseWrite())
	}()
	got, err := workload.Digest(io.LimitReader(conn, size))
	if err != nil {
		return err
	}
	rest, err := io.ReadAll(conn)
	return errors.Join(err, <-sent, expect("received", got, workload.ContentDigest(seed+1, size)),
		expect("sent, at the other end", string(rest), workload.ContentDigest(seed, size)))
}

// abandon is an exchange that is reset at a random point.
func (f *forwarding) abandon(ctx context.Context, dice *rand.Rand, size int64) error {
	conn, err := f.dial(ctx, workload.PortEcho)
	if err != nil {
		return err
	}
	stop := dice.Int64N(size)
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(io.Discard, io.LimitReader(conn, dice.Int64N(stop+1))) })
	_, _ = io.Copy(conn, workload.Content(0, stop))
	_ = conn.SetLinger(0) // Close sends RST
	err = conn.Close()
	reading.Wait()
	return err
}

var forwardScenarios = []scenario{
	{"port-forward: both ways at once", func(c *client, ctx context.Context) (string, error) {
		f, err := c.forward(ctx)
		if err != nil {
			return "", err
		}
		begun := time.Now()
		err = f.exchange(ctx, c.seed, c.size)
		rate := float64(2*c.size) / 1e6 / time.Since(begun).Seconds()
		return fmt.Sprintf("%d bytes each way, %.0f MB/s", c.size, rate), errors.Join(err, f.close())
	}},
	{"port-forward: many connections, half of them reset", (*client).storm},
	{"port-forward: nobody listens", func(c *client, ctx context.Context) (string, error) {
		f, err := c.forward(ctx)
		if err != nil {
			return "", err
		}
		// client-go abandons a session when it receives an error. With spdystream at the other end
		// the error may get lost, since FIN can overtake the reply; then the session continues.
		for ended := false; !ended; {
			conn, dialErr := f.dial(ctx, workload.PortNone)
			if dialErr != nil { // the listener is closed
				if ctx.Err() != nil {
					return "", errors.Join(dialErr, f.close())
				}
				err = <-f.ended
				break
			}
			n, copyErr := io.Copy(io.Discard, conn)
			conn.Close()
			if n != 0 || copyErr != nil && !strings.Contains(copyErr.Error(), "reset") {
				return "", errors.Join(fmt.Errorf("%d bytes from nobody: %w", n, copyErr), f.close())
			}
			select {
			case err = <-f.ended:
				ended = true
			default:
			}
		}
		if !errors.Is(err, portforward.ErrLostConnectionToPod) {
			return "", fmt.Errorf("the forwarding ended with %w", err)
		}
		return "", nil
	}},
}

// storm runs many connections through a session, half of them reset at random.
func (c *client) storm(ctx context.Context) (string, error) {
	f, err := c.forward(ctx)
	if err != nil {
		return "", err
	}
	errs := make([]error, c.connections)
	c.throng(ctx, f, 256<<10, func(i int, _ time.Time, err error) {
		if err != nil {
			errs[i] = fmt.Errorf("connection %d: %w", i, err)
		}
	})
	return fmt.Sprintf("%d connections, %d at a time", c.connections, c.atOnce), errors.Join(errors.Join(errs...), f.close())
}

// throng runs c.connections connections, with up to most bytes in each direction. Every second
// connection is reset at random. done receives the start and the result of every connection.
func (c *client) throng(ctx context.Context, f *forwarding, most int64, done func(i int, begun time.Time, err error)) {
	turns := make(chan struct{}, c.atOnce)
	var all sync.WaitGroup
	for i := range c.connections {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			dice, begun := rand.New(rand.NewPCG(c.seed, uint64(i))), time.Now()
			if reset(i) {
				done(i, begun, f.abandon(ctx, dice, most))
				return
			}
			done(i, begun, f.exchange(ctx, c.seed+uint64(i), dice.Int64N(most)))
		})
	}
	all.Wait()
}

// reset reports whether connection i of a throng is to be reset.
func reset(i int) bool { return i%2 == 1 }
