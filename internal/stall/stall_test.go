package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStalls compiles a program with a stall at each chance, and looks how long its
// goroutines take for a thousand turns, and a connection for as many bytes. That has no
// upper limit: half a second is what stalls of a millisecond cannot do without.
func TestStalls(t *testing.T) {
	dir := t.TempDir()
	goroot, err := installed()
	require.NoError(t, err)
	overlay, err := writeOverlay(dir, goroot, 1)
	if !strings.HasPrefix(runtime.Version(), "go1.26") && err != nil {
		require.ErrorContains(t, err, "it is not one that stall knows")
		return
	}
	require.NoError(t, err)
	main := filepath.Join(dir, "main.go")
	require.NoError(t, os.WriteFile(main, []byte(`package main

import (
	"fmt"
	"net"
	"time"
)

func main() {
	start := time.Now()
	turns := make(chan int)
	go func() {
		defer close(turns)
		for i := range 1000 {
			turns <- i
		}
	}()
	for range turns {
	}
	fmt.Println(time.Since(start))

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			panic(err)
		}
		for range 1000 {
			_, _ = conn.Write([]byte{0})
		}
		conn.Close()
	}()
	start = time.Now()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		panic(err)
	}
	for err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	fmt.Println(time.Since(start))
}
`), 0o666))
	program := filepath.Join(dir, "program")
	out, err := exec.Command("go", "build", "-overlay", overlay, "-o", program, main).CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = exec.Command(program).Output()
	require.NoError(t, err)
	took := strings.Fields(string(out))
	require.Len(t, took, 2, "%s", out)
	for _, text := range took {
		d, err := time.ParseDuration(text)
		require.NoError(t, err)
		require.Greater(t, d, 500*time.Millisecond, "%s", out)
	}
}

// TestUnknownGo: the files of another Go are an error, and nothing is compiled with half
// of the stalls.
func TestUnknownGo(t *testing.T) {
	dir := t.TempDir()
	_, err := writeOverlay(dir, dir, 400)
	require.ErrorIs(t, err, os.ErrNotExist)
	proc := filepath.Join(dir, "src", "runtime", "proc.go")
	require.NoError(t, os.MkdirAll(filepath.Dir(proc), 0o777))
	require.NoError(t, os.WriteFile(proc, []byte("package runtime\n"), 0o666))
	_, err = writeOverlay(dir, dir, 400)
	require.ErrorContains(t, err, `runtime/proc.go has "const randomizeScheduler = raceenabled" 0 times in this Go`)
	require.Error(t, run(0, nil))
}
