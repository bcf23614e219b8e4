//go:build unix

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/amahi/spdy/examples/kubernetes/kube"
)

// watchSize tells the size of the terminal, now and whenever it changes.
func watchSize(ctx context.Context, size func() (kube.Size, bool)) <-chan kube.Size {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	changed <- syscall.SIGWINCH
	sizes := make(chan kube.Size)
	go func() { // ends with the program
		for {
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
			s, ok := size()
			if !ok {
				continue
			}
			select {
			case sizes <- s:
			case <-ctx.Done():
				return
			}
		}
	}()
	return sizes
}
