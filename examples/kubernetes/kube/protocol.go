// Package kube speaks the streaming protocols of Kubernetes, exec, attach and
// port-forward, at both ends: Client is what kubectl does, Kubelet what answers it on a
// node. Both are nothing but raw streams of SPDY after an upgrade from HTTP/1.1:
//
//   - exec and attach have one stream each for stdin, stdout, stderr, the terminal's size
//     and, called error, the outcome: a JSON object with an exit code or a message.
//   - port-forward has two streams for each connection, with a number in their headers
//     that says which belong together: one for its bytes, one for an error message.
package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/amahi/spdy"
)

// The protocols on the streams, as they are negotiated in the upgrade.
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

// streamTimeout is how long either end waits for the streams of a request, and for the
// replies to them.
const streamTimeout = 30 * time.Second

// maxMessage is the longest outcome or error message that is read.
const maxMessage = 64 << 10

// config is for sessions with peers that grant no flow-control credit and do not look
// for any, as those of Kubernetes.
func config(c *spdy.Config) *spdy.Config {
	var d spdy.Config
	if c != nil {
		d = *c
	}
	d.FlowControl = spdy.FlowControlPeerUnaware
	return &d
}

// A Size is that of a terminal, in characters.
type Size struct{ Width, Height uint16 }

// An ExitError is what a command returns that has ended with another exit code than 0.
type ExitError struct {
	Code    int // 1 to 255
	Message string
}

// Error says which code it was.
func (e *ExitError) Error() string {
	if e.Message != "" {
		return e.Message
	}
	return "command terminated with exit code " + strconv.Itoa(e.Code)
}

// A RemoteError is why the other end could not do what it was asked to.
type RemoteError struct{ Message string }

// Error is what the other end says.
func (e *RemoteError) Error() string { return e.Message }

// A status is the outcome as the error stream carries it, the part of a metav1.Status
// that matters.
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

// outcome puts what a command returned into the form for the error stream.
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
		panic(err) // there is nothing in it that cannot be marshalled
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

// header makes the header block of a stream.
func header(pairs ...string) spdy.HeaderBlock {
	var h spdy.HeaderBlock
	for i := 0; i+1 < len(pairs); i += 2 {
		h = append(h, spdy.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return h
}

// cancelled reports that the peer has ended the stream with RST_STREAM(CANCEL). That is
// how Go programs of Kubernetes end streams of which they think that they are through:
// it says nothing about whether all was sent.
func cancelled(err error) bool {
	var reset *spdy.StreamError
	return errors.As(err, &reset) && reset.Status == spdy.RstCancel
}
