package spdy

import (
	"net"
	"syscall"
	"unsafe"
)

// unacknowledged is the number of bytes written to the connection that the kernel of the
// peer has not acknowledged. 0 if the connection does not tell.
func unacknowledged(conn net.Conn) int { return queued(conn, syscall.TIOCOUTQ) }

// siocoutqnsd asks for the bytes that the kernel has not sent at all (linux/sockios.h).
const siocoutqnsd = 0x894b

// inFlight is the number of bytes that have been sent to the peer, whose kernel has not
// acknowledged them. It does not count those that wait for the peer's window. 0 if the connection
// does not tell.
func inFlight(conn net.Conn) int {
	unsent := queued(conn, siocoutqnsd) // first: what is sent meanwhile is not in flight yet
	return max(unacknowledged(conn)-unsent, 0)
}

// queued is a number of bytes in the socket of the connection, 0 if it has none.
func queued(conn net.Conn, request uintptr) int {
	for c := range layers(conn) {
		conn = c
	}
	c, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	var n int32
	err = raw.Control(func(fd uintptr) {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(&n))); errno != 0 {
			n = 0
		}
	})
	if err != nil {
		return 0
	}
	return int(n)
}
