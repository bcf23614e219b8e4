// Package kube implements the streaming protocols of Kubernetes, exec, attach and port-forward, at
// both ends: Client corresponds to kubectl, Kubelet to the server on a node. Both use raw SPDY
// streams after an upgrade from HTTP/1.1:
//
//   - exec and attach have a stream each for stdin, stdout, stderr, the terminal's size
//     and the outcome. The outcome stream is called error and carries a JSON object with an
//     exit code or a message.
//   - port-forward has two streams for each connection, one for the bytes and one for an
//     error message. A number in the headers connects the two streams.
package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/amahi/spdy"
)

// The subprotocols, as negotiated in the upgrade.
const (
	execProtocol    = "v4.channel.k8s.io"
	forwardProtocol = "portforward.k8s.io"
)

// The headers of a stream. Names are lower-case in SPDY.
const (
	headerType      = "streamtype"
	headerPort      = "port"
	headerRequestID = "requestid"
)

// The types of streams.
const (
	typeError  = "error"
	typeStdin  = "stdin"
	typeStdout = "stdout"
	typeStderr = "stderr"
	typeResize = "resize"
	typeData   = "data"
)

// streamTimeout is the time limit at either end for the streams of a request, and for the replies
// to the streams.
const streamTimeout = 30 * time.Second

// maxMessage is the longest outcome or error message in bytes; the rest is not read.
const maxMessage = 64 << 10

// config is for sessions with peers that neither grant flow-control credit nor wait for credit,
// such as Kubernetes peers.
func config(c *spdy.Config) *spdy.Config {
	var d spdy.Config
	if c != nil {
		d = *c
	}
	d.FlowControl = spdy.FlowControlPeerUnaware
	return &d
}

// A Size is the size of a terminal, in characters.
type Size struct{ Width, Height uint16 }

// An ExitError is the result of a command with an exit code other than 0.
type ExitError struct {
	Code    int // 1 to 255
	Message string
}

// Error returns the message, or a text with the exit code.
func (e *ExitError) Error() string {
	if e.Message != "" {
		return e.Message
	}
	return "command terminated with exit code " + strconv.Itoa(e.Code)
}

// A RemoteError is the reason why the peer could not execute a request.
type RemoteError struct{ Message string }

// Error returns the peer's message.
func (e *RemoteError) Error() string { return e.Message }

// A status is the outcome on the error stream, the relevant part of a metav1.Status.
type status struct {
	Metadata struct{} `json:"metadata"`
	Status   string   `json:"status,omitempty"`
	Message  string   `json:"message,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Details  *details `json:"details,omitempty"`
	Code     int      `json:"code,omitempty"`
}

type details struct {
	Causes []cause `json:"causes,omitempty"`
}

type cause struct {
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

const (
	statusSuccess  = "Success"
	statusFailure  = "Failure"
	reasonExitCode = "NonZeroExitCode"
	causeExitCode  = "ExitCode"
)

// outcome encodes the result of a command for the error stream.
func outcome(err error) []byte {
	st := status{Status: statusSuccess}
	var exit *ExitError
	switch {
	case errors.As(err, &exit):
		st = status{
			Status: statusFailure, Reason: reasonExitCode, Message: "command terminated with non-zero exit code: " + exit.Error(),
			Details: &details{Causes: []cause{{Reason: causeExitCode, Message: strconv.Itoa(exit.Code)}}},
		}
	case err != nil:
		st = status{Status: statusFailure, Reason: "InternalError", Message: err.Error(), Code: 500}
	}
	text, err := json.Marshal(st)
	if err != nil {
		panic(err) // all fields can be marshalled
	}
	return text
}

// parseOutcome is the reverse of outcome.
func parseOutcome(text []byte) error {
	var st status
	if err := json.Unmarshal(text, &st); err != nil {
		return fmt.Errorf("kube: the outcome %.100q: %w", text, err)
	}
	switch {
	case st.Status == statusSuccess:
		return nil
	case st.Status != statusFailure:
		return fmt.Errorf("kube: the outcome has the status %q", st.Status)
	case st.Reason == reasonExitCode && st.Details != nil:
		for _, c := range st.Details.Causes {
			if code, err := strconv.ParseUint(c.Message, 10, 8); c.Reason == causeExitCode && err == nil {
				return &ExitError{Code: int(code)}
			}
		}
	}
	return &RemoteError{Message: st.Message}
}

// header returns the header block of a stream.
func header(pairs ...string) spdy.HeaderBlock {
	var h spdy.HeaderBlock
	for i := 0; i+1 < len(pairs); i += 2 {
		h = append(h, spdy.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return h
}

// cancelled reports whether the peer has ended the stream with RST_STREAM(CANCEL). Kubernetes
// programs in Go end finished streams this way, whether all bytes were sent or not.
func cancelled(err error) bool {
	var reset *spdy.StreamError
	return errors.As(err, &reset) && reset.Status == spdy.RstCancel
}
