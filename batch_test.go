package spdy

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Bodies are copied in pieces of a batch's size. Were one a little too large for a
// frame in a batch, each would cost a tiny frame and a write of its own.
func TestWholeBatchIsOneFrame(t *testing.T) {
	storyBoth(t, "64 KiB", func(t *testing.T, r role) {
		p := newPeer(t, r)
		var st *Stream
		if r == asClient {
			st = p.open("upload", 0)
			p.wantSynStream("the stream", 1)
		} else {
			p.sendSynStream(1, 0)
			st = p.wantAccept("the stream", 1)
			p.reply(st, 0)
			p.wantSynReply("the answer", 1)
		}
		write := p.startWrite(st, make([]byte, batchSize), 0)
		frame, ok := p.next("all of it").(*DataFrame)
		require.True(t, ok)
		require.Len(t, frame.Data, batchSize)
		write.wait("the write returns")
	})
}
