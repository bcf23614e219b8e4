package spdy

import "fmt"

// Version is a dialect of the SPDY protocol. SPDY/3 and SPDY/3.1 have the same version number on
// the wire (SPEC §1.1) and differ in flow control only, so the application must specify the dialect
// of a session.
type Version uint8

// The dialects of SPDY.
const (
	SPDY2  Version = 20 // SPDY/2: 16-bit header blocks, no flow control
	SPDY3  Version = 30 // SPDY/3: flow control per stream
	SPDY31 Version = 31 // SPDY/3.1: flow control per stream and per session
)

// String returns the protocol name used in ALPN: "spdy/2", "spdy/3" or "spdy/3.1".
func (v Version) String() string {
	switch v {
	case SPDY2:
		return "spdy/2"
	case SPDY3:
		return "spdy/3"
	case SPDY31:
		return "spdy/3.1"
	}
	return fmt.Sprintf("spdy/unknown(%d)", uint8(v))
}

// wire returns the number in the version field of control frames.
func (v Version) wire() uint16 {
	if v == SPDY2 {
		return 2
	}
	return 3
}

// streamFlowControl reports whether each stream has a window (SPEC W2, W20).
func (v Version) streamFlowControl() bool { return v >= SPDY3 }

// sessionFlowControl reports whether the session as a whole has a window (SPEC W2).
func (v Version) sessionFlowControl() bool { return v >= SPDY31 }
