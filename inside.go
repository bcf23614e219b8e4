package spdy

import (
	"reflect"
	"runtime"
)

// insideSession reports whether the caller runs on one of a session's two goroutines: inside a hook
// of a Trace, a slog.Handler, or other user code called by a session. Waiting there for a session
// to end would deadlock, for the same session as well as for any session whose hooks do likewise.
//
// The function inspects the stack, which costs a few microseconds. It is meant for calls that occur
// once in the life of a session.
func insideSession() bool {
	pcs := make([]uintptr, 64)
	n := runtime.Callers(2, pcs)
	for n == len(pcs) {
		pcs = make([]uintptr, 2*len(pcs))
		n = runtime.Callers(2, pcs)
	}
	frames := runtime.CallersFrames(pcs[:n])
	for {
		f, more := frames.Next()
		if f.Function == senderName || f.Function == serveName {
			return true
		}
		if !more {
			return false
		}
	}
}

// senderName and serveName are the function names on the stacks of the sender's goroutine and of
// the goroutine of Serve, which is the receiver.
var (
	senderName = functionName((*Session).sender)
	serveName  = functionName((*Session).Serve)
)

func functionName(f any) string {
	return runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
}
