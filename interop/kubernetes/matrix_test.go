package kubernetes

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/interop/kubernetes/internal/swap"
)

var (
	size        = flag.Int64("size", 8<<20, "bytes of each of the big transfers, each way; 1073741824 for the full measure")
	connections = flag.Int("connections", 500, "connections that are forwarded, half of which are reset")
	patience    = flag.Duration("patience", time.Minute, "for one scenario")
)

// libraries are what the peers are built with.
var libraries = []string{"moby", "ours"}

// here is the directory of this package, and replaced the flags that build it with the
// replacement.
var here, replaced = func() (string, func() ([]string, error)) {
	root, err := swap.FindRoot()
	here := filepath.Join(root, "interop", "kubernetes")
	return here, sync.OnceValues(func() ([]string, error) {
		if err != nil {
			return nil, err
		}
		return swap.Modfile(context.Background(), root, here, filepath.Join(buildDir, "ours.mod"))
	})
}()

// peers builds Kubernetes at one end with each of the libraries.
var peers = sync.OnceValues(func() (map[string]string, error) {
	flags, err := replaced()
	if err != nil {
		return nil, err
	}
	built := make(map[string]string)
	for _, library := range libraries {
		built[library] = filepath.Join(buildDir, "peer-"+library)
		args := []string{"build", "-o", built[library]}
		if library == "ours" {
			args = append(args, flags...)
		}
		if out, err := swap.Go(context.Background(), here, append(args, "./peer")...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building the peer with %s: %w\n%s", library, err, out)
		}
	}
	return built, nil
})

var buildDir string // of TestMain

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "kubernetes")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// A line is what the client says: who it is, or how a scenario went.
type line struct {
	Address, Library      string
	Scenario, Error, Note string
	Seconds               float64
	Stacks                string
}

// client-go talks to the streaming server, each with either library.
func TestMatrix(t *testing.T) {
	built, err := peers()
	require.NoError(t, err)
	for _, server := range libraries {
		for _, client := range libraries {
			t.Run(fmt.Sprintf("client=%s,server=%s", client, server), func(t *testing.T) {
				address := startServer(t, built[server], server)
				runClient(t, built[client], client, address)
			})
		}
	}
}

func startServer(t *testing.T, program, library string) string {
	cmd := exec.Command(program, "serve")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	log := logTo(t, cmd, "server.log")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close() // ends it
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
		log()
	})
	var hello line
	require.NoError(t, json.NewDecoder(out).Decode(&hello))
	require.Equal(t, library, hello.Library)
	return hello.Address
}

// logTo keeps what a process says about errors, and shows its end if the test fails.
func logTo(t *testing.T, cmd *exec.Cmd, name string) (show func()) {
	f, err := os.Create(filepath.Join(t.TempDir(), name))
	require.NoError(t, err)
	cmd.Stderr = f
	return func() {
		f.Close()
		if text, _ := os.ReadFile(f.Name()); t.Failed() {
			t.Logf("%s:\n%s", name, text[max(0, len(text)-4000):])
		}
	}
}

func runClient(t *testing.T, program, library, address string) {
	cmd := exec.Command(program, "client", "-server", address, "-size", fmt.Sprint(*size),
		"-connections", fmt.Sprint(*connections), "-patience", patience.String())
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	log := logTo(t, cmd, "client.log")
	defer log()
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<24)
	said := 0
	for ; lines.Scan(); said++ {
		var l line
		require.NoError(t, json.Unmarshal(lines.Bytes(), &l))
		if said == 0 {
			require.Equal(t, library, l.Library)
			continue
		}
		t.Run(l.Scenario, func(t *testing.T) {
			t.Logf("%.2f s %s", l.Seconds, l.Note)
			if l.Error != "" {
				t.Errorf("%s\n%s", l.Error, l.Stacks)
			}
		})
	}
	require.NoError(t, cmd.Wait())
	require.Equal(t, 1+scenarioCount, said, "all scenarios")
}

// scenarioCount is how many scenarios there are, with the two that count what is left.
const scenarioCount = 17

// Between two ends of the drop-in the faults are gone, and with one of its sessions at
// the other end.
func TestDropIn(t *testing.T) {
	flags, err := replaced()
	require.NoError(t, err)
	args := append(append([]string{"test", "-count=1"}, flags...), "./faults", "-args", "-drop-in")
	out, err := swap.Go(t.Context(), here, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), "no tests to run")
}
