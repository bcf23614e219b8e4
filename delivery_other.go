//go:build !linux

package spdy

import "net"

// unacknowledged is known on Linux only.
func unacknowledged(net.Conn) int { return 0 }

// hungUp reports whether a connection that fails with err may have been closed by the peer,
// with bytes of ours unread. Systems have errors of their own for that.
func hungUp(err error) bool { return !isTimeout(err) }
