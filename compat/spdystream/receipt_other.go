//go:build !linux

package spdystream

import "net"

// unacknowledged is known on Linux only.
func unacknowledged(net.Conn) int { return 0 }
