package spdy

import (
	"net"
	"syscall"
	"unsafe"
)

// unacknowledged is the number of bytes written to the connection that the kernel of the
// peer has not acknowledged. 0 if the connection does not tell.
func unacknowledged(conn net.Conn) int {
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
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
			n = 0
		}
	})
	if err != nil {
		return 0
	}
	return int(n)
}
