//go:build !linux

package spdy

import "net"

// unacknowledged is known on Linux only.
func unacknowledged(net.Conn) int { return 0 }

// inFlight is known on Linux only.
func inFlight(net.Conn) int { return 0 }
