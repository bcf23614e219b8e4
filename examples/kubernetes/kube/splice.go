package kube

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/amahi/spdy"
)

// A halfCloser is a connection whose two directions close independently.
type halfCloser interface {
	io.ReadWriter
	CloseWrite() error
}

// A tunnel is the stream end of a forwarded connection.
type tunnel interface {
	halfCloser
	Abort()
}

// splice copies bytes between a local connection and a stream, in both directions, until both have
// ended. Ends are passed on unchanged: a closed direction closes the same direction of the other
// connection, and a reset resets the other connection, so that a reader never mistakes a part for
// the whole.
func splice(ctx context.Context, local io.ReadWriteCloser, remote tunnel) error {
	stop := context.AfterFunc(ctx, func() {
		remote.Abort()
		local.Close()
	})
	defer stop()
	up := make(chan error, 1)
	go func() { up <- carry(remote, local, remote.Abort) }() // ends with local, or with remote
	down := carry(closeWriter(local), remote, func() { reset(local) })
	if down != nil {
		remote.Abort()
	}
	return errors.Join(down, <-up)
}

// carry copies one direction. If the copy fails, giveUp ends the other connection.
func carry(to halfCloser, from io.Reader, giveUp func()) error {
	_, err := io.Copy(to, from)
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil {
		giveUp()
	}
	var remote *RemoteError
	switch {
	case errors.Is(err, net.ErrClosed): // the other direction reports the cause
		return nil
	case errors.As(err, &remote): // the complete reason
		return remote
	}
	return err
}

// closeWriter returns a connection as a halfCloser. A connection that cannot close one direction is
// closed whole.
func closeWriter(conn io.ReadWriteCloser) halfCloser {
	if h, ok := conn.(halfCloser); ok {
		return h
	}
	return closesWhole{conn}
}

type closesWhole struct{ io.ReadWriteCloser }

func (c closesWhole) CloseWrite() error { return c.Close() }

// reset closes a TCP connection such that the peer does not see an orderly end.
func reset(conn io.Closer) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

// A rawTunnel is the kubelet's end of the data of a forwarded connection.
type rawTunnel struct{ *spdy.RawStream }

// Abort ends the stream at once.
func (t rawTunnel) Abort() { _ = t.Reset(spdy.RstCancel) }
