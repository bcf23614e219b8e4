package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/gorilla/websocket"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	constants "k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// forwarded is the protocol of port-forward; tunnelled is the protocol of a WebSocket that carries
// a port-forward.
const (
	forwarded = "portforward.k8s.io"
	tunnelled = "SPDY/3.1+" + forwarded
)

// tunnel works like an API server for kubectl: a WebSocket carries the bytes of a SPDY connection
// with the streaming server. When one connection ends, the other is closed, too.
func (s *server) tunnel(w http.ResponseWriter, r *http.Request) {
	resp, err := s.cri.GetPortForward(&runtimeapi.PortForwardRequest{PodSandboxId: "pod"})
	if err != nil {
		answer(w, "", err)
		return
	}
	there, in, err := upgraded(r.Context(), resp.GetUrl())
	if err != nil {
		answer(w, "", err)
		return
	}
	defer there.Close()
	upgrader := websocket.Upgrader{Subprotocols: []string{tunnelled}}
	ws, err := upgrader.Upgrade(w, r, nil) // Upgrade sends an error response on failure
	if err != nil {
		return
	}
	here := portforward.NewTunnelingConnection("server", ws)
	defer here.Close()
	ended := make(chan struct{}, 2)
	for dst, src := range map[io.Writer]io.Reader{there: here, here: in} {
		go func() { // ends with either connection
			_, _ = io.Copy(dst, src)
			ended <- struct{}{}
		}()
	}
	<-ended
}

// upgraded requests a port-forward. The caller must read the connection from in.
func upgraded(ctx context.Context, text string) (conn net.Conn, in io.Reader, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, text, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set(constants.HeaderConnection, constants.HeaderUpgrade)
	req.Header.Set(constants.HeaderUpgrade, spdy.HeaderSpdy31)
	req.Header.Set(constants.HeaderProtocolVersion, forwarded)
	conn, err = new(net.Dialer).DialContext(ctx, "tcp", req.URL.Host)
	if err != nil {
		return nil, nil, err
	}
	buffered := bufio.NewReader(conn)
	if err := req.Write(conn); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	resp, err := http.ReadResponse(buffered, req)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("the streaming server answers %s", resp.Status)
	}
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, buffered, nil
}

// forwardTunnelled is forward in a WebSocket, as in kubectl.
func (c *client) forwardTunnelled(ctx context.Context) (*forwarding, error) {
	u := &url.URL{Scheme: "http", Host: c.server, Path: "/tunnel"}
	dialer, err := portforward.NewSPDYOverWebsocketDialer(u, &rest.Config{})
	if err != nil {
		return nil, err
	}
	return c.forwardBy(ctx, dialer)
}
