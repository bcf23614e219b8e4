package spdystream

import (
	"errors"
	"fmt"
	"io"

	amahi "github.com/amahi/spdy"
)

//lint:file-ignore ST1005 The texts are those of the original, which programs compare.

// The errors of streams and connections.
var (
	ErrInvalidStreamId   = errors.New("Invalid stream id")      // kept for programs that name it
	ErrTimeout           = errors.New("Timeout occurred")       // from Stream.WaitTimeout and Connection.Wait
	ErrReset             = errors.New("Stream reset")           // the stream was refused, or reset
	ErrWriteClosedStream = errors.New("Write on closed stream") // our half is closed
	ErrUnreadPartialData = errors.New("unread partial data")    // from Stream.ReadData, after Read has read part of a frame
)

var (
	errInitiated  = errors.New("spdystream: there is nothing to reply to: this side has opened the stream")
	errIdle       = errors.New("spdystream: the connection was idle for too long")
	errForgotten  = fmt.Errorf("spdystream: no reply had come and nobody used the stream: %w", io.ErrUnexpectedEOF)
	errNoParent   = errors.New("spdystream: the parent is a stream of another connection")
	errHeaderSize = errors.New("spdystream: a header is larger than the limit")
)

// An overError is the error of calls made after the connection has ended. It matches io.EOF, which
// the original returns, and the reason.
type overError struct{ reason error }

// Error returns the reason.
func (e *overError) Error() string { return e.reason.Error() }

// Unwrap returns io.EOF and the reason.
func (e *overError) Unwrap() []error { return []error{io.EOF, e.reason} }

// A resetError is the error of a stream that the peer has reset.
type resetError struct{ err error }

// Error includes the peer's reason.
func (e *resetError) Error() string { return ErrReset.Error() + ": " + e.err.Error() }

// Unwrap returns ErrReset and the reason.
func (e *resetError) Unwrap() []error { return []error{ErrReset, e.err} }

// isCancel reports whether the peer has reset the stream with CANCEL.
func isCancel(err error) bool {
	reset := remoteReset(err)
	return reset != nil && reset.Status == amahi.RstCancel
}

// remoteReset returns the peer's reset in err's chain, or nil.
func remoteReset(err error) *amahi.StreamError {
	var reset *amahi.StreamError
	if errors.As(err, &reset) && reset.Remote {
		return reset
	}
	return nil
}
