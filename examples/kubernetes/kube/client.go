package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/amahi/spdy"
)

// A Client asks API servers, kubelets and container runtimes to run commands and to forward ports.
// The zero value is ready; any number of goroutines may use a Client.
type Client struct {
	// Dialer opens the connections. Set a bearer token in Header, a client certificate in
	// TLSClientConfig. Protocols is ignored, and so is FlowControl of Config.
	Dialer spdy.UpgradeDialer
}

// Streams are the connected streams of a command. At least one is needed.
type Streams struct {
	// Stdin is the input of the command. When the command ends, Run does not wait for a pending
	// Read of Stdin; a caller that continues to read Stdin must allow for that Read.
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer // not with TTY: a terminal has no separate stderr

	// TTY runs the command in a terminal. Sizes delivers the initial size and each change, until
	// the channel is closed.
	TTY   bool
	Sizes <-chan Size
}

// Query adds the streams to a query, under the names of API servers and under the names of kubelets
// and container runtimes.
func (s Streams) Query(q url.Values) {
	for _, o := range []struct {
		wanted        bool
		api, kubelets string
	}{
		{s.Stdin != nil, "stdin", "input"},
		{s.Stdout != nil, "stdout", "output"},
		{s.Stderr != nil && !s.TTY, "stderr", "error"},
		{s.TTY, "tty", "tty"},
	} {
		if o.wanted {
			q.Set(o.kubelets, "1")
			q.Set(o.api, "1")
		}
	}
}

// ErrIncomplete matches errors about output that was cut off.
var ErrIncomplete = errors.New("kube: the output is not complete")

// dial upgrades a connection, and runs the session until the context ends or hangUp is called.
func (c *Client) dial(ctx context.Context, rawURL, protocol string) (s *spdy.Session, hangUp func(), err error) {
	dialer := c.Dialer
	dialer.Config, dialer.Protocols = config(dialer.Config), []string{protocol}
	s, chosen, err := dialer.Dial(ctx, http.MethodPost, rawURL)
	if err != nil {
		return nil, nil, err
	}
	served := make(chan struct{})
	go func() { // ends with the session
		defer close(served)
		_ = s.Serve()
	}()
	callOff := context.AfterFunc(ctx, s.Close)
	hangUp = func() {
		callOff()
		s.Close()
		<-served
	}
	if chosen != protocol {
		hangUp()
		return nil, nil, fmt.Errorf("kube: the server speaks %q, not %q", chosen, protocol)
	}
	return s, hangUp, nil
}

// Run runs a command in a container, or attaches to a running command: the URL selects the command
// and must list the streams, see Streams.Query. Run returns when the command has ended and all
// output has been written. The error is an *ExitError if the exit code is not 0, a *RemoteError if
// the command could not be run, and matches ErrIncomplete if the output was cut off. The end of the
// context ends the run.
func (c *Client) Run(ctx context.Context, rawURL string, streams Streams) error {
	s, hangUp, err := c.dial(ctx, rawURL, execProtocol)
	if err != nil {
		return err
	}
	defer hangUp()
	r := &run{s: s, Streams: streams}
	if err := r.open(ctx); err != nil {
		return because(ctx, err)
	}
	return because(ctx, r.copy())
}

// because returns the cause of the context's end if the context has ended, and err otherwise.
func because(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil && err != nil {
		return why
	}
	return err
}

// A run is a running command.
type run struct {
	Streams
	s                                     *spdy.Session
	outcome, stdin, stdout, stderr, sizes *spdy.RawStream
}

// open opens the streams and waits until the server has replied to all streams: Kubernetes peers
// discard bytes that arrive earlier.
func (r *run) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	wanted := []struct {
		stream **spdy.RawStream
		kind   string
		wanted bool
	}{
		{&r.outcome, typeError, true},
		{&r.stdin, typeStdin, r.Stdin != nil},
		{&r.stdout, typeStdout, r.Stdout != nil},
		{&r.stderr, typeStderr, r.Stderr != nil && !r.TTY},
		{&r.sizes, typeResize, r.TTY},
	}
	for _, w := range wanted {
		if !w.wanted {
			continue
		}
		st, err := r.s.OpenStream(ctx, header(headerType, w.kind), spdy.StreamOptions{})
		if err != nil {
			return fmt.Errorf("kube: opening the stream %s: %w", w.kind, err)
		}
		*w.stream = st
	}
	for _, w := range wanted {
		if !w.wanted {
			continue
		}
		if _, err := (*w.stream).AwaitReply(ctx); err != nil {
			return fmt.Errorf("kube: the reply to the stream %s: %w", w.kind, err)
		}
	}
	return nil
}

// copy copies the bytes until the command has ended.
func (r *run) copy() error {
	if r.stdin != nil {
		go r.sendStdin() // ends with the stream, after a pending Read
	}
	if r.sizes != nil {
		go r.sendSizes() // ends with the channel or the stream
	}
	var outErr, errErr error
	var outputs sync.WaitGroup
	if r.stdout != nil {
		outputs.Go(func() { outErr = receive(r.Stdout, r.stdout) })
	}
	if r.stderr != nil {
		outputs.Go(func() { errErr = receive(r.Stderr, r.stderr) })
	}
	text, err := io.ReadAll(io.LimitReader(r.outcome, maxMessage))
	outputs.Wait()
	if err != nil && !json.Valid(text) { // a complete object is valid however the stream has ended
		return fmt.Errorf("kube: the outcome of the command is missing, %.100q: %w", text, err)
	}
	result := parseOutcome(text)
	return errors.Join(result, complete(typeStdout, outErr), complete(typeStderr, errErr))
}

// complete interprets the end of an output, given the whole outcome. The streaming server of
// container runtimes ends outputs that the runtime has not closed with RST_STREAM(CANCEL), after
// sending the outcome, so all of the output has arrived before. Any other end except FIN is
// premature.
func complete(kind string, err error) error {
	if err == nil || cancelled(err) {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrIncomplete, kind, err)
}

// A writeError is a local failure: the user's writer has failed.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

type flaggingWriter struct{ io.Writer }

func (w flaggingWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		err = writeError{err}
	}
	return n, err
}

// receive copies an output. If a write fails, the rest is discarded, so that the command does not
// block.
func receive(w io.Writer, st *spdy.RawStream) error {
	defer st.Close()
	_, err := io.Copy(flaggingWriter{w}, st)
	var ours writeError
	if errors.As(err, &ours) {
		_, _ = io.Copy(io.Discard, st)
	}
	return err
}

func (r *run) sendStdin() {
	_, err := io.Copy(r.stdin, r.Stdin)
	if err != nil {
		_ = r.stdin.Reset(spdy.RstCancel) // a partial input must not look complete
		return
	}
	_ = r.stdin.CloseWrite()
}

func (r *run) sendSizes() {
	to := json.NewEncoder(r.sizes)
	for {
		select {
		case size, ok := <-r.Sizes:
			if !ok {
				_ = r.sizes.CloseWrite()
				return
			}
			if to.Encode(size) != nil {
				return
			}
		case <-r.sizes.Done():
			return
		}
	}
}

// PodURL returns the URL of a request about a pod, for an API server or for a Kubelet of this
// package. verb is exec, attach or portforward; container may be empty if the pod has a single
// container.
func PodURL(server, namespace, pod, verb, container string, streams Streams, command ...string) string {
	q := url.Values{}
	if verb != "portforward" {
		streams.Query(q)
		if container != "" {
			q.Set("container", container)
		}
	}
	if len(command) > 0 {
		q["command"] = command
	}
	path := fmt.Sprintf("/api/v1/namespaces/%s/pods/%s/%s", url.PathEscape(namespace), url.PathEscape(pod), verb)
	return strings.TrimSuffix(server, "/") + path + "?" + q.Encode()
}

func portString(port uint16) string { return strconv.Itoa(int(port)) }
