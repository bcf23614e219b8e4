//go:build !plan9

package testconn

import "syscall"

// The errors of a socket.
var (
	errPipe    error = syscall.EPIPE
	errReset   error = syscall.ECONNRESET
	errRefused error = syscall.ECONNREFUSED
)
