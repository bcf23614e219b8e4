package spdy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// RstStatus is the status code of a RST_STREAM frame (SPDY/3.1 §2.6.3, SPEC §3).
type RstStatus uint32

// The status codes of RST_STREAM. SPDY/2 lacks the codes above RstFlowControlError and uses
// RstProtocolError instead.
const (
	RstProtocolError       RstStatus = 1  // generic error
	RstInvalidStream       RstStatus = 2  // frame for a stream that is not active
	RstRefusedStream       RstStatus = 3  // nothing was processed; a retry is safe
	RstUnsupportedVersion  RstStatus = 4  // SYN_STREAM of another SPDY version
	RstCancel              RstStatus = 5  // the stream's creator has cancelled the stream
	RstInternalError       RstStatus = 6  // an internal failure of the frame's sender
	RstFlowControlError    RstStatus = 7  // the peer broke flow control
	RstStreamInUse         RstStatus = 8  // second SYN_REPLY
	RstStreamAlreadyClosed RstStatus = 9  // a frame after FIN
	RstInvalidCredentials  RstStatus = 10 // SPDY/3 only
	RstFrameTooLarge       RstStatus = 11 // the frame is larger than we accept
)

var rstNames = [...]string{
	RstProtocolError:       "PROTOCOL_ERROR",
	RstInvalidStream:       "INVALID_STREAM",
	RstRefusedStream:       "REFUSED_STREAM",
	RstUnsupportedVersion:  "UNSUPPORTED_VERSION",
	RstCancel:              "CANCEL",
	RstInternalError:       "INTERNAL_ERROR",
	RstFlowControlError:    "FLOW_CONTROL_ERROR",
	RstStreamInUse:         "STREAM_IN_USE",
	RstStreamAlreadyClosed: "STREAM_ALREADY_CLOSED",
	RstInvalidCredentials:  "INVALID_CREDENTIALS",
	RstFrameTooLarge:       "FRAME_TOO_LARGE",
}

// String returns the code's name in the specification.
func (s RstStatus) String() string {
	if int64(s) < int64(len(rstNames)) && rstNames[s] != "" {
		return rstNames[s]
	}
	return fmt.Sprintf("RST_STREAM status %d", uint32(s))
}

// forVersion maps codes unknown to SPDY/2 to PROTOCOL_ERROR (SPEC §3).
func (s RstStatus) forVersion(v Version) RstStatus {
	if v == SPDY2 && s > RstFlowControlError {
		return RstProtocolError
	}
	return s
}

// GoAwayStatus is the status code of a GOAWAY frame (SPDY/3.1 §2.6.6). A GOAWAY of SPDY/2 has no
// status on the wire.
type GoAwayStatus uint32

// The status codes of GOAWAY.
const (
	GoAwayOK            GoAwayStatus = 0 // orderly end of the session
	GoAwayProtocolError GoAwayStatus = 1 // the peer broke the protocol
	GoAwayInternalError GoAwayStatus = 2 // an internal failure of the frame's sender
)

// String returns the code's name in the specification.
func (s GoAwayStatus) String() string {
	switch s {
	case GoAwayOK:
		return "OK"
	case GoAwayProtocolError:
		return "PROTOCOL_ERROR"
	case GoAwayInternalError, 11: // 11 in the first drafts (SPEC G8)
		return "INTERNAL_ERROR"
	}
	return fmt.Sprintf("GOAWAY status %d", uint32(s))
}

// ErrSessionClosed is returned by calls on a session that has ended without an error: this side
// closed the session, or the peer closed the connection between two frames with no stream open.
// ErrSessionClosed matches net.ErrClosed.
var ErrSessionClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string        { return "spdy: session closed" }
func (closedError) Is(target error) bool { return target == net.ErrClosed }

// errGoingAway is the error of streams above the last-good id of a GOAWAY, and of attempts to open
// a stream on a draining session.
var errGoingAway = errors.New("spdy: session is going away")

// errInside is returned by a call that would wait for a session, if one of the session's own
// goroutines makes the call, see insideSession.
var errInside = errors.New("spdy: cannot wait for a session on one of its own goroutines")

// ErrStreamClosed is returned by calls on a stream that this side has closed. ErrStreamClosed
// matches net.ErrClosed.
var ErrStreamClosed error = streamClosedError{}

type streamClosedError struct{}

func (streamClosedError) Error() string        { return "spdy: stream closed" }
func (streamClosedError) Is(target error) bool { return target == net.ErrClosed }

// A SessionError ends a session and every stream of the session. If Remote is set, the peer
// reported the error in a GOAWAY; otherwise this side found the error and sent the GOAWAY.
type SessionError struct {
	Status GoAwayStatus // status of the GOAWAY
	Reason string       // description of the error; "" for an error the peer reported
	Remote bool         // the peer reported the error
	Err    error        // cause, may be nil
}

// Error returns the text of the error: the side that ended the session, and the reason.
func (e *SessionError) Error() string {
	who := "session error"
	if e.Remote {
		who = "peer ended the session"
	}
	return describe("spdy: "+who+": "+e.Status.String(), e.Reason, e.Err)
}

// Unwrap returns the cause, if any.
func (e *SessionError) Unwrap() error { return e.Err }

// A StreamError ends one stream; the session continues. If Remote is set, the peer reported the
// error in a RST_STREAM; otherwise this side did.
type StreamError struct {
	StreamID uint32    // 0 if no id was assigned to the stream
	Status   RstStatus // status of the RST_STREAM
	Reason   string    // description of the error; "" for an error the peer reported
	Remote   bool      // the peer reported the error
	Err      error     // cause, may be nil
}

// Error returns the text of the error: the side that reset the stream, and the reason.
func (e *StreamError) Error() string {
	who := "reset"
	if e.Remote {
		who = "reset by peer"
	}
	return describe(fmt.Sprintf("spdy: stream %d %s: %s", e.StreamID, who, e.Status), e.Reason, e.Err)
}

// Unwrap returns the cause, if any.
func (e *StreamError) Unwrap() error { return e.Err }

// Retryable reports whether the peer did not process the stream at all. The same request may then
// be sent again even if the method is not idempotent (SPEC X6, G5).
func (e *StreamError) Retryable() bool {
	return e.Status == RstRefusedStream
}

// A ConnError reports the loss of a session's connection: every later call on the session and on
// the session's streams fails with the ConnError. A ConnError matches its cause:
// io.ErrUnexpectedEOF if the peer closed the connection, a *NotSPDYError if the peer does not speak
// SPDY.
type ConnError struct {
	Err error // error of the connection; never nil
}

// Error returns the text of the error: the connection was lost, and the cause.
func (e *ConnError) Error() string {
	if other, ok := e.Err.(*NotSPDYError); ok { // the connection still works
		return other.Error()
	}
	return "spdy: connection lost: " + bareText(e.Err)
}

// Unwrap returns the cause.
func (e *ConnError) Unwrap() error { return e.Err }

// Timeout reports whether the connection was closed because the peer timed out. With Temporary it
// makes a ConnError a net.Error.
func (e *ConnError) Timeout() bool {
	t, ok := e.Err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// Temporary returns the result of Timeout.
func (e *ConnError) Temporary() bool { return e.Timeout() }

func describe(what, reason string, cause error) string {
	if reason != "" {
		what += ": " + reason
	}
	if cause != nil {
		what += ": " + bareText(cause)
	}
	return what
}

// A TruncatedError is returned to a reader when the peer or the network ended a stream before the
// peer's FIN. A TruncatedError matches io.ErrUnexpectedEOF and the error that ended the stream. If
// this side ended the stream, readers of an HTTP body receive the reason unwrapped: the error or
// the cause of the context, os.ErrDeadlineExceeded, or ErrSessionClosed. Readers of a raw stream
// receive a TruncatedError in these cases, too.
type TruncatedError struct {
	Err error // *StreamError, *SessionError or *ConnError; on a raw stream also ErrSessionClosed
}

// Error returns the text of the error: data is missing, and the cause.
func (e *TruncatedError) Error() string {
	return "spdy: stream ended before its FIN: " + bareText(e.Err)
}

// Unwrap returns io.ErrUnexpectedEOF and the cause.
func (e *TruncatedError) Unwrap() []error { return []error{io.ErrUnexpectedEOF, e.Err} }

// ownCause returns the reason if this side ended a stream: the cause of our reset, such as the
// error of a context, or ErrSessionClosed. ownCause returns nil if the peer or the network ended
// the stream, or if the peer violated the protocol.
func ownCause(reason error) error {
	if reason == ErrSessionClosed {
		return reason
	}
	if e, ok := reason.(*StreamError); ok && !e.Remote {
		return e.Err
	}
	return nil
}

// isOwnReset reports whether this side reset a stream.
func isOwnReset(reason error) bool {
	e, ok := reason.(*StreamError)
	return ok && !e.Remote
}

// causeOf returns the cause of the context's end, or nil while the context lives. A program may
// cancel with io.EOF, which is reserved for the clean end of a stream: then causeOf returns the
// error of the context.
func causeOf(ctx context.Context) error {
	cause := context.Cause(ctx)
	if cause == io.EOF {
		return ctx.Err()
	}
	return cause
}

// readEnd returns the error of reads on a stream that ended for reason before the peer's FIN. As in
// net/http, a caller that cancels receives the error of the caller's context unwrapped. readEnd
// never returns io.EOF, because a northbound buffer treats io.EOF as the FIN.
func (st *Stream) readEnd(reason error) error {
	if cause := ownCause(reason); cause != nil && cause != io.EOF && st.raw == nil {
		return cause
	}
	return &TruncatedError{Err: reason}
}

// writeEnd is readEnd for writes.
func (st *Stream) writeEnd(reason error) error {
	if cause := ownCause(reason); cause != nil && st.raw == nil {
		return cause
	}
	return reason
}

// A causedError is an error of this package with a cause.
type causedError struct {
	text string
	err  error
}

func (e causedError) Error() string { return e.text + ": " + bareText(e.err) }

func (e causedError) Unwrap() error { return e.err }

// Timeout reports whether the cause is a timeout. A *url.Error asks the error that it wraps, and no
// cause of that error.
func (e causedError) Timeout() bool { return isTimeout(e.err) }

// Temporary returns the result of Timeout. It makes a causedError a net.Error.
func (e causedError) Temporary() bool { return e.Timeout() }

// bareText returns the text of an error without the package prefix, for an error text that already
// has the prefix.
func bareText(err error) string {
	if err == nil {
		return "unknown cause"
	}
	return strings.TrimPrefix(err.Error(), "spdy: ")
}

func sessionErrorf(status GoAwayStatus, format string, args ...any) *SessionError {
	return &SessionError{Status: status, Reason: fmt.Sprintf(format, args...)}
}

func streamErrorf(id uint32, status RstStatus, format string, args ...any) *StreamError {
	return &StreamError{StreamID: id, Status: status, Reason: fmt.Sprintf(format, args...)}
}
