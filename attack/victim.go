package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"syscall"
	"time"

	"github.com/moby/spdystream"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
)

// The victims. Each runs with defaults in a separate process, on a separate port.
const (
	ourServer = "spdy server"
	ourClient = "spdy client"
	h2Server  = "x/net http2 server"
	mobyPeer  = "moby/spdystream server"
)

var victims = []string{ourServer, ourClient, h2Server, mobyPeer}

// runVictim serves until standard input ends. It prints the address, and measures the process
// between each two lines of input.
func runVictim(name string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	spdy.SetLog(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	log.SetOutput(io.Discard)
	serve, ok := map[string]func(net.Listener){
		ourServer: serveSPDY, ourClient: askSPDY, h2Server: serveHTTP2, mobyPeer: serveMoby,
	}[name]
	if !ok {
		return fmt.Errorf("there is no victim %q", name)
	}
	go serve(ln) // ends with the process
	fmt.Println(ln.Addr())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		m := startMeter()
		fmt.Println("measuring")
		if !in.Scan() {
			return nil
		}
		if err := json.NewEncoder(os.Stdout).Encode(m.stop()); err != nil {
			return err
		}
	}
	return in.Err()
}

// handler is the handler of the HTTP servers: it reads the request and sends a short response. For
// /hang it waits until the client cancels.
func handler(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/hang" {
		<-r.Context().Done()
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(w, "ok")
}

func serveSPDY(ln net.Listener) {
	_ = (&spdy.Server{Handler: http.HandlerFunc(handler), Config: &spdy.Config{Version: spdy.SPDY31}}).Serve(ln)
}

func serveHTTP2(ln net.Listener) {
	s := new(http2.Server)
	each(ln, func(conn net.Conn) {
		s.ServeConn(conn, &http2.ServeConnOpts{Handler: http.HandlerFunc(handler)})
	})
}

// askSPDY is a client: it sends a request to every peer that connects and reads the response.
func askSPDY(ln net.Listener) {
	each(ln, func(conn net.Conn) {
		s := spdy.NewClientSession(conn)
		go func() { // ends with the session
			req, err := http.NewRequest("GET", "http://attacker.example/", nil)
			if err != nil {
				return
			}
			if res, err := s.RoundTrip(req); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		}()
		_ = s.Serve()
	})
}

// serveMoby handles streams as a kubelet does: it replies, and reads the stream.
func serveMoby(ln net.Listener) {
	each(ln, func(conn net.Conn) {
		c, err := spdystream.NewConnection(conn, true)
		if err != nil {
			return
		}
		c.Serve(func(s *spdystream.Stream) {
			_ = s.SendReply(http.Header{}, false)
			if s.Headers().Get("Hang") == "" {
				go func() { // ends with the stream
					_, _ = io.Copy(io.Discard, s)
					_ = s.Close()
				}()
			}
		})
	})
}

func each(ln net.Listener, serve func(net.Conn)) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go serve(conn)
	}
}

// A cost is the cost of an attack to a victim, above the state before the attack.
type cost struct {
	Heap       int64         // peak bytes
	Goroutines int64         // peak number
	CPU        time.Duration // of the process, including kernel time
}

// A meter samples the process continuously.
type meter struct {
	before, most [2]int64
	cpu          time.Duration
	quit, end    chan struct{}
}

// sampleEvery is the sampling interval.
const sampleEvery = 5 * time.Millisecond

func startMeter() *meter {
	runtime.GC()
	runtime.GC()
	m := &meter{quit: make(chan struct{}), end: make(chan struct{})}
	m.before, m.cpu = look(), cpuTime()
	m.most = m.before
	go m.watch()
	return m
}

func (m *meter) watch() {
	defer close(m.end)
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		for i, n := range look() {
			m.most[i] = max(m.most[i], n)
		}
		select {
		case <-tick.C:
		case <-m.quit:
			return
		}
	}
}

func (m *meter) stop() cost {
	close(m.quit)
	<-m.end
	return cost{Heap: m.most[0] - m.before[0], Goroutines: m.most[1] - m.before[1], CPU: cpuTime() - m.cpu}
}

// look returns the bytes of the heap and the number of goroutines.
func look() [2]int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/sched/goroutines:goroutines"}}
	metrics.Read(s)
	return [2]int64{int64(s[0].Value.Uint64()), int64(s[1].Value.Uint64())}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // cannot fail for this process
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
