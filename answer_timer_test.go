package spdy

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAnswerTimerEnds: the timer for the answer ends with its request, which it would keep in
// memory, if that is cancelled or its session is lost.
func TestAnswerTimerEnds(t *testing.T) {
	waits := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, end := range map[string]func(r *rig, cancel context.CancelFunc){
		"cancelled": func(_ *rig, cancel context.CancelFunc) { cancel() },
		"lost":      func(r *rig, _ context.CancelFunc) { r.client.fail(errors.New("lost")) },
	} {
		t.Run(name, func(t *testing.T) {
			rigTest(t, waits, rigSetup{}, func(t *testing.T, r *rig) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				up := &upload{
					st: r.client.newLocalStream(0), req: r.request("GET", "/", nil).WithContext(ctx),
					asked: uploadOptions{answerTimeout: time.Hour},
				}
				done := make(chan error, 1)
				go func() {
					_, err := r.client.carry(up)
					done <- err
				}()
				synctest.Wait()
				require.NotNil(t, up.patience.Load())
				end(r, cancel)
				require.Error(t, <-done)
				require.False(t, up.patience.Load().Stop(), "it had been stopped")
			})
		})
	}
}
