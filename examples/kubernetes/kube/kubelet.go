package kube

import (
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/amahi/spdy"
)

// A Runtime runs the containers of a Kubelet. Any number of goroutines may call the methods.
type Runtime interface {
	// Exec runs a command in a container and returns when the command has ended: nil for the exit
	// code 0, an *ExitError otherwise. The context ends when the client has disconnected.
	Exec(ctx context.Context, c Container, command []string, p Process) error

	// Attach connects to a process that already runs in a container.
	Attach(ctx context.Context, c Container, p Process) error

	// Dial connects to a port of a pod.
	Dial(ctx context.Context, c Container, port uint16) (io.ReadWriteCloser, error)
}

// A Container is a container of a pod. Name is empty if the client has not named a container, and
// for Dial.
type Container struct{ Namespace, Pod, Name string }

// A Process holds the streams of a command. Streams that the client has not requested are nil.
type Process struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	TTY            bool
	Sizes          <-chan Size // of the terminal; closed after the last size
}

// A Kubelet is an http.Handler for exec, attach and port-forward, under the paths of kubelets,
// /exec/NAMESPACE/POD/CONTAINER, /attach/… and /portForward/NAMESPACE/POD, and under the paths of
// API servers, see PodURL. The fields must not be changed after the first request.
type Kubelet struct {
	Runtime Runtime

	// Token is the token that clients must send as "Authorization: Bearer". If Token is empty,
	// every client may do everything.
	Token string

	// Config is for the sessions, except FlowControl; nil means the defaults.
	Config *spdy.Config

	// Logger logs failures; nil means slog.Default.
	Logger *slog.Logger
}

// lingering is the time for a client to close the connection after the end of a command.
const lingering = 10 * time.Second

// ServeHTTP handles one request, and returns when the resulting session has ended.
func (k *Kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !k.admits(r) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	verb, c, ok := route(r)
	if !ok {
		http.NotFound(w, r)
		return
	}
	var err error
	if verb == "portforward" {
		err = k.serveForward(w, r, c)
	} else {
		err = k.serveCommand(w, r, c, verb == "attach")
	}
	if err != nil {
		k.logger().Info("request failed", "verb", verb, "pod", c.Namespace+"/"+c.Pod, "client", r.RemoteAddr, "error", err)
	}
}

func (k *Kubelet) logger() *slog.Logger {
	if k.Logger != nil {
		return k.Logger
	}
	return slog.Default()
}

func (k *Kubelet) admits(r *http.Request) bool {
	if k.Token == "" {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "bearer") && subtle.ConstantTimeCompare([]byte(token), []byte(k.Token)) == 1
}

// route parses a path.
func route(r *http.Request) (verb string, c Container, ok bool) {
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(part) == 7 && part[0] == "api" && part[1] == "v1" && part[2] == "namespaces" && part[4] == "pods":
		verb, c = part[6], Container{Namespace: part[3], Pod: part[5], Name: r.FormValue("container")}
	case len(part) == 4 && part[0] != "portForward":
		verb, c = part[0], Container{Namespace: part[1], Pod: part[2], Name: part[3]}
	case len(part) == 3 && part[0] == "portForward":
		verb, c = "portforward", Container{Namespace: part[1], Pod: part[2]}
	}
	ok = verb == "exec" || verb == "attach" || verb == "portforward"
	return verb, c, ok
}

// upgrade responds with 101 and runs the session. The context ends with the session. The server
// drains the session at Shutdown and ends the session at Close, see spdy.Upgrader. hangUp ends the
// session once the client has closed the connection, or after the time limit.
func (k *Kubelet) upgrade(w http.ResponseWriter, r *http.Request, protocol string) (ctx context.Context, s *spdy.Session, hangUp func(), err error) {
	upgrader := spdy.Upgrader{Config: config(k.Config), Protocols: []string{protocol}}
	s, _, err = upgrader.Upgrade(w, r)
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	served := make(chan struct{})
	go func() { // ends with the session
		defer close(served)
		err := s.Serve()
		if err == nil {
			err = errors.New("kube: the client has hung up")
		}
		cancel(err)
	}()
	hangUp = func() {
		wait, cancelWait := context.WithTimeout(ctx, lingering)
		defer cancelWait()
		<-wait.Done()
		s.Close()
		<-served
	}
	return ctx, s, hangUp, nil
}
