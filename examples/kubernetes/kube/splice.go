package kube

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/amahi/spdy"
)

// A halfCloser is a connection whose halves close by themselves.
type halfCloser interface {
	io.ReadWriter
	CloseWrite() error
}

// A tunnel is the end of a connection that is a stream.
type tunnel interface {
	halfCloser
	Abort()
}

// splice carries bytes between a connection of this machine and a stream, both ways,
// until both have ended. An end is passed on as what it is: a half that was closed closes
// the half beyond, and a connection that was reset resets the other, so that nobody takes
// a part for the whole.
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

// carry copies one way. If it fails, giveUp ends the other connection.
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
	case errors.Is(err, net.ErrClosed): // the other direction has seen why
		return nil
	case errors.As(err, &remote): // says it all
		return remote
	}
	return err
}

// closeWriter is a connection as a halfCloser. One that cannot close half is closed.
func closeWriter(conn io.ReadWriteCloser) halfCloser {
	if h, ok := conn.(halfCloser); ok {
		return h
	}
	return closesWhole{conn}
}

type closesWhole struct{ io.ReadWriteCloser }

func (c closesWhole) CloseWrite() error { return c.Close() }

// reset closes a connection of TCP in such a way that the other end does not take it for
// an orderly end.
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
