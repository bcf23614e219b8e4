package testconn

import "syscall"

// The errors of a socket, as this system puts them.
var (
	errPipe    = syscall.NewError("write to hungup stream")
	errReset   = syscall.NewError("connection reset")
	errRefused = syscall.NewError("connection refused")
)
