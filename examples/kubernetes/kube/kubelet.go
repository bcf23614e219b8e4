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

// A Runtime is what runs the containers of a Kubelet. Its methods are called by any
// number of goroutines.
type Runtime interface {
	// Exec runs a command in a container and returns when it has ended: nil for the exit
	// code 0, an *ExitError for another one. The context ends when the client has gone.
	Exec(ctx context.Context, c Container, command []string, p Process) error

	// Attach connects to what runs in a container already.
	Attach(ctx context.Context, c Container, p Process) error

	// Dial connects to a port of a pod.
	Dial(ctx context.Context, c Container, port uint16) (io.ReadWriteCloser, error)
}

// A Container is one of a pod's; Name is empty if the client has not said which, and for
// Dial.
type Container struct{ Namespace, Pod, Name string }

// A Process is what a command is connected to. What the client has not asked for is nil.
type Process struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	TTY            bool
	Sizes          <-chan Size // of the terminal; closed when there will be no more
}

// A Kubelet is an http.Handler that takes exec, attach and port-forward, under the paths
// of kubelets, /exec/NAMESPACE/POD/CONTAINER, /attach/… and /portForward/NAMESPACE/POD,
// and under those of API servers, see PodURL. Its fields must not be changed once it
// serves.
type Kubelet struct {
	Runtime Runtime

	// Token is what clients have to present, as "Authorization: Bearer". If it is empty
	// everybody may do everything.
	Token string

	// Config is for the sessions, except FlowControl; nil means the defaults.
	Config *spdy.Config

	// Logger is told of failures; nil means slog.Default.
	Logger *slog.Logger
}

// lingering is how long a client may take to hang up after the end of a command.
const lingering = 10 * time.Second

// ServeHTTP answers one request, and returns when the session that comes of it has ended.
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

// route takes a path apart.
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

// upgrade answers with 101 and runs the session. The context ends with the session, which
// the server drains when it shuts down, and ends when it is closed, see spdy.Upgrader.
// hangUp ends it, as soon as the client has hung up or had the time to.
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
