package spdy

import (
	"net"
	"syscall"
	"unsafe"
)

// unacknowledged returns the number of bytes written to the connection and not acknowledged by the
// peer's kernel, or 0 if unknown.
func unacknowledged(conn net.Conn) int { return queued(conn, syscall.TIOCOUTQ) }

// siocoutqnsd requests the number of bytes in the send queue that the kernel has not sent
// (linux/sockios.h).
const siocoutqnsd = 0x894b

// inFlight returns the number of bytes sent to the peer and not acknowledged by its kernel, or 0 if
// unknown. Bytes that wait for the peer's TCP window do not count.
func inFlight(conn net.Conn) int {
	unsent := queued(conn, siocoutqnsd) // first: bytes sent between the two calls do not count
	return max(unacknowledged(conn)-unsent, 0)
}

// queued returns a byte count of the connection's socket, or 0 if there is no socket.
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
