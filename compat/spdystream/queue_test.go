package spdystream_test

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream"
	"github.com/moby/spdystream/spdy"
)

func frame(id int) *spdy.DataFrame { return &spdy.DataFrame{StreamId: spdy.StreamId(id)} }

func TestQueueOrder(t *testing.T) {
	q := spdystream.NewPriorityFrameQueue(600)
	for i := range 100 {
		for priority := range 5 {
			q.Push(frame(100*priority+i), uint8(priority))
		}
	}
	q.Push(frame(500), 255)
	for i := range 501 {
		require.Equal(t, frame(i), q.Pop())
	}
}

func TestQueueWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := spdystream.NewPriorityFrameQueue(2)
		popped := make(chan spdy.Frame, 1)
		go func() { popped <- q.Pop() }()
		synctest.Wait()
		require.Empty(t, popped)
		q.Push(frame(1), 1)
		require.Equal(t, frame(1), <-popped)

		q.Push(frame(2), 1)
		q.Push(frame(3), 1)
		pushed := make(chan struct{})
		go func() { q.Push(frame(4), 0); close(pushed) }()
		synctest.Wait()
		select {
		case <-pushed:
			t.Fatal("the queue is full")
		default:
		}
		require.Equal(t, frame(2), q.Pop())
		<-pushed
		require.Equal(t, frame(4), q.Pop())
	})
}

func TestQueueDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := spdystream.NewPriorityFrameQueue(0) // one at least
		q.Push(frame(1), 1)
		var waiting sync.WaitGroup
		waiting.Go(func() { q.Push(frame(2), 1) })
		synctest.Wait()
		q.Drain()
		waiting.Wait()
		require.Equal(t, frame(1), q.Pop(), "what was there is handed out")
		require.Nil(t, q.Pop())
		empty := spdystream.NewPriorityFrameQueue(1)
		waiting.Go(func() { require.Nil(t, empty.Pop()) })
		synctest.Wait()
		empty.Drain()
		waiting.Wait()
	})
}
