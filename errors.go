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

// The status codes of RST_STREAM. Codes above RstFlowControlError do not exist
// in SPDY/2, where RstProtocolError stands in for them.
const (
	RstProtocolError       RstStatus = 1  // generic error
	RstInvalidStream       RstStatus = 2  // frame for a stream that is not active
	RstRefusedStream       RstStatus = 3  // nothing was processed; a retry is safe
	RstUnsupportedVersion  RstStatus = 4  // SYN_STREAM of another SPDY version
	RstCancel              RstStatus = 5  // the creator no longer wants the stream
	RstInternalError       RstStatus = 6  // a failure of the sender of the frame
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

// String returns the name the specification gives the code.
func (s RstStatus) String() string {
	if int64(s) < int64(len(rstNames)) && rstNames[s] != "" {
		return rstNames[s]
	}
	return fmt.Sprintf("RST_STREAM status %d", uint32(s))
}

// forVersion maps codes that SPDY/2 does not know to PROTOCOL_ERROR (SPEC §3).
func (s RstStatus) forVersion(v Version) RstStatus {
	if v == SPDY2 && s > RstFlowControlError {
		return RstProtocolError
	}
	return s
}

// GoAwayStatus is the status code of a GOAWAY frame (SPDY/3.1 §2.6.6). SPDY/2
// has none on the wire.
type GoAwayStatus uint32

// The status codes of GOAWAY.
const (
	GoAwayOK            GoAwayStatus = 0 // the session ends in an orderly way
	GoAwayProtocolError GoAwayStatus = 1 // the peer broke the protocol
	GoAwayInternalError GoAwayStatus = 2 // a failure of the sender of the frame
)

// String returns the name the specification gives the code.
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

// ErrSessionClosed is what calls on a session return once it has ended without
// an error: closed by this side, or by the peer between two frames with no
// stream open. It matches net.ErrClosed.
var ErrSessionClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string        { return "spdy: session closed" }
func (closedError) Is(target error) bool { return target == net.ErrClosed }

// errGoingAway is why a stream above the last-good id of a GOAWAY failed, and
// why a draining session opens no more.
var errGoingAway = errors.New("spdy: session is going away")

// errInside is what calls that would wait for a session return to those that it
// calls itself, see insideSession.
var errInside = errors.New("spdy: cannot wait for a session on one of its own goroutines")

// ErrStreamClosed is returned by calls on a stream that this side has closed.
// It matches net.ErrClosed.
var ErrStreamClosed error = streamClosedError{}

type streamClosedError struct{}

func (streamClosedError) Error() string        { return "spdy: stream closed" }
func (streamClosedError) Is(target error) bool { return target == net.ErrClosed }

// A SessionError ends a session and every stream in it. With Remote set the
// peer reported it in a GOAWAY; otherwise this side found it and told the peer.
type SessionError struct {
	Status GoAwayStatus // as in the GOAWAY
	Reason string       // what was wrong, in words; "" for an error of the peer's
	Remote bool         // the peer reported it
	Err    error        // cause, may be nil
}

// Error says who ended the session and why.
func (e *SessionError) Error() string {
	who := "session error"
	if e.Remote {
		who = "peer ended the session"
	}
	return describe("spdy: "+who+": "+e.Status.String(), e.Reason, e.Err)
}

// Unwrap returns the cause, if any.
func (e *SessionError) Unwrap() error { return e.Err }

// A StreamError ends one stream and leaves the session alone. With Remote set
// the peer reported it in a RST_STREAM; otherwise this side did.
type StreamError struct {
	StreamID uint32    // 0 if the stream was never given an id
	Status   RstStatus // as in the RST_STREAM
	Reason   string    // what was wrong, in words; "" for an error of the peer's
	Remote   bool      // the peer reported it
	Err      error     // cause, may be nil
}

// Error says who reset the stream and why.
func (e *StreamError) Error() string {
	who := "reset"
	if e.Remote {
		who = "reset by peer"
	}
	return describe(fmt.Sprintf("spdy: stream %d %s: %s", e.StreamID, who, e.Status), e.Reason, e.Err)
}

// Unwrap returns the cause, if any.
func (e *StreamError) Unwrap() error { return e.Err }

// Retryable reports that the peer did not process the stream at all, so that
// the same request may be sent again even if it is not idempotent (SPEC X6, G5).
func (e *StreamError) Retryable() bool {
	return e.Status == RstRefusedStream
}

// A ConnError is the loss of the connection under a session: every call on the
// session and its streams then fails with it. It matches its cause, which is
// io.ErrUnexpectedEOF if the peer just went away, and a *NotSPDYError if the peer does not
// speak SPDY.
type ConnError struct {
	Err error // what the connection said; never nil
}

// Error says that the connection was lost and how.
func (e *ConnError) Error() string {
	if other, ok := e.Err.(*NotSPDYError); ok { // the connection is as it was
		return other.Error()
	}
	return "spdy: connection lost: " + bareText(e.Err)
}

// Unwrap returns the cause.
func (e *ConnError) Unwrap() error { return e.Err }

// Timeout reports whether the connection was given up because the peer took too
// long. With Temporary it makes a ConnError a net.Error.
func (e *ConnError) Timeout() bool {
	t, ok := e.Err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// Temporary reports what Timeout does.
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

// A TruncatedError is what a reader gets when the peer or the network ended a stream before
// the peer's FIN. It matches io.ErrUnexpectedEOF and whatever ended the stream. Readers of an
// HTTP body whose stream this side ended get the reason as it is: the error or the cause of
// the context, os.ErrDeadlineExceeded, ErrSessionClosed. Those of a raw stream get a
// TruncatedError then, too.
type TruncatedError struct {
	Err error // *StreamError, *SessionError or *ConnError; on a raw stream also ErrSessionClosed
}

// Error says that data is missing and why.
func (e *TruncatedError) Error() string {
	return "spdy: stream ended before its FIN: " + bareText(e.Err)
}

// Unwrap returns io.ErrUnexpectedEOF and the cause.
func (e *TruncatedError) Unwrap() []error { return []error{io.ErrUnexpectedEOF, e.Err} }

// ownCause returns why this side ended a stream: the cause of a reset of ours, such as the
// error of a context, or ErrSessionClosed. It returns nil if the peer or the network did, or
// if the peer broke a rule.
func ownCause(reason error) error {
	if reason == ErrSessionClosed {
		return reason
	}
	if e, ok := reason.(*StreamError); ok && !e.Remote {
		return e.Err
	}
	return nil
}

// isOwnReset reports that this side reset a stream.
func isOwnReset(reason error) bool {
	e, ok := reason.(*StreamError)
	return ok && !e.Remote
}

// causeOf returns the cause of the end of a context, nil if it has not ended. A program may
// cancel with io.EOF, which is the clean end of a stream and of nothing else: then causeOf
// returns the error of the context.
func causeOf(ctx context.Context) error {
	cause := context.Cause(ctx)
	if cause == io.EOF {
		return ctx.Err()
	}
	return cause
}

// readEnd returns the error of reads on a stream that ended for reason before the peer's FIN.
// As in net/http, a caller that cancels gets the error of his context as it is. It is never
// io.EOF, by which a northbound buffer knows the FIN.
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

// bareText is the text of an error without the name of the package, for an error that names
// the package itself.
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
