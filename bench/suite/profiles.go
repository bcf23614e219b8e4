package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// profiled is the number of functions printed from a profile.
const profiled = 6

// profiledWork is how many times the usual work a profile runs: a profile has 100 samples a second.
const profiledWork = 4

// profiles measures ours once for each workload and prints the top of the profiles: of the
// processor time and of the allocations, or, for memory workloads, of the memory in use.
func (o *options) profiles(ctx context.Context, chosen []*workload) error {
	tmp, err := os.MkdirTemp("", "spdy-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := buildTests(tmp); err != nil {
		return err
	}
	var page strings.Builder
	for _, w := range chosen {
		if w.name == "header-bytes" { // counts bytes only
			continue
		}
		progress(true, "profile of "+w.name)
		scale := o.scale
		if !w.idle && w.rounds == 0 {
			scale *= profiledWork
		}
		cpu, heap := filepath.Join(tmp, "cpu"), filepath.Join(tmp, "heap")
		if _, err := spawn(ctx, w.name+"/"+w.targets[0], scale, "-cpuprofile", cpu, "-memprofile", heap); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		fmt.Fprintf(&page, "**%s**\n\n", w.title)
		for _, p := range []struct{ what, file, index string }{
			{"processor", cpu, "cpu"}, {"allocated", heap, "alloc_space"}, {"in use", heap, "inuse_space"},
		} {
			if _, err := os.Stat(p.file); err != nil || (p.index == "inuse_space") != w.idle {
				continue
			}
			top, err := topOf(ctx, p.file, p.index)
			if err != nil {
				return err
			}
			if top != "" {
				fmt.Fprintf(&page, "* %s: %s\n", p.what, top)
			}
			_ = os.Remove(p.file) // the next workload may not write this file
		}
		page.WriteString("\n")
	}
	progress(true, "")
	fmt.Print(page.String())
	if !o.write {
		return nil
	}
	top, err := moduleDir()
	if err != nil {
		return err
	}
	return rewrite(filepath.Join(top, "docs", "performance.md"), "profiles", page.String())
}

// topOf returns the top of a profile as one line.
func topOf(ctx context.Context, file, index string) (string, error) {
	var complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=60",
		"-ignore=runtime/pprof", "-relative_percentages", "-sample_index="+index, file)
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go tool pprof: %w: %s", err, complaints.String())
	}
	return topLine(string(out)), nil
}

var topRow = regexp.MustCompile(`(?m)^ *[0-9.]+[a-zA-Z]* +([0-9.]+)% +[0-9.]+% +[0-9.]+[a-zA-Z]* +[0-9.]+% +(.*)$`)

// topLine makes one line of the output of pprof -top.
func topLine(out string) string {
	var top []string
	for _, m := range topRow.FindAllStringSubmatch(out, -1) {
		if strings.Trim(m[1], "0.") == "" { // only on the call path to other functions
			continue
		}
		name := m[2]
		if i := strings.LastIndex(name, "/"); i >= 0 { // but not inside of a type parameter
			name = name[i+1:]
		}
		name = strings.TrimSuffix(name, " (inline)")
		top = append(top, fmt.Sprintf("`%s` %s %%", name, strings.TrimSuffix(m[1], ".")))
		if len(top) == profiled {
			break
		}
	}
	return strings.Join(top, ", ")
}
