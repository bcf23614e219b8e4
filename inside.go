package spdy

import (
	"reflect"
	"runtime"
)

// insideSession reports whether its caller runs on one of the two goroutines of a
// session: whether it has been called, that is, by a hook of a Trace, by a slog.Handler
// or by other code of the user that a session calls. To wait there for a session to
// end, this one or another one whose hooks do the same, would be to wait for oneself.
//
// The answer is on the stack. It takes a few microseconds, so it is for calls that are
// made once in the life of a session.
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

// The names on the stack of the goroutine that is the sender, and of the one that runs
// Serve, which is the receiver.
var (
	senderName = functionName((*Session).sender)
	serveName  = functionName((*Session).Serve)
)

func functionName(f any) string {
	return runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
}
