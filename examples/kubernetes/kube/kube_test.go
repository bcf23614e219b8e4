package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

// A pod is a Runtime whose commands are functions.
type pod struct {
	commands map[string]func(context.Context, []string, Process) error
	dial     func(ctx context.Context, port uint16) (io.ReadWriteCloser, error)
}

func (p *pod) Exec(ctx context.Context, c Container, command []string, proc Process) error {
	if f := p.commands[command[0]]; f != nil {
		return f(ctx, command, proc)
	}
	return fmt.Errorf("%s/%s/%s: there is no %s", c.Namespace, c.Pod, c.Name, command[0])
}

func (p *pod) Attach(ctx context.Context, _ Container, proc Process) error {
	return p.commands["attach"](ctx, nil, proc)
}

func (p *pod) Dial(ctx context.Context, _ Container, port uint16) (io.ReadWriteCloser, error) {
	return p.dial(ctx, port)
}

// cat, the command.
func cat(_ context.Context, _ []string, p Process) error {
	_, err := io.Copy(p.Stdout, p.Stdin)
	return err
}

// serve runs a kubelet, and checks at the end that nothing is left of it.
func serve(t *testing.T, p *pod) (server string) {
	before := runtime.NumGoroutine()
	k := &Kubelet{Runtime: p, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	ts := httptest.NewServer(k)
	t.Cleanup(func() {
		ts.Close()
		for runtime.NumGoroutine() > before { // the test's own deadline ends it
			runtime.Gosched()
		}
	})
	return ts.URL
}

func execURL(server string, streams Streams, command ...string) string {
	return PodURL(server, "ns", "pod", "exec", "main", streams, command...)
}

func TestStreamsOfACommand(t *testing.T) {
	server := serve(t, &pod{commands: map[string]func(context.Context, []string, Process) error{
		"cat": cat,
		"both": func(_ context.Context, command []string, p Process) error {
			fmt.Fprint(p.Stderr, strings.Join(command, " "))
			n, err := io.Copy(p.Stdout, p.Stdin)
			fmt.Fprintf(p.Stderr, ", %d", n)
			return err
		},
	}})
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var out, errOut bytes.Buffer
	streams := Streams{Stdin: bytes.NewReader(big), Stdout: &out, Stderr: &errOut}
	require.NoError(t, new(Client).Run(t.Context(), execURL(server, streams, "both", "a b"), streams))
	require.True(t, bytes.Equal(big, out.Bytes()))
	require.Equal(t, "both a b, 1048576", errOut.String())

	out.Reset()
	streams = Streams{Stdin: strings.NewReader("no stderr"), Stdout: &out}
	require.NoError(t, new(Client).Run(t.Context(), execURL(server, streams, "cat"), streams))
	require.Equal(t, "no stderr", out.String())
}

func TestOutcomes(t *testing.T) {
	server := serve(t, &pod{commands: map[string]func(context.Context, []string, Process) error{
		"exit": func(_ context.Context, command []string, p Process) error {
			code, _ := strconv.Atoi(command[1])
			fmt.Fprint(p.Stdout, "last words")
			return &ExitError{Code: code}
		},
	}})
	var out bytes.Buffer
	streams := Streams{Stdout: &out}
	err := new(Client).Run(t.Context(), execURL(server, streams, "exit", "42"), streams)
	var exit *ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 42, exit.Code)
	require.Equal(t, "last words", out.String())

	err = new(Client).Run(t.Context(), execURL(server, streams, "ls"), streams)
	var remote *RemoteError
	require.ErrorAs(t, err, &remote)
	require.Equal(t, "ns/pod/main: there is no ls", remote.Message)

	// The paths of a kubelet lead there too.
	q := url.Values{"command": {"ls"}}
	streams.Query(q)
	err = new(Client).Run(t.Context(), server+"/exec/ns/pod/other?"+q.Encode(), streams)
	require.EqualError(t, err, "ns/pod/other: there is no ls")
}

func TestTerminal(t *testing.T) {
	sized := make(chan bool)
	sizesOf := func(_ context.Context, _ []string, p Process) error {
		if !p.TTY || p.Stderr != nil {
			return errors.New("not in a terminal")
		}
		for size := range p.Sizes {
			fmt.Fprintf(p.Stdout, "%dx%d ", size.Width, size.Height)
			sized <- true
		}
		return nil
	}
	server := serve(t, &pod{commands: map[string]func(context.Context, []string, Process) error{"sizes": sizesOf, "attach": sizesOf}})
	for _, verb := range []string{"exec", "attach"} {
		var out bytes.Buffer
		sizes := make(chan Size)
		streams := Streams{Stdout: &out, Stderr: io.Discard, TTY: true, Sizes: sizes}
		go func() {
			for _, size := range []Size{{80, 24}, {132, 50}} {
				sizes <- size
				<-sized
			}
			close(sizes)
		}()
		require.NoError(t, new(Client).Run(t.Context(), PodURL(server, "ns", "pod", verb, "", streams, "sizes"), streams))
		require.Equal(t, "80x24 132x50 ", out.String())
	}
}

// A command need not read its stdin to the end, and a client's reader need not end.
func TestStdinThatDoesNotEnd(t *testing.T) {
	server := serve(t, &pod{commands: map[string]func(context.Context, []string, Process) error{
		"head": func(_ context.Context, _ []string, p Process) error {
			_, err := io.CopyN(p.Stdout, p.Stdin, 5)
			return err
		},
	}})
	in, keyboard := io.Pipe()
	go func() { _, _ = keyboard.Write([]byte("hello")) }()
	var out bytes.Buffer
	streams := Streams{Stdin: in, Stdout: &out}
	require.NoError(t, new(Client).Run(t.Context(), execURL(server, streams, "head"), streams))
	require.Equal(t, "hello", out.String())
	keyboard.Close()
}

func TestCancelledCommand(t *testing.T) {
	ended := make(chan error, 1)
	server := serve(t, &pod{commands: map[string]func(context.Context, []string, Process) error{
		"yes": func(ctx context.Context, _ []string, p Process) error {
			for {
				if _, err := p.Stdout.Write([]byte("y\n")); err != nil {
					<-ctx.Done()
					ended <- err
					return err
				}
			}
		},
	}})
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	streams := Streams{Stdout: writerFunc(func(p []byte) (int, error) { cancel(enough); return len(p), nil })}
	require.ErrorIs(t, new(Client).Run(ctx, execURL(server, streams, "yes"), streams), enough)
	require.Error(t, <-ended)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// If this end cannot write the output any more, the command is not held up, and the
// failure is told.
func TestOutputThatCannotBeWritten(t *testing.T) {
	server := serve(t, &pod{commands: map[string]func(context.Context, []string, Process) error{
		"much": func(_ context.Context, _ []string, p Process) error {
			_, err := p.Stdout.Write(make([]byte, 20<<20)) // more than the client keeps
			return err
		},
	}})
	full := errors.New("disk full")
	streams := Streams{Stdout: writerFunc(func([]byte) (int, error) { return 0, full })}
	err := new(Client).Run(t.Context(), execURL(server, streams, "much"), streams)
	require.ErrorIs(t, err, full)
	require.ErrorIs(t, err, ErrIncomplete)
}

func TestRefusals(t *testing.T) {
	k := &Kubelet{Runtime: &pod{}, Token: "secret", Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	ts := httptest.NewServer(k)
	defer ts.Close()
	streams := Streams{Stdout: io.Discard}
	with := func(token string) *Client {
		return &Client{Dialer: spdy.UpgradeDialer{Header: http.Header{"Authorization": {"Bearer " + token}}}}
	}
	for name, c := range map[string]struct {
		client *Client
		url    string
		status int
	}{
		"no token":     {new(Client), execURL(ts.URL, streams, "ls"), http.StatusUnauthorized},
		"wrong token":  {with("secrets"), execURL(ts.URL, streams, "ls"), http.StatusUnauthorized},
		"no such path": {with("secret"), ts.URL + "/exec", http.StatusNotFound},
		"no streams":   {with("secret"), execURL(ts.URL, Streams{}, "ls"), http.StatusBadRequest},
	} {
		err := c.client.Run(t.Context(), c.url, streams)
		var refused *spdy.UpgradeError
		require.ErrorAs(t, err, &refused, name)
		require.Equal(t, c.status, refused.StatusCode, name)
	}
	require.EqualError(t, with("secret").Run(t.Context(), execURL(ts.URL, streams, "ls"), streams), "ns/pod/main: there is no ls")
}

// badServer upgrades and then does as a test says.
func badServer(t *testing.T, protocol string, f func(s *spdy.Session)) string {
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := spdy.Upgrader{Config: config(nil), Protocols: []string{protocol}}
		s, _, err := u.Upgrade(w, r)
		if err != nil {
			return
		}
		done := make(chan error)
		go func() { done <- s.Serve() }()
		f(s)
		s.Close()
		<-done
	}))
	t.Cleanup(ts.Close)
	return ts.URL
}

// Output that was cut off is never taken for all of it, whatever else has arrived.
func TestIncompleteOutput(t *testing.T) {
	streams := Streams{Stdout: io.Discard}
	for name, cut := range map[string]func(s *spdy.Session, c commandStreams){
		"no outcome": func(s *spdy.Session, c commandStreams) {
			_ = c[typeStdout].CloseWrite()
			_ = c[typeError].CloseWrite()
		},
		"part of the outcome": func(s *spdy.Session, c commandStreams) {
			_ = c[typeStdout].CloseWrite()
			_, _ = c[typeError].Write(outcome(nil)[:10])
			_ = c[typeError].Reset(spdy.RstCancel)
		},
		"the connection is lost": func(s *spdy.Session, c commandStreams) {
			_, _ = c[typeStdout].Write([]byte("part"))
			s.Close()
		},
		"reset by an error": func(s *spdy.Session, c commandStreams) {
			_ = c[typeStdout].Reset(spdy.RstInternalError)
			_, _ = c[typeError].Write(outcome(nil))
			_ = c[typeError].CloseWrite()
		},
	} {
		server := badServer(t, execProtocol, func(s *spdy.Session) {
			c, err := collect(context.Background(), s, map[string]bool{typeError: true, typeStdout: true})
			if err == nil {
				cut(s, c)
			}
			<-s.Done()
		})
		require.Error(t, new(Client).Run(t.Context(), execURL(server, streams, "x"), streams), name)
	}
}

// dialRaw is a client without the client of this package.
func dialRaw(t *testing.T, url, protocol string) (s *spdy.Session, open func(pairs ...string) *spdy.RawStream) {
	d := spdy.UpgradeDialer{Config: config(nil), Protocols: []string{protocol}}
	s, _, err := d.Dial(t.Context(), "POST", url)
	require.NoError(t, err)
	done := make(chan error)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return s, func(pairs ...string) *spdy.RawStream {
		st, err := s.OpenStream(t.Context(), header(pairs...), spdy.StreamOptions{})
		require.NoError(t, err)
		return st
	}
}

// A kubelet refuses streams that nobody has announced.
func TestUnexpectedStreams(t *testing.T) {
	server := serve(t, &pod{})
	for _, kinds := range [][]string{{typeError, typeError}, {typeError, typeStdin}, {"what"}} {
		s, open := dialRaw(t, execURL(server, Streams{Stdout: io.Discard}, "x"), execProtocol)
		var last *spdy.RawStream
		for _, kind := range kinds {
			last = open(headerType, kind)
		}
		_, err := last.AwaitReply(t.Context())
		var reset *spdy.StreamError
		require.ErrorAs(t, err, &reset)
		require.Equal(t, spdy.RstProtocolError, reset.Status)
		<-s.Done()
	}
}

// When a command has ended all of its streams do, also those that the client writes to,
// whether the client hangs up or not.
func TestEndOfStreams(t *testing.T) {
	server := serve(t, &pod{commands: map[string]func(context.Context, []string, Process) error{
		"true": func(context.Context, []string, Process) error { return nil },
	}})
	streams := Streams{Stdin: strings.NewReader(""), Stdout: io.Discard, TTY: true}
	_, open := dialRaw(t, execURL(server, streams, "true"), execProtocol)
	all := []*spdy.RawStream{open(headerType, typeError), open(headerType, typeStdin), open(headerType, typeStdout), open(headerType, typeResize)}
	for i, st := range all {
		text, err := io.ReadAll(st)
		require.NoError(t, err)
		require.Equal(t, i == 0, len(text) > 0)
	}
}

// ports are a pod that echoes on 7, says who it is on 13 and resets on 9.
func ports(t *testing.T) *pod {
	listen := func(f func(c *net.TCPConn)) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go f(c.(*net.TCPConn))
			}
		}()
		return ln.Addr().String()
	}
	addrs := map[uint16]string{
		7: listen(func(c *net.TCPConn) {
			_, _ = io.Copy(c, c)
			c.Close()
		}),
		13: listen(func(c *net.TCPConn) { // speaks, closes its half, and then listens
			_, _ = io.WriteString(c, "it is late")
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}),
		9: listen(func(c *net.TCPConn) {
			_, _ = c.Read(make([]byte, 1))
			_ = c.SetLinger(0)
			c.Close()
		}),
	}
	return &pod{dial: func(ctx context.Context, port uint16) (io.ReadWriteCloser, error) {
		if addrs[port] == "" {
			return nil, errors.New("nobody listens")
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addrs[port])
	}}
}

func TestForwardedConnections(t *testing.T) {
	server := serve(t, ports(t))
	f, err := new(Client).Forward(t.Context(), PodURL(server, "ns", "pod", "portforward", "", Streams{}))
	require.NoError(t, err)
	defer f.Close()

	echo, err := f.Dial(t.Context(), 7)
	require.NoError(t, err)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		_, _ = echo.Write(big)
		_ = echo.CloseWrite()
	}()
	got, err := io.ReadAll(echo)
	require.NoError(t, err)
	require.True(t, bytes.Equal(big, got))
	require.NoError(t, echo.Close())

	// Its half is closed, and that does not wait for ours.
	daytime, err := f.Dial(t.Context(), 13)
	require.NoError(t, err)
	got, err = io.ReadAll(daytime)
	require.NoError(t, err)
	require.Equal(t, "it is late", string(got))
	require.NoError(t, daytime.Close())

	nobody, err := f.Dial(t.Context(), 8)
	require.NoError(t, err)
	_, err = io.ReadAll(nobody)
	var remote *RemoteError
	require.ErrorAs(t, err, &remote)
	require.Equal(t, "forwarding to port 8 of ns/pod: nobody listens", remote.Message)
	nobody.Close()

	// What was reset is no orderly end, and the session lives on.
	discard, err := f.Dial(t.Context(), 9)
	require.NoError(t, err)
	_, err = discard.Write([]byte("x"))
	require.NoError(t, err)
	_, err = io.ReadAll(discard)
	require.Error(t, err)
	discard.Close()
	require.NoError(t, f.Err())
}

// A listener of this machine, as kubectl has it: half of the connections are reset.
func TestForwardedListener(t *testing.T) {
	server := serve(t, ports(t))
	f, err := new(Client).Forward(t.Context(), PodURL(server, "ns", "pod", "portforward", "", Streams{}))
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- f.Serve(t.Context(), ln, 7, nil) }()
	var all sync.WaitGroup
	errs := make([]error, 40)
	for i := range errs {
		all.Go(func() {
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				errs[i] = err
				return
			}
			defer conn.Close()
			text := slices.Repeat([]byte{byte(i)}, 5000*i+1)
			if i%2 == 1 {
				_, _ = conn.Write(text)
				_ = conn.(*net.TCPConn).SetLinger(0)
				return
			}
			go func() {
				_, _ = conn.Write(text)
				_ = conn.(*net.TCPConn).CloseWrite()
			}()
			got, err := io.ReadAll(conn)
			if err != nil || !bytes.Equal(got, text) {
				errs[i] = fmt.Errorf("%d of %d bytes: %w", len(got), len(text), err)
			}
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	require.NoError(t, f.Err())
	f.Close()
	require.ErrorIs(t, <-served, spdy.ErrSessionClosed)
}

// A kubelet pairs streams of clients that do not number their requests, and refuses
// pairs that are none.
func TestPairs(t *testing.T) {
	server := serve(t, ports(t))
	_, open := dialRaw(t, PodURL(server, "ns", "pod", "portforward", "", Streams{}), forwardProtocol)
	_ = open(headerPort, "13", headerType, typeError)
	data := open(headerPort, "13", headerType, typeData)
	got, err := io.ReadAll(data)
	require.NoError(t, err)
	require.Equal(t, "it is late", string(got))
	data.Close()

	_ = open(headerPort, "13", headerType, typeError, headerRequestID, "1")
	for _, bad := range [][]string{
		{headerPort, "13", headerType, typeError, headerRequestID, "1"}, // twice
		{headerPort, "7", headerType, typeData, headerRequestID, "1"},   // another port
		{headerPort, "0", headerType, typeData},
		{headerPort, "65536", headerType, typeData},
		{headerType, typeData},
		{headerPort, "13", headerType, "stdin"},
	} {
		st := open(bad...)
		_, err := st.Read(make([]byte, 1))
		var reset *spdy.StreamError
		require.ErrorAs(t, err, &reset, bad)
		require.Equal(t, spdy.RstProtocolError, reset.Status, bad)
	}
}
