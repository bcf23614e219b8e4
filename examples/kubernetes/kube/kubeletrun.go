package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/amahi/spdy"
)

// serveCommand serves exec and attach.
func (k *Kubelet) serveCommand(w http.ResponseWriter, r *http.Request, c Container, attach bool) error {
	q := r.URL.Query()
	wanted := wantedStreams(q)
	if len(wanted) < 2 {
		http.Error(w, "one of stdin, stdout and stderr is needed", http.StatusBadRequest)
		return errors.New("kube: no streams are wanted")
	}
	ctx, s, hangUp, err := k.upgrade(w, r, execProtocol)
	if err != nil {
		return err
	}
	defer hangUp()
	streams, err := collect(ctx, s, wanted)
	if err != nil {
		s.Close() // there is no stream for the error
		return err
	}
	p := streams.process(ctx)
	if attach {
		err = k.Runtime.Attach(ctx, c, p)
	} else {
		err = k.Runtime.Exec(ctx, c, q["command"], p)
	}
	return streams.finish(err)
}

// wantedStreams returns the streams that a client will open.
func wantedStreams(q url.Values) map[string]bool {
	yes := func(names ...string) bool {
		for _, name := range names {
			if v := q.Get(name); v == "1" || v == "true" {
				return true
			}
		}
		return false
	}
	tty := yes("tty")
	wanted := map[string]bool{typeError: true}
	for kind, want := range map[string]bool{
		typeStdin: yes("stdin", "input"), typeStdout: yes("stdout", "output"),
		typeStderr: yes("stderr", "error") && !tty, typeResize: tty,
	} {
		if want {
			wanted[kind] = true
		}
	}
	return wanted
}

// commandStreams are the streams of a command, by type.
type commandStreams map[string]*spdy.RawStream

// collect waits for the wanted streams, and replies to them. An unwanted or duplicate stream is an
// error of the client.
func collect(ctx context.Context, s *spdy.Session, wanted map[string]bool) (commandStreams, error) {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	streams := make(commandStreams)
	for len(streams) < len(wanted) {
		st, err := s.AcceptStream(ctx)
		if err != nil {
			return nil, fmt.Errorf("kube: %d of %d streams came: %w", len(streams), len(wanted), err)
		}
		kind, _ := st.Header().Get(headerType)
		if !wanted[kind] || streams[kind] != nil {
			_ = st.Reset(spdy.RstProtocolError)
			return nil, fmt.Errorf("kube: a stream of type %q, which is not expected", kind)
		}
		if err := st.Reply(nil, false); err != nil {
			return nil, err
		}
		if kind != typeStdin && kind != typeResize {
			_ = st.CloseRead() // clients send nothing there
		}
		streams[kind] = st
	}
	return streams, nil
}

// process returns the streams for the runtime. Missing streams are nil interfaces, not interfaces
// with nil pointers.
func (streams commandStreams) process(ctx context.Context) Process {
	var p Process
	if st := streams[typeStdin]; st != nil {
		p.Stdin = st
	}
	if st := streams[typeStdout]; st != nil {
		p.Stdout = st
	}
	if st := streams[typeStderr]; st != nil {
		p.Stderr = st
	}
	if st := streams[typeResize]; st != nil {
		sizes := make(chan Size)
		p.TTY, p.Sizes = true, sizes
		go receiveSizes(ctx, st, sizes) // ends with the stream
	}
	return p
}

// receiveSizes passes the sizes of the terminal to the runtime.
func receiveSizes(ctx context.Context, st *spdy.RawStream, sizes chan<- Size) {
	defer close(sizes)
	from := json.NewDecoder(st)
	for {
		var size Size
		if from.Decode(&size) != nil {
			return
		}
		select {
		case sizes <- size:
		case <-st.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// finish ends all streams with FIN, the outputs before the outcome: a client with the outcome has
// received all output.
func (streams commandStreams) finish(result error) error {
	var errs []error
	for _, kind := range []string{typeStdout, typeStderr} {
		if st := streams[kind]; st != nil {
			errs = append(errs, st.CloseWrite())
		}
	}
	last := streams[typeError]
	_, err := last.Write(outcome(result))
	errs = append(errs, err, last.CloseWrite())
	for _, kind := range []string{typeStdin, typeResize} {
		if st := streams[kind]; st != nil {
			_ = st.Close() // further bytes of the client are discarded
		}
	}
	return errors.Join(errs...)
}
