package raw

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// tcpPair returns the ends of a TCP connection.
func tcpPair(t *testing.T) (ours, theirs *net.TCPConn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	other, err := ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		conn.Close()
		other.Close()
	})
	return conn.(*net.TCPConn), other.(*net.TCPConn)
}

// cutOff has a socket drop all that comes, so that its peer sees a dead network.
func cutOff(t *testing.T, conn *net.TCPConn) {
	raw, err := conn.SyscallConn()
	require.NoError(t, err)
	drop := []syscall.SockFilter{{Code: syscall.BPF_RET | syscall.BPF_K}}
	var failed error
	//lint:ignore SA1019 x/net/bpf only encodes filters: something has to attach them
	require.NoError(t, raw.Control(func(fd uintptr) { failed = syscall.AttachLsf(int(fd), drop) }))
	require.NoError(t, failed)
}

// A hiddenConn does not tell what is below it.
type hiddenConn struct{ net.Conn }

// TestPingProof shows that a peer without flow control that answers no PING is given up only if
// its network is dead, and one with flow control in any case.
func TestPingProof(t *testing.T) {
	const interval, timeout = 50 * time.Millisecond, 300 * time.Millisecond
	for name, test := range map[string]struct {
		proof, aware, cut, hidden bool
		ends                      bool
	}{
		"it reads nothing":              {proof: true},
		"it reads nothing, no proof":    {ends: true},
		"the network is dead":           {proof: true, cut: true, ends: true},
		"dead behind a wrapper":         {proof: true, cut: true, hidden: true},
		"it has flow control":           {proof: true, aware: true, ends: true},
		"a dead network, flow control":  {proof: true, aware: true, cut: true, hidden: true, ends: true},
		"the network is dead, no proof": {cut: true, ends: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := tcpPair(t)
			conf := bubble.Quiet(spdy.Config{
				FlowControl: spdy.FlowControlPeerUnaware, SpeakFirst: true,
				PingInterval: interval, PingTimeout: timeout, PingProof: test.proof,
			}, spdy.SPDY31)
			var conn net.Conn = ours
			if test.hidden {
				conn = hiddenConn{ours}
			}
			s := conf.RawSession(conn, true)
			served := make(chan error, 1)
			go func() { served <- s.Serve() }()
			defer s.Close()
			f := spdy.NewFramer(theirs, theirs, spdy.SPDY31)
			require.NoError(t, f.WriteFrame(&spdy.PingFrame{ID: 2}))
			if test.aware {
				require.NoError(t, f.WriteFrame(&spdy.WindowUpdateFrame{Delta: 1 << 20}))
			}
			for echoed := false; !echoed; { // it is known, and has been heard
				frame, err := f.ReadFrame()
				require.NoError(t, err)
				ping, ok := frame.(*spdy.PingFrame)
				echoed = ok && ping.ID == 2
			}
			if test.cut {
				cutOff(t, theirs)
			}
			patience := interval + 4*timeout
			if test.ends {
				patience = time.Minute
			}
			limit := time.NewTimer(patience)
			select {
			case err := <-served:
				require.True(t, test.ends, "it goes on: %v", err)
				require.ErrorIs(t, err, spdy.ErrPingTimeout)
			case <-limit.C:
				require.False(t, test.ends, "it has ended")
				require.NoError(t, s.Err())
			}
		})
	}
}
