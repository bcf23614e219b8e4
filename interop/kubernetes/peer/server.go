package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strconv"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"

	"github.com/amahi/spdy/interop/kubernetes/internal/census"
	"github.com/amahi/spdy/interop/kubernetes/internal/workload"
)

// A server is the streaming server of a container runtime. It also provides the information that a
// kubelet would request from the runtime by other means: the URL of a forthcoming request.
type server struct {
	ln   net.Listener
	http *http.Server
	cri  streaming.Server
	end  context.CancelFunc // of the pod
	done chan error
}

func newServer() (*server, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	conf := streaming.DefaultConfig
	conf.BaseURL = &url.URL{Scheme: "http", Host: ln.Addr().String(), Path: "/cri/"}
	ctx, cancel := context.WithCancel(context.Background())
	pod, err := workload.NewPod(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	cri, err := streaming.NewServer(conf, container{pod})
	if err != nil {
		cancel()
		return nil, err
	}
	s := &server{ln: ln, cri: cri, end: cancel, done: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.Handle("/cri/", cri)
	mux.HandleFunc("/open/exec", s.openExec)
	mux.HandleFunc("/open/attach", s.openAttach)
	mux.HandleFunc("/open/portforward", s.openPortForward)
	mux.HandleFunc("/tunnel", s.tunnel)
	mux.HandleFunc("/census", func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(census.Take()) })
	mux.HandleFunc("/stacks", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(census.Stacks())) })
	s.http = &http.Server{Handler: mux}
	go func() { s.done <- s.http.Serve(ln) }() // ends with stop
	return s, nil
}

func (s *server) address() string { return s.ln.Addr().String() }

func (s *server) stop() error {
	err := s.http.Close()
	s.end()
	<-s.done
	return err
}

func flagOf(r *http.Request, name string) bool {
	v, _ := strconv.ParseBool(r.FormValue(name))
	return v
}

func answer(w http.ResponseWriter, url string, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = w.Write([]byte(url))
}

func (s *server) openExec(w http.ResponseWriter, r *http.Request) {
	resp, err := s.cri.GetExec(&runtimeapi.ExecRequest{
		ContainerId: "container", Cmd: r.URL.Query()["cmd"],
		Stdin: flagOf(r, "stdin"), Stdout: flagOf(r, "stdout"), Stderr: flagOf(r, "stderr"), Tty: flagOf(r, "tty"),
	})
	answer(w, resp.GetUrl(), err)
}

func (s *server) openAttach(w http.ResponseWriter, r *http.Request) {
	resp, err := s.cri.GetAttach(&runtimeapi.AttachRequest{
		ContainerId: "container",
		Stdin:       flagOf(r, "stdin"), Stdout: flagOf(r, "stdout"), Stderr: flagOf(r, "stderr"), Tty: flagOf(r, "tty"),
	})
	answer(w, resp.GetUrl(), err)
}

func (s *server) openPortForward(w http.ResponseWriter, r *http.Request) {
	resp, err := s.cri.GetPortForward(&runtimeapi.PortForwardRequest{PodSandboxId: "pod"})
	answer(w, resp.GetUrl(), err)
}
