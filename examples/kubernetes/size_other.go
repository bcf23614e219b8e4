//go:build !unix

package main

import (
	"context"

	"github.com/amahi/spdy/examples/kubernetes/kube"
)

// watchSize tells the size of the terminal at the start: there is no signal for changes.
func watchSize(_ context.Context, size func() (kube.Size, bool)) <-chan kube.Size {
	sizes := make(chan kube.Size, 1)
	if s, ok := size(); ok {
		sizes <- s
	}
	return sizes
}
