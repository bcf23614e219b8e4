package spdystream_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream"
)

// The original at the other end, in a process of its own: see interop/mobypeer.

// patience is for what has to happen, on a machine that may be busy.
const patience = time.Minute

var originalProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "mobypeer")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "mobypeer")
	cmd := exec.Command("go", "build", "-o", program, "./mobypeer")
	cmd.Dir = filepath.Join("..", "..", "interop")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Stderr = os.Stderr
	return program, cmd.Run()
})

func original(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	program, err := originalProgram()
	require.NoError(t, err)
	return exec.Command(program, args...)
}

func TestMain(m *testing.M) {
	code := m.Run()
	if program, err := originalProgram(); err == nil {
		os.RemoveAll(filepath.Dir(program))
	}
	os.Exit(code)
}

// serveOriginal starts the original as a server and returns its address.
func serveOriginal(t *testing.T) string {
	cmd := original(t, "serve")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		assert.NoError(t, cmd.Wait())
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(line)
}

// dialOriginal connects to the original.
func dialOriginal(t *testing.T, addr string) *spdystream.Connection {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	c := newConnection(t, conn, false)
	served := make(chan struct{})
	go func() {
		defer close(served)
		c.Serve(spdystream.NoOpStreamHandler)
	}()
	t.Cleanup(func() {
		assert.NoError(t, c.Close())
		assert.NoError(t, c.Wait(patience))
		<-served
	})
	return c
}

// openOriginal opens a stream with which the original does something.
func openOriginal(t *testing.T, c *spdystream.Connection, do string) *spdystream.Stream {
	t.Helper()
	s, err := c.CreateStream(http.Header{"Do": {do}}, nil, false)
	require.NoError(t, err)
	require.NoError(t, s.SetDeadline(time.Now().Add(patience)))
	return s
}

// awaitReady waits until a stream that mirrors does so.
func awaitReady(t *testing.T, s *spdystream.Stream) {
	t.Helper()
	ready, err := s.ReadData()
	require.NoError(t, err)
	require.Equal(t, "ready", string(ready))
}

func TestOriginalServer(t *testing.T) {
	addr := serveOriginal(t)
	for do, test := range map[string]func(t *testing.T, c *spdystream.Connection, s *spdystream.Stream){
		"mirror": func(t *testing.T, c *spdystream.Connection, s *spdystream.Stream) {
			require.NoError(t, s.Wait())
			awaitReady(t, s)
			_, err := s.Write([]byte("there and back"))
			require.NoError(t, err)
			require.NoError(t, s.SendHeader(http.Header{"A": {"b", "c"}}, false))
			h, err := s.ReceiveHeader()
			require.NoError(t, err)
			require.Equal(t, http.Header{"A": {"b", "c"}}, h)
			require.NoError(t, s.Close())
			require.Equal(t, ending{"there and back", nil}, <-readAll(s))
			_, err = c.Ping()
			require.NoError(t, err)
		},
		"refuse": func(t *testing.T, _ *spdystream.Connection, s *spdystream.Stream) {
			require.Equal(t, spdystream.ErrReset, s.WaitTimeout(patience))
		},
		"ignore": func(t *testing.T, c *spdystream.Connection, s *spdystream.Stream) {
			require.Equal(t, spdystream.ErrTimeout, s.WaitTimeout(time.Millisecond))
			require.NoError(t, s.Reset())
			require.Equal(t, spdystream.ErrReset, s.Wait())
		},
		"source": func(t *testing.T, c *spdystream.Connection, s *spdystream.Stream) {
			require.NoError(t, s.WaitTimeout(patience))
			_, err := c.Ping() // while the bytes come that nobody reads
			require.NoError(t, err)
			n, err := io.Copy(io.Discard, s)
			require.NoError(t, err)
			require.EqualValues(t, 8<<20, n)
			require.NoError(t, s.Close())
		},
		"exit": func(t *testing.T, c *spdystream.Connection, s *spdystream.Stream) {
			require.NoError(t, s.WaitTimeout(patience))
			require.Equal(t, ending{"exit code 7", nil}, <-readAll(s))
			<-c.CloseChan()
		},
		"reset": func(t *testing.T, c *spdystream.Connection, s *spdystream.Stream) {
			require.Equal(t, ending{"part", nil}, <-readAll(s), "a CANCEL")
			_, err := c.Ping()
			require.NoError(t, err)
		},
		"close": func(t *testing.T, c *spdystream.Connection, s *spdystream.Stream) {
			require.Equal(t, ending{"part and whole", nil}, <-readAll(s))
			require.NoError(t, s.Close())
			<-c.CloseChan()
		},
		"cut": func(t *testing.T, c *spdystream.Connection, s *spdystream.Stream) {
			end := <-readAll(s)
			require.Equal(t, "part", end.data)
			require.ErrorIs(t, end.err, io.ErrUnexpectedEOF)
			<-c.CloseChan()
		},
	} {
		t.Run(do, func(t *testing.T) {
			c := dialOriginal(t, addr)
			s := openOriginal(t, c, do)
			test(t, c, s)
			require.NoError(t, s.Reset())
		})
	}
}

// A stream that is not read does not hold up the others, as far as the budget goes.
func TestOriginalUnread(t *testing.T) {
	c := dialOriginal(t, serveOriginal(t))
	unread := openOriginal(t, c, "source")
	require.NoError(t, unread.WaitTimeout(patience))
	for range 20 { // each fifth stream has the worker of the unread one
		s := openOriginal(t, c, "mirror")
		awaitReady(t, s)
		require.NoError(t, s.WriteData([]byte("hello"), true))
		require.Equal(t, ending{"hello", nil}, <-readAll(s))
	}
	n, err := io.Copy(io.Discard, unread)
	require.NoError(t, err)
	require.EqualValues(t, 8<<20, n)
	require.NoError(t, unread.Close())
}

// The original as a client finds everything in order.
func TestOriginalClient(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan *spdystream.Connection, 1)
	go func() { // ends with the listener
		conn, err := ln.Accept()
		if !assert.NoError(t, err) {
			return
		}
		c, err := spdystream.NewConnection(conn, true)
		assert.NoError(t, err)
		go c.Serve(spdystream.MirrorStreamHandler) // ends with the connection
		served <- c
	}()
	defer ln.Close()
	out, err := original(t, "dial", ln.Addr().String()).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, (<-served).Wait(patience), "nothing is left of it")
}
