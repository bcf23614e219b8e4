// Package document writes results into a page between two marks, so that a page can contain prose
// and measurements.
package document

import (
	"bytes"
	"fmt"
	"os"
)

// marks returns the lines around a named section.
func marks(name string) (begin, end []byte) {
	return fmt.Appendf(nil, "<!-- begin %s -->\n", name), fmt.Appendf(nil, "<!-- end %s -->\n", name)
}

// Section returns the text between the marks of a section.
func Section(path, name string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	_, section, _, err := split(path, name, text)
	return string(section), err
}

// Write replaces the text between the marks of a section.
func Write(path, name, section string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, _, after, err := split(path, name, text)
	if err != nil {
		return err
	}
	return os.WriteFile(path, bytes.Join([][]byte{before, []byte(section), after}, nil), 0o644)
}

// split cuts a page into three parts. The marks belong to the first and the third part.
func split(path, name string, text []byte) (before, section, after []byte, err error) {
	begin, end := marks(name)
	i := bytes.Index(text, begin)
	j := bytes.Index(text, end)
	if i < 0 || j < i+len(begin) {
		return nil, nil, nil, fmt.Errorf("%s has no section %q", path, name)
	}
	i += len(begin)
	return text[:i:i], text[i:j:j], text[j:], nil
}
