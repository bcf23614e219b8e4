package testconn

import "syscall"

// The errors of a socket, with the texts of this system.
var (
	errPipe    = syscall.NewError("write to hungup stream")
	errReset   = syscall.NewError("connection reset")
	errRefused = syscall.NewError("connection refused")
)
