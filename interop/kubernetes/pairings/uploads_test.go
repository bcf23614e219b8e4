//go:build pairings

package pairings

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stretchr/testify/require"
)

// uploadRows are ends that hang up as soon as they have written everything.
var uploadRows = []row{
	{name: "3 MB, and the client closes all at once", rounds: 10, run: lastWords(true, 0)},
	{name: "the same, and the server reads slowly", rounds: 3, run: lastWords(true, 2*time.Millisecond)},
	{name: "3 MB, and the server closes all at once", rounds: 10, run: lastWords(false, 0)},
	{name: "the same, and the client reads slowly", rounds: 3, run: lastWords(false, 2*time.Millisecond)},
}

// lastWords end as Kubernetes ends its connections: an end closes the stream, resets it, and closes
// the connection. What is then still with its system is lost if anything of the other end's
// comes behind that. Pause is how long that takes to read each block.
func lastWords(upload bool, pause time.Duration) func(r *rig) {
	const size, block = 3_000_000, 32 << 10
	return func(r *rig) {
		s, accepted := r.open()
		writer := r.client
		if !upload {
			s, accepted, writer = accepted, s, r.server
		}
		sent := make(chan error, 1)
		go func() { // ends with the content or the stream
			content := make([]byte, size)
			for i := range content {
				content[i] = byte(i >> 10)
			}
			var err error
			for len(content) > 0 && err == nil {
				n := min(block, len(content))
				_, err = s.Write(content[:n])
				content = content[n:]
			}
			sent <- errors.Join(err, s.Close(), s.Reset(), writer.Close())
		}()
		_ = r.try(patience, func() error {
			h := sha256.New()
			n, err := io.CopyBuffer(h, slowly{accepted, pause}, make([]byte, block))
			r.result.Digest = fmt.Sprint(n, hex.EncodeToString(h.Sum(nil)))
			return err
		})
		if pause > 0 {
			r.result.Times = nil // spent on purpose
		}
		require.NoError(r, <-sent)
	}
}

// slowly reads with a pause before each block.
type slowly struct {
	io.Reader
	pause time.Duration
}

func (s slowly) Read(p []byte) (int, error) {
	if s.pause > 0 {
		pass(s.pause)
	}
	n, err := io.ReadFull(s.Reader, p)
	if n > 0 {
		err = nil
	}
	return n, err
}
