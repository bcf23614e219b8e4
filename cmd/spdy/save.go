package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// A saved is a file that gets the final name when complete. Until then the bytes are in a temporary
// file in the same directory.
type saved struct {
	*os.File
	final string // "" once committed or aborted, or if the file is written in place
}

// createSaved creates a file to be saved as path. commit replaces an existing file, and keeps the
// permissions; a device or a pipe is written in place.
func createSaved(path string) (*saved, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a directory", path)
	case err == nil && !info.Mode().IsRegular():
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		return &saved{File: file}, err
	}
	temporary := filepath.Join(filepath.Dir(path), fmt.Sprintf(".spdy-%08x.part", rand.Uint32()))
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	if info != nil {
		if err := file.Chmod(info.Mode().Perm()); err != nil {
			return nil, errors.Join(err, file.Close(), os.Remove(temporary))
		}
	}
	return &saved{file, path}, nil
}

// commit closes the file and renames it to the final name.
func (s *saved) commit() error {
	if err := s.Close(); err != nil {
		return err
	}
	if s.final == "" {
		return nil
	}
	if err := os.Rename(s.Name(), s.final); err != nil {
		return err
	}
	s.final = ""
	return nil
}

// abort removes a file that was not committed.
func (s *saved) abort() {
	if s.final == "" {
		s.Close()
		return
	}
	s.Close()
	_ = os.Remove(s.Name()) // the error that led here is reported instead
	s.final = ""
}
