// Package packages names what the suite of the proxy of the API server of Kubernetes
// 0.37.2 is built from. It is apart from the others for its size.
package packages

import _ "k8s.io/apiserver/pkg/util/proxy"
