// Package swap replaces moby/spdystream by this library in the way a user would: it adds the
// replace lines to a module file, without changing the module.
package swap

import (
	"bytes"
	"context"
	"encoding/json"
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

	originalPath = "github.com/amahi/spdy/interop/kubernetes/internal/original"
)

// FindRoot searches for the repository, the directory with compat/spdystream, from the working
// directory upwards.
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

// Modfile writes a copy of the module file of the module in dir to path, which ends in .mod, with
// the replace lines added, and a copy of go.sum beside it. It verifies that packages built with the
// returned flags use our library. root is the repository.
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

// Original returns a flag that makes the package internal/original of the module in dir a copy of
// moby/spdystream, so that a program can contain both libraries. The necessary files are written to
// scratch.
func Original(ctx context.Context, dir, scratch string) (flag string, err error) {
	found, err := run(ctx, dir, "list", "-m", "-f", "{{.Dir}}", mobyPath)
	if err != nil {
		return "", err
	}
	found = strings.TrimSpace(found)
	replace := make(map[string]string)
	for _, sub := range []string{"", "spdy"} {
		names, err := filepath.Glob(filepath.Join(found, sub, "*.go"))
		if err != nil {
			return "", err
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return "", err
			}
			to := filepath.Join(scratch, "original-"+sub+"-"+filepath.Base(name))
			if err := os.WriteFile(to, bytes.ReplaceAll(text, []byte(mobyPath), []byte(originalPath)), 0o600); err != nil {
				return "", err
			}
			replace[filepath.Join(dir, "internal", "original", sub, filepath.Base(name))] = to
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(scratch, "original.json")
	return "-overlay=" + file, os.WriteFile(file, text, 0o600)
}

// Go returns the go command with arguments, to run in dir.
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
