package spdy

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What an idle end of a connection may cost (needs E14): both the library that Kubernetes
// uses and this one are measured by the same count.
const (
	idleGoroutines = 3
	idleHeap       = 20 << 10
)

// TestRawFaultE14 counts what idle raw sessions hold: fresh ones, and ones that have
// carried a stream, with 100 KiB each way and header blocks, that has ended.
func TestRawFaultE14(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector adds to every allocation")
	}
	const pairs = 50
	for _, used := range []bool{false, true} {
		for _, conf := range []*Config{nil, {FlowControl: FlowControlPeerUnaware}} {
			heap, goroutines := liveHeap(), runtime.NumGoroutine()
			rigs := make([]*rawRig, pairs)
			for i := range rigs {
				cc, sc := net.Pipe()
				rigs[i] = newRawRig(t, cc, sc, rigSetup{client: conf, server: conf})
				opened, accepted := rigs[i].pair(HeaderField{"streamtype", "data"}, HeaderField{"port", "80"})
				if used {
					for end, st := range []*RawStream{opened, accepted} {
						go writePattern(t, st, int64(end), 100<<10)
					}
					require.NoError(t, readPattern(opened, 1, 100<<10))
					require.NoError(t, readPattern(accepted, 0, 100<<10))
				}
				opened.Close()
				<-opened.Done()
				<-accepted.Done()
				require.True(t, rigs[i].client.Ping(time.Minute), "the last frame has been read")
				require.True(t, rigs[i].server.Ping(time.Minute))
			}
			ends := int64(2 * pairs)
			perEnd := (liveHeap() - heap) / ends
			routines := float64(runtime.NumGoroutine()-goroutines) / float64(ends)
			t.Logf("used %v, flow control %d: %d bytes and %.2f goroutines an end", used, conf.withDefaults(true, sending{theirs: true, ours: true}).FlowControl, perEnd, routines)
			require.LessOrEqual(t, routines, float64(idleGoroutines))
			if !raceEnabled {
				require.LessOrEqual(t, perEnd, int64(idleHeap))
			}
			for _, r := range rigs {
				r.close()
			}
		}
	}
}
