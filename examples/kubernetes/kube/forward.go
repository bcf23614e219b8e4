package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amahi/spdy"
)

// A Forwarder opens connections to the ports of a pod, all in one session. The connections fail
// independently.
type Forwarder struct {
	s      *spdy.Session
	hangUp func()
	next   atomic.Uint64 // the number of the next pair of streams
}

// Forward starts to forward ports of the pod in the URL, until the context ends or Close is called.
func (c *Client) Forward(ctx context.Context, rawURL string) (*Forwarder, error) {
	s, hangUp, err := c.dial(ctx, rawURL, forwardProtocol)
	if err != nil {
		return nil, err
	}
	return &Forwarder{s: s, hangUp: hangUp}, nil
}

// Close ends the forwarding and all connections.
func (f *Forwarder) Close() error {
	f.hangUp()
	return nil
}

// Done returns a channel that is closed when the session has ended.
func (f *Forwarder) Done() <-chan struct{} { return f.s.Done() }

// Err returns the reason why the session has ended.
func (f *Forwarder) Err() error { return f.s.Err() }

// Dial opens a connection to a port of the pod. Dial returns as soon as the pod's node has accepted
// the request. If no process listens on the port, Dial or the first Read fails with a *RemoteError:
// the node dials asynchronously. Some nodes end the data stream first, see Conn.Message.
func (f *Forwarder) Dial(ctx context.Context, port uint16) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	id := strconv.FormatUint(f.next.Add(1), 10)
	open := func(kind string, o spdy.StreamOptions) (*spdy.RawStream, error) {
		return f.s.OpenStream(ctx, header(headerPort, portString(port), headerRequestID, id, headerType, kind), o)
	}
	messages, err := open(typeError, spdy.StreamOptions{Fin: true}) // the client sends nothing on this stream
	if err != nil {
		return nil, fmt.Errorf("kube: forwarding to port %d: %w", port, err)
	}
	data, err := open(typeData, spdy.StreamOptions{})
	if err != nil {
		_ = messages.Reset(spdy.RstCancel)
		return nil, fmt.Errorf("kube: forwarding to port %d: %w", port, err)
	}
	c := &Conn{RawStream: data, messages: messages}
	_, err = messages.AwaitReply(ctx)
	if err == nil {
		_, err = data.AwaitReply(ctx)
	}
	if err == nil {
		return c, nil
	}
	if cancelled(err) {
		if message := c.Message(); message != nil {
			err = message
		}
	}
	c.Abort()
	return nil, fmt.Errorf("kube: forwarding to port %d: %w", port, err)
}

// A Conn is a connection to a port of a pod: a net.Conn whose two directions close independently.
type Conn struct {
	*spdy.RawStream
	messages *spdy.RawStream

	once    sync.Once
	message error // error message of the node, read once
}

// Read reads the bytes that the port sends. If the node breaks off the connection, Read returns the
// node's message as a *RemoteError.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.RawStream.Read(p)
	if cancelled(err) {
		if message := c.Message(); message != nil {
			err = message
		}
	}
	return n, err
}

// WriteTo hides the WriteTo of the stream, which would not read the message.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{c})
}

// Message waits, for half a minute at most, for the node's message about the end of the connection,
// and returns a *RemoteError, or nil if there is none. Some nodes send the message only after both
// directions have ended.
func (c *Conn) Message() error {
	c.once.Do(func() {
		_ = c.messages.SetReadDeadline(time.Now().Add(streamTimeout))
		text, _ := io.ReadAll(io.LimitReader(c.messages, maxMessage))
		if len(text) > 0 {
			c.message = &RemoteError{Message: string(text)}
		}
	})
	return c.message
}

// Close closes the connection.
func (c *Conn) Close() error {
	return errors.Join(c.RawStream.Close(), c.messages.Close())
}

// Abort ends the connection such that the port sees a failure.
func (c *Conn) Abort() {
	_ = c.RawStream.Reset(spdy.RstCancel)
	_ = c.messages.Close()
}

// Serve forwards connections from the listener to a port of the pod, until the listener is closed
// or the session has ended. Serve calls report, unless nil, with the errors of connections.
func (f *Forwarder) Serve(ctx context.Context, ln net.Listener, port uint16, report func(error)) error {
	if report == nil {
		report = func(error) {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	go func() { // ends with the session or with Serve
		select {
		case <-f.s.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		local, err := ln.Accept()
		if err != nil {
			if why := f.s.Err(); why != nil {
				return why
			}
			return because(ctx, err)
		}
		all.Go(func() { // ends with the connection, or ctx
			defer local.Close()
			remote, err := f.Dial(ctx, port)
			if err == nil {
				err = splice(ctx, local, remote)
				if err == nil { // the message may arrive after the end
					err = remote.Message()
				}
				remote.Close()
			}
			if err != nil && ctx.Err() == nil {
				report(err)
			}
		})
	}
}
