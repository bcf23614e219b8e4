// Package packages names what the suites of Kubernetes 0.35.10 are built from, so that
// go.mod and go.sum hold all of it.
package packages

import (
	_ "k8s.io/apimachinery/pkg/util/httpstream"
	_ "k8s.io/apimachinery/pkg/util/httpstream/spdy"
	_ "k8s.io/apimachinery/pkg/util/proxy"
	_ "k8s.io/client-go/tools/portforward"
	_ "k8s.io/client-go/tools/remotecommand"
	_ "k8s.io/kubelet/pkg/cri/streaming"
	_ "k8s.io/kubelet/pkg/cri/streaming/portforward"
	_ "k8s.io/kubelet/pkg/cri/streaming/remotecommand"
)
