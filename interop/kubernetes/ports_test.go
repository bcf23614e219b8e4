package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/examples/kubernetes/kube"
	"github.com/amahi/spdy/interop/kubernetes/internal/workload"
)

// ports forwards many connections at the same time; half of them are reset at random,
// and on one nobody listens, all of which does not concern the others.
func (c *criClient) ports() {
	ctx, cancel := context.WithTimeout(c.t.Context(), *patience)
	defer cancel()
	f, err := c.Forward(ctx, c.get("/open/portforward", nil))
	require.NoError(c.t, err)
	defer f.Close()
	errs := make([]error, *connections)
	turns := make(chan struct{}, 50)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			dice := rand.New(rand.NewPCG(1, uint64(i)))
			switch {
			case i == 7:
				errs[i] = refused(ctx, f)
			case i%2 == 1:
				errs[i] = abandon(ctx, f, dice)
			default:
				errs[i] = exchange(ctx, f, uint64(i), dice.Int64N(256<<10))
			}
		})
	}
	all.Wait()
	require.NoError(c.t, errors.Join(errs...))
	require.NoError(c.t, exchange(ctx, f, 1, *size))
	require.NoError(c.t, f.Err())
}

func refused(ctx context.Context, f *kube.Forwarder) error {
	conn, err := f.Dial(ctx, workload.PortNone)
	if err == nil {
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	var remote *kube.RemoteError
	if !errors.As(err, &remote) {
		return fmt.Errorf("nobody listens, and: %w", err)
	}
	return nil
}

func exchange(ctx context.Context, f *kube.Forwarder, seed uint64, size int64) error {
	conn, err := f.Dial(ctx, workload.PortBoth)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, conn.Abort)
	defer stop()
	sent := make(chan error, 1)
	go func() { // ends with the content or the connection
		_, err := conn.Write(workload.Head(size, seed+1))
		if err == nil {
			_, err = io.Copy(conn, workload.Content(seed, size))
		}
		sent <- errors.Join(err, conn.CloseWrite())
	}()
	got, err := workload.Digest(io.LimitReader(conn, size))
	if err != nil {
		return err
	}
	rest, err := io.ReadAll(conn)
	err = errors.Join(err, <-sent)
	if err == nil && (got != workload.ContentDigest(seed+1, size) || string(rest) != workload.ContentDigest(seed, size)) {
		err = fmt.Errorf("received %s, and the other end %s", got, rest)
	}
	return err
}

func abandon(ctx context.Context, f *kube.Forwarder, dice *rand.Rand) error {
	conn, err := f.Dial(ctx, workload.PortEcho)
	if err != nil {
		return err
	}
	sent := dice.Int64N(256 << 10)
	wrote := make(chan struct{})
	go func() { // ends with the content, or the stream
		defer close(wrote)
		_, _ = io.Copy(conn, workload.Content(0, sent))
	}()
	_, err = io.CopyN(io.Discard, conn, dice.Int64N(sent+1))
	_ = conn.Reset(spdy.RstCancel)
	<-wrote
	return errors.Join(err, conn.Close())
}
