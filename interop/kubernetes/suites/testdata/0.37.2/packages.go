// Package packages names what the suites of Kubernetes 0.37.2 are built from, so that
// go.mod and go.sum hold all of it: the packages under test, and what their tests import.
package packages

import (
	_ "k8s.io/client-go/tools/portforward"
	_ "k8s.io/client-go/tools/remotecommand"
	_ "k8s.io/cri-streaming/pkg/streaming"
	_ "k8s.io/cri-streaming/pkg/streaming/portforward"
	_ "k8s.io/cri-streaming/pkg/streaming/remotecommand"
	_ "k8s.io/streaming/pkg/httpstream"
	_ "k8s.io/streaming/pkg/httpstream/spdy"
)
