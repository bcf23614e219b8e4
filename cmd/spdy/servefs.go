package main

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
)

// A directory is an http.FileSystem of the files that may be served: regular files and directories
// below the root, without names that begin with a dot unless all is set. All other files appear not
// to exist.
type directory struct {
	root *os.Root
	all  bool
}

// Open opens a file by its slash-separated path.
func (d *directory) Open(name string) (http.File, error) {
	name = strings.Trim(name, "/")
	if name == "" {
		name = "."
	}
	if !fs.ValidPath(name) || d.hides(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	// Stat before opening, since opening a pipe blocks until the other end is open.
	info, err := d.root.Stat(name)
	if errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	if err != nil || !served(info.Mode()) { // a link out of the root has a different error
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	f, err := d.root.Open(name)
	if err != nil || !info.IsDir() {
		return f, err
	}
	return &listing{File: f, name: name, dir: d}, nil
}

// hides reports whether a path contains a name that begins with a dot.
func (d *directory) hides(name string) bool {
	if d.all || name == "." {
		return false
	}
	for element := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(element, ".") {
			return true
		}
	}
	return false
}

func served(mode fs.FileMode) bool { return mode.IsRegular() || mode.IsDir() }

// A listing is a directory that lists only files that can be opened.
type listing struct {
	http.File
	name string
	dir  *directory
}

// Readdir reads entries as os.File.Readdir does. Symbolic links are shown as their targets.
func (l *listing) Readdir(count int) ([]fs.FileInfo, error) {
	entries, err := l.File.Readdir(count)
	kept := entries[:0]
	for _, e := range entries {
		if l.dir.hides(e.Name()) {
			continue
		}
		if e.Mode()&fs.ModeSymlink != 0 {
			target, err := l.dir.root.Stat(path.Join(l.name, e.Name()))
			if err != nil {
				continue
			}
			e = target
		}
		if served(e.Mode()) {
			kept = append(kept, e)
		}
	}
	return kept, err
}
