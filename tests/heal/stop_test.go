//go:build unix

package heal

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
)

// stops is how often a process is stopped, each time in another phase of its PINGs.
const stops = 6

// lostToStop has a process stopped for longer than it waits for the answer to a PING, and returns
// how many of its requests fail, of one before each stop and one behind it.
func lostToStop(t *testing.T, c column, addr string) int {
	var count atomic.Int32
	var processes sync.WaitGroup
	for i := range stops {
		processes.Go(func() {
			text, err := stopped(c.name, addr, time.Duration(i)*37*time.Millisecond)
			if err != nil {
				t.Error(err)
			}
			count.Add(int32(strings.Count(text, "failed")))
		})
	}
	processes.Wait()
	return int(count.Load())
}

// stopped runs a process with a client, stops it for three seconds, and returns what it prints.
func stopped(name, addr string, phase time.Duration) (string, error) {
	c, text, err := startChild("TestStoppedProcess", "running", "HEAL_CLIENT="+name, "HEAL_ADDR="+addr)
	if err != nil {
		return text, err
	}
	defer c.in.Close()
	await(500*time.Millisecond + phase) // its PINGs are under way
	stopErr := c.Process.Signal(syscall.SIGSTOP)
	await(3 * time.Second)
	goErr := c.Process.Signal(syscall.SIGCONT)
	_, inErr := io.WriteString(c.in, "go on\n")
	rest, outErr := io.ReadAll(c.out)
	return string(rest), errors.Join(stopErr, goErr, inErr, outErr, c.Wait())
}

func await(d time.Duration) { <-time.NewTimer(d).C }

// TestStoppedProcess stops processes whose server is there: their session stays. It is also what
// runs in such a process.
func TestStoppedProcess(t *testing.T) {
	if name := os.Getenv("HEAL_CLIENT"); name != "" {
		runStopped(t, name, os.Getenv("HEAL_ADDR"))
		return
	}
	addr := tableServer(t)
	for i := range 3 {
		text, err := stopped("spdy.Transport", addr, time.Duration(i)*37*time.Millisecond)
		require.NoError(t, err)
		require.Contains(t, text, "later dials 0", "the session has stayed")
		require.NotContains(t, text, "failed")
	}
}

// runStopped sends a request before its process is stopped, has one wait meanwhile, and sends one
// behind that. PINGs are under way most of the time.
func runStopped(t *testing.T, name, addr string) {
	var dials atomic.Int32
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &lateConn{Conn: c}, err
	}
	var rt http.RoundTripper
	switch name {
	case "HTTP/1.1":
		rt = &http.Transport{TLSClientConfig: insecure(), DialContext: dial}
	case "x/net/http2":
		rt = &http2.Transport{ReadIdleTimeout: 20 * time.Millisecond, PingTimeout: time.Second, DialTLSContext: func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			return tls.Client(c, insecure("h2")), err
		}}
	case "ConfigureTransport":
		tr := &http.Transport{TLSClientConfig: insecure(), DialContext: dial}
		require.NoError(t, spdy.ConfigureTransport(tr, &spdy.Config{PingInterval: 20 * time.Millisecond, PingTimeout: time.Second}))
		rt = tr
	default:
		rt = &spdy.Transport{TLSClientConfig: insecure(), DialContext: dial, Config: &spdy.Config{PingInterval: 20 * time.Millisecond, PingTimeout: time.Second}}
	}
	ask := func(path string, patience time.Duration) {
		if err := get(rt, "https://"+addr+path, patience); err != nil {
			fmt.Println("failed", err)
		}
	}
	ask("/", time.Minute)
	before := dials.Load() // another, if the first was slow
	waits := make(chan struct{})
	go func() {
		defer close(waits)
		ask("/soon", time.Minute)
	}()
	fmt.Println("running")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	ask("/", time.Minute)
	<-waits
	fmt.Println("later dials", dials.Load()-before)
}

// A lateConn delays what is read by 60 ms, as a path would.
type lateConn struct{ net.Conn }

func (c *lateConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		await(60 * time.Millisecond)
	}
	return n, err
}
