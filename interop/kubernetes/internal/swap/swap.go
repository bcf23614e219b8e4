// Package swap does what a user does who puts this library in the place of
// moby/spdystream: it adds the replace lines to a module file, without touching the
// module.
package swap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	mobyPath = "github.com/moby/spdystream"
	ourPath  = "github.com/amahi/spdy"
)

// FindRoot looks for the repository, the directory with compat/spdystream, from the
// working directory up.
func FindRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "compat", "spdystream", "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("there is no compat/spdystream in or above the working directory")
		}
		dir = up
	}
	return "", err
}

// Modfile writes the module file of the module in dir to path, which ends in .mod, with
// the replace lines added, and its sums beside it. It makes sure that they work: that
// packages built with the flags it returns are built with our library. Root is the
// repository.
func Modfile(ctx context.Context, root, dir, path string) (flags []string, err error) {
	for _, ext := range []string{".mod", ".sum"} {
		text, err := os.ReadFile(filepath.Join(dir, "go"+ext))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(strings.TrimSuffix(path, ".mod")+ext, text, 0o600); err != nil {
			return nil, err
		}
	}
	compat := filepath.Join(root, "compat", "spdystream")
	// Relative replace lines of ours would be relative to the new file.
	const example = "/examples/kubernetes"
	if _, err := run(ctx, dir, "mod", "edit", "-replace="+mobyPath+"="+compat, "-replace="+ourPath+"="+root,
		"-replace="+ourPath+example+"="+root+example, path); err != nil {
		return nil, err
	}
	flags = []string{"-mod=mod", "-modfile=" + path}
	out, err := run(ctx, dir, append(append([]string{"list"}, flags...), "-m", "-f", "{{.Dir}}", mobyPath)...)
	if err != nil {
		return nil, err
	}
	if got := strings.TrimSpace(out); got != compat {
		return nil, fmt.Errorf("%s is still taken from %s", mobyPath, got)
	}
	return flags, nil
}

// Go is the go command with some arguments, to be run in dir.
func Go(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "PWD="+dir)
	return cmd
}

func run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := Go(ctx, dir, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, complaint.Bytes())
	}
	return out.String(), nil
}
