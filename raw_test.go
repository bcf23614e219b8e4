package spdy

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRawRoundTrip(t *testing.T) {
	rawTest(t, rigSetup{}, func(t *testing.T, r *rawRig) {
		for _, pair := range [][2]*Session{{r.client, r.server}, {r.server, r.client}} {
			opened, err := pair[0].OpenStream(context.Background(), HeaderBlock{{"streamtype", "data"}}, StreamOptions{Priority: 3})
			require.NoError(t, err)
			_, err = opened.Write([]byte("question")) // before there is a reply
			require.NoError(t, err)
			require.NoError(t, opened.CloseWrite())

			accepted, err := pair[1].AcceptStream(context.Background())
			require.NoError(t, err)
			require.Equal(t, HeaderBlock{{"streamtype", "data"}}, accepted.Header())
			require.Equal(t, opened.Header(), accepted.Header())
			require.Equal(t, opened.ID(), accepted.ID())
			require.EqualValues(t, 3, accepted.Priority())
			text, err := io.ReadAll(accepted)
			require.NoError(t, err)
			require.Equal(t, "question", string(text))
			require.NoError(t, accepted.Reply(HeaderBlock{{"ok", "yes"}}, false))
			require.ErrorIs(t, accepted.Reply(nil, false), ErrReplied)
			reply, err := opened.AwaitReply(context.Background())
			require.NoError(t, err)
			require.Equal(t, HeaderBlock{{"ok", "yes"}}, reply)
			_, err = accepted.Write([]byte("answer"))
			require.NoError(t, err)
			require.NoError(t, accepted.Close())
			text, err = io.ReadAll(opened)
			require.NoError(t, err)
			require.Equal(t, "answer", string(text))
			<-opened.Done()
			require.ErrorIs(t, opened.Err(), ErrStreamClosed)
			require.NoError(t, opened.Close())
		}
	})
}
